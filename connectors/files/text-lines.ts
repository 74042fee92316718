/** Lines as they are. */
import type { LineFormat } from '../../src/connector/format.ts';
import { t } from '../../src/types/t.ts';

/** @public */
export function textLines(): LineFormat<string> {
  return {
    schema: t.string(),
    decode: (line) => ({ ok: true, value: line }),
    encode: (value) => value,
  };
}
