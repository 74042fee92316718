/**
 * Schemas by number, as Confluent's schema registry keeps them, and the frame that names one in front of a message.
 *
 *     0 magic u8 = 0   1 schema id i32 (big endian)   5 payload ...
 */
import { request } from 'undici';
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid, MillraceError } from '../../src/base/errors.ts';

export type SchemaType = 'AVRO' | 'PROTOBUF';

/** Where schemas are kept. Answers are remembered: a schema never changes under its number. */
export interface SchemaRegistry {
  /** The schema's text; undefined: there is none with this number. @throws `unavailable` KAFKA_REGISTRY_UNAVAILABLE */
  schema(id: number): Promise<string | undefined>;
  /** The number of a schema under a subject, which is made when it is new. */
  register(subject: string, schema: string, type: SchemaType): Promise<number>;
}

export interface SchemaRegistryOptions {
  /** `http://` or `https://`. Redirects are not followed. */
  readonly url: string;
  readonly auth?: { readonly username: string; readonly password: string };
  /** Default 10 s. */
  readonly timeout?: Duration;
}

const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
const SCHEMAS_MAX = 10_000;
const ATTEMPTS_MAX = 3;
const NOT_FOUND = 404;

/** A schema registry over HTTP. @public @throws `invalid` BAD_SCHEMA_REGISTRY */
export function schemaRegistry(options: SchemaRegistryOptions): SchemaRegistry {
  return new HttpSchemaRegistry(options);
}

class HttpSchemaRegistry implements SchemaRegistry {
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;
  readonly #schemas = new Map<number, Promise<string | undefined>>();
  readonly #ids = new Map<string, Promise<number>>();

  constructor({ url, auth, timeout = '10 s' }: SchemaRegistryOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol))
      throw invalid('BAD_SCHEMA_REGISTRY', 'the url of a schema registry is http:// or https://');
    if (parsed.username !== '' || parsed.password !== '')
      throw invalid('BAD_SCHEMA_REGISTRY', 'credentials belong into auth, not into the url');
    this.#base = parsed.href.replace(/\/+$/, '');
    this.#timeoutMs = durationMs(timeout);
    this.#headers = {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      ...(auth === undefined
        ? {}
        : {
            authorization: `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`,
          }),
    };
  }

  schema(id: number): Promise<string | undefined> {
    return remembered(this.#schemas, id, async () => {
      const answer = await this.#ask('GET', `/schemas/ids/${id}`);
      return answer === undefined ? undefined : textOf(answer['schema']);
    });
  }

  register(subject: string, schema: string, type: SchemaType): Promise<number> {
    return remembered(this.#ids, `${subject} ${type} ${schema}`, async () => {
      const body = { schema, ...(type === 'AVRO' ? {} : { schemaType: type }) };
      const path = `/subjects/${encodeURIComponent(subject)}/versions`;
      const answer = await this.#ask('POST', path, JSON.stringify(body));
      const id = answer?.['id'];
      if (!Number.isInteger(id)) throw unusable(path, 'it gave no schema id');
      return id as number; // checked
    });
  }

  async #ask(
    method: 'GET' | 'POST',
    path: string,
    body?: string,
  ): Promise<Record<string, unknown> | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#askOnce(method, path, body);
      } catch (error) {
        const failure = error as { kind?: unknown }; // ours or undici's
        if (failure.kind !== undefined && failure.kind !== 'unavailable') throw error;
        if (attempt < ATTEMPTS_MAX) continue;
        if (failure.kind !== undefined) throw error;
        throw new MillraceError(
          'unavailable',
          'KAFKA_REGISTRY_UNAVAILABLE',
          `the schema registry at ${this.#base} does not answer ${method} ${path}`,
          { cause: error },
        );
      }
    }
  }

  async #askOnce(
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
  ): Promise<Record<string, unknown> | undefined> {
    const { statusCode, body: answer } = await request(`${this.#base}${path}`, {
      method,
      headers: {
        ...this.#headers,
        ...(body === undefined ? {} : { 'content-type': 'application/vnd.schemaregistry.v1+json' }),
      },
      headersTimeout: this.#timeoutMs,
      bodyTimeout: this.#timeoutMs,
      ...(body === undefined ? {} : { body }),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX)
        throw unusable(path, `its answer is over ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
    if (statusCode === NOT_FOUND && method === 'GET') return undefined;
    if (statusCode >= 500)
      throw new MillraceError(
        'unavailable',
        'KAFKA_REGISTRY_UNAVAILABLE',
        `the schema registry answered ${statusCode} to ${method} ${path}`,
      );
    const text = Buffer.concat(chunks).toString();
    if (statusCode !== 200)
      throw unusable(path, `it answered ${statusCode}: ${text.slice(0, 300)}`);
    return parseObject(path, text);
  }
}

function parseObject(path: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unusable(path, 'its answer is no JSON', error);
  }
  if (typeof value !== 'object' || value === null) throw unusable(path, 'its answer is no object');
  return value as Record<string, unknown>; // checked
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw unusable('/schemas', 'it gave no schema');
  return value;
}

const unusable = (path: string, why: string, cause?: unknown): MillraceError =>
  new MillraceError(
    'invalid',
    'KAFKA_REGISTRY_REFUSED',
    `the schema registry cannot be used for ${path}: ${why}. Check the url, the credentials, and that the schema is compatible with those of its subject`,
    cause === undefined ? {} : { cause },
  );

/** One request for each key; a failure is not remembered. */
function remembered<K, V>(known: Map<K, Promise<V>>, key: K, ask: () => Promise<V>): Promise<V> {
  const found = known.get(key);
  if (found !== undefined) return found;
  if (known.size >= SCHEMAS_MAX) known.clear();
  const asked = ask();
  known.set(key, asked);
  asked.catch(() => known.delete(key));
  return asked;
}

export const FRAME_BYTES = 5;

/** The schema id in front of a message; undefined: it is not framed. */
export function frameIdOf(message: Uint8Array): number | undefined {
  if (message.length < FRAME_BYTES || message[0] !== 0) return undefined;
  return ((message[1]! << 24) | (message[2]! << 16) | (message[3]! << 8) | message[4]!) >>> 0;
}

/** The payload with its frame; `prefix` stands between the two. */
export function framed(id: number, payload: Uint8Array, prefix?: Uint8Array): Uint8Array {
  const prefixBytes = prefix?.length ?? 0;
  const message = Buffer.allocUnsafe(FRAME_BYTES + prefixBytes + payload.length);
  message[0] = 0;
  message.writeUInt32BE(id, 1);
  if (prefix !== undefined) message.set(prefix, FRAME_BYTES);
  message.set(payload, FRAME_BYTES + prefixBytes);
  return message;
}
