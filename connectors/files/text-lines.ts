/** Lines as they are. */
import { invalid } from '../../src/base/errors.ts';
import type { LineFormat } from '../../src/connector/format.ts';
import { t } from '../../src/types/t.ts';

/** Each line is a record. Writing a text with a line break in it is refused: it would be read back as two. @public */
export function textLines(): LineFormat<string> {
  return {
    schema: t.string(),
    decode: (line) => ({ ok: true, value: line }),
    encode(value) {
      if (value.includes('\n'))
        throw invalid(
          'TEXT_HAS_LINE_BREAK',
          'a text with a line break cannot be one line; use jsonLines',
        );
      return value;
    },
  };
}
