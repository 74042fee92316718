/**
 * What messages with a schema number share: readers by number, and the number under which a writer writes.
 *
 * A number that was not met yet is a promise to the caller; one that the registry does not know makes its messages malformed.
 */
import type { Decoded } from '../../src/connector/format.ts';
import { invalid } from '../../src/base/errors.ts';
import { frameIdOf, type SchemaRegistry, type SchemaType } from './schema-registry.ts';

/** Reads a whole framed message. */
export type FramedReader<T> = (message: Uint8Array) => Decoded<T>;

export interface FramedSchemasParams<T> {
  readonly registry: SchemaRegistry;
  readonly type: SchemaType;
  /** The schema that is written. */
  readonly schema: string | undefined;
  /** Default: the topic's name and `-value`. */
  readonly subject: string | undefined;
  /** A reader of what was written with this schema. @throws what it cannot make sense of */
  readerOf(writerSchema: string): FramedReader<T>;
}

/** Numbers come from messages: what is kept of them has a limit. */
const READERS_MAX = 10_000;

export class FramedSchemas<T> {
  readonly #params: FramedSchemasParams<T>;
  readonly #readers = new Map<number, FramedReader<T>>();
  #writeId = -1;

  constructor(params: FramedSchemasParams<T>) {
    this.#params = params;
  }

  async open(topic: string, role: 'read' | 'write'): Promise<void> {
    const { registry, schema, subject, type } = this.#params;
    if (role === 'read') return;
    if (schema === undefined)
      throw invalid('KAFKA_NO_SCHEMA', 'to write these messages their schema must be given');
    if (subject === undefined && topic === '')
      throw invalid('KAFKA_NO_SUBJECT', 'a sink with a topic for each record needs a subject');
    this.#writeId = await registry.register(subject ?? `${topic}-value`, schema, type);
  }

  get writeId(): number {
    return this.#writeId;
  }

  decode(message: Uint8Array): Decoded<T> | Promise<void> {
    const id = frameIdOf(message);
    if (id === undefined)
      return { ok: false, reason: 'the message does not begin with a schema id (magic byte 0)' };
    return this.#readers.get(id)?.(message) ?? this.#learn(id);
  }

  async #learn(id: number): Promise<void> {
    const schema = await this.#params.registry.schema(id);
    if (this.#readers.size >= READERS_MAX) this.#readers.clear();
    this.#readers.set(id, schema === undefined ? unknownSchema(id) : this.#readerOf(id, schema));
  }

  #readerOf(id: number, schema: string): FramedReader<T> {
    try {
      return this.#params.readerOf(schema);
    } catch (error) {
      const reason = `schema ${id} cannot be read as what is expected: ${String(error)}`;
      return () => ({ ok: false, reason });
    }
  }
}

function unknownSchema<T>(id: number): FramedReader<T> {
  return () => ({ ok: false, reason: `the registry knows no schema ${id}` });
}
