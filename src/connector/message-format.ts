/** How the bytes of a message become a record and back: what message connectors (Kafka, NATS) share. */
import type { Schema } from '../types/schema.ts';
import type { StandardSchema } from '../types/standard-schema.ts';
import type { Decoded, LineFormat } from './format.ts';
import { jsonLines } from './json-lines.ts';

export interface MessageFormat<T> {
  /** What it reads, where known. */
  readonly schema?: Schema<T>;
  /**
   * Called once by each reader and writer, with where messages come from or go to (a topic, a subject), before the first message: schemas may
   * be registered here.
   */
  open?(destination: string, role: 'read' | 'write'): Promise<void>;
  /** A promise: what is needed to read this message is on its way; call again when it has settled. */
  decode(message: Uint8Array): Decoded<T> | Promise<void>;
  encode(value: T): Uint8Array;
}

/** The text of each message by a line format, such as `jsonLines` or `csv`; UTF-8. */
export function textMessages<T>(format: LineFormat<T>): MessageFormat<T> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return {
    ...(format.schema === undefined ? {} : { schema: format.schema }),
    decode(message) {
      let text: string;
      try {
        text = decoder.decode(message);
      } catch {
        return { ok: false, reason: 'the message is not UTF-8' };
      }
      return format.decode(text);
    },
    encode: (value) => Buffer.from(format.encode(value)),
  };
}

/** JSON messages, checked against a Millrace schema or a Standard Schema; without either, whatever JSON there is. @public */
export const jsonMessages = <T>(schema?: Schema<T> | StandardSchema<T>): MessageFormat<T> =>
  textMessages(jsonLines(schema));

/** The bytes as they are. @public */
export const rawMessages = (): MessageFormat<Uint8Array> => ({
  decode: (message) => ({ ok: true, value: new Uint8Array(message) }), // the message is a view of something larger
  encode: (value) => value,
});
