/** One bucket over HTTP: encodes, signs, sends, reads whole answers. Retries nothing. */
import { getCACertificates } from 'node:tls';
import { Pool } from 'undici';
import { MillraceError } from '../../base/errors.ts';
import { type S3Credentials, SigV4Signer } from './sigv4.ts';
import type { S3Answer } from './s3-answers.ts';

export interface S3Options {
  /** Such as `https://s3.eu-central-1.amazonaws.com` or `http://127.0.0.1:9000`. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Before every key; without slashes at its ends. Default none. */
  readonly prefix?: string;
  /** The bucket in the path instead of the host name. Default true for endpoints that are an address or localhost. */
  readonly pathStyle?: boolean;
  readonly credentials: S3Credentials;
  /** PEM of further certificate authorities. */
  readonly ca?: string;
  /** Connections to the endpoint. Default 64. */
  readonly connectionsMax?: number;
  /** Until the first byte of an answer, and between bytes. Default 30 s. */
  readonly timeoutMs?: number;
  /** Keys that a listing asks for at once. Default: what the server gives, 1,000 for S3. */
  readonly listPageKeysMax?: number;
  /** Wall clock, for signatures. */
  readonly wallMs: () => number;
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Undefined for the bucket itself. */
  readonly key: string | undefined;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

const CONNECTIONS_MAX = 64;
const TIMEOUT_MS = 30_000;

const encode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

export class S3Client {
  readonly #pool: Pool;
  readonly #signer: SigV4Signer;
  readonly #host: string;
  readonly #root: string;
  readonly #prefix: string;
  readonly #wallMs: () => number;

  constructor(options: S3Options) {
    const url = new URL(options.endpoint);
    const pathStyle = options.pathStyle ?? /^(?:localhost|[\d.]+|\[.*\])$/.test(url.hostname);
    this.#host = pathStyle ? url.host : `${options.bucket}.${url.host}`;
    this.#root = pathStyle ? `/${encode(options.bucket)}` : '';
    this.#prefix =
      options.prefix === undefined || options.prefix === '' ? '' : `${options.prefix}/`;
    this.#signer = new SigV4Signer(options.credentials, options.region);
    this.#wallMs = options.wallMs;
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#pool = new Pool(`${url.protocol}//${this.#host}`, {
      connections: options.connectionsMax ?? CONNECTIONS_MAX,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: {
        timeout: timeoutMs,
        // What is given here replaces the usual authorities.
        ...(options.ca === undefined ? {} : { ca: [...getCACertificates(), options.ca] }),
      },
    });
  }

  get prefix(): string {
    return this.#prefix;
  }

  /** @throws `unavailable` S3_UNREACHABLE; an abort as it is */
  async send({
    method,
    key,
    query = {},
    headers = {},
    body,
    signal,
  }: S3Request): Promise<S3Answer> {
    const path =
      key === undefined
        ? this.#root === ''
          ? '/'
          : this.#root
        : `${this.#root}/${(this.#prefix + key).split('/').map(encode).join('/')}`;
    const queryText = Object.keys(query)
      .sort()
      .map((name) => `${encode(name)}=${encode(query[name]!)}`)
      .join('&');
    const signed = this.#signer.sign(
      { method, host: this.#host, path, query: queryText, headers },
      this.#wallMs(),
    );
    signal?.throwIfAborted();
    try {
      const answer = await this.#pool.request({
        method,
        path: queryText === '' ? path : `${path}?${queryText}`,
        headers: signed,
        body: body ?? null,
        signal: signal ?? null,
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return { status: answer.statusCode, headers: answer.headers, body: bytes };
    } catch (cause) {
      signal?.throwIfAborted();
      throw new MillraceError(
        'unavailable',
        'S3_UNREACHABLE',
        `S3 at ${this.#host} did not answer ${method} ${key ?? 'the bucket'}: ${(cause as Error).message}`,
        { cause, details: { key: key ?? null } },
      );
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
