/**
 * Values of one state as bytes in the tree:  schema number u8 | row.
 *
 * A state's schemas are numbered in the order in which it had them; the manifest lists them. What an older schema wrote is read by
 * evolution when it is met, and written in the current one when it is written next.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { internal, MillraceError } from '../../base/errors.ts';
import type { Codec } from '../../types/codec.ts';
import { checkCompatibility, resolvingDecoder } from '../../types/evolution.ts';
import { rowCodec } from '../../types/row-codec.ts';
import type { Schema } from '../../types/schema.ts';

const SCHEMAS_MAX = 255;

export class StateValues {
  readonly #codec: Codec<unknown>;
  readonly #number: number;
  readonly #decoders: readonly Codec<unknown>['decode'][];
  readonly #writer = new ByteWriter(256);
  readonly #name: string;

  /** `schemas`: all this state ever had, the current one last. @throws `data` STATE_SCHEMA_INCOMPATIBLE naming state and field */
  constructor(name: string, schemas: readonly Schema<unknown>[]) {
    const current = schemas.at(-1)!;
    if (schemas.length > SCHEMAS_MAX)
      throw internal('TOO_MANY_SCHEMAS', `state "${name}" has had ${schemas.length} schemas`);
    this.#name = name;
    this.#number = schemas.length - 1;
    this.#codec = rowCodec(current);
    this.#decoders = schemas.map((schema) => {
      const compatibility = checkCompatibility(schema, current);
      if (compatibility.outcome === 'as-is') return this.#codec.decode;
      if (compatibility.outcome === 'incompatible')
        throw new MillraceError(
          'data',
          'STATE_SCHEMA_INCOMPATIBLE',
          `state "${name}" cannot be restored: ${compatibility.reasons.join('; ')}`,
          { details: { state: name, reasons: compatibility.reasons } },
        );
      return resolvingDecoder(schema, current);
    });
  }

  /** @hot What it returns is overwritten by the next. */
  encode(value: unknown): Uint8Array {
    const writer = this.#writer;
    writer.reset();
    writer.u8(this.#number);
    this.#codec.encode(value, writer);
    return writer.view();
  }

  /** @hot @throws `data` STATE_SCHEMA_UNKNOWN, CORRUPT_VALUE */
  decode(bytes: Uint8Array): unknown {
    const decode = this.#decoders[bytes[0]!];
    if (decode === undefined)
      throw new MillraceError(
        'data',
        'STATE_SCHEMA_UNKNOWN',
        `a value of state "${this.#name}" was written with schema ${bytes[0]}, which its manifest does not list`,
      );
    return decode(new ByteReader(bytes, 1));
  }
}
