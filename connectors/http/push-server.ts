/**
 * The HTTP side of the push source: reads requests within limits, decodes them whole, and answers when the inbox says so.
 *
 * One POST is one message, or with `content-type: application/x-ndjson` one message a line. It is taken whole or not at all.
 */
import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { asError, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { Clock, Timers } from '../../src/base/world.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type { PushInbox, PushOutcome } from './push-inbox.ts';

export interface PushServerOptions<T> {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly format: MessageFormat<T>;
  readonly token: string | undefined;
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly bodyBytesMax: number;
  readonly acknowledgeTimeoutMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
}

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const CONNECTIONS_MAX = 10_000;
const KEY_CHARACTERS_MAX = 256;
const RETRY_AFTER_S = '1';

/** What is answered instead of taking a request. */
class Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;

  constructor(status: number, code: string, message: string) {
    this.status = status;
    this.code = code;
    this.message = message;
  }
}

export class PushServer<T> {
  readonly #options: PushServerOptions<T>;
  readonly #inbox: PushInbox<T>;
  readonly #server: Server;

  constructor(options: PushServerOptions<T>, inbox: PushInbox<T>) {
    this.#options = options;
    this.#inbox = inbox;
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      this.#serve(request, response).catch((error: unknown) =>
        refuse(response, new Refusal(500, 'HTTP_PUSH_FAILED', asError(error).message)),
      );
    };
    const limits = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS };
    this.#server =
      options.tls === undefined
        ? createServer(limits, handle)
        : createTlsServer({ ...limits, ...options.tls }, handle);
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Settles with the port when it listens. @throws `unavailable` HTTP_NOT_LISTENING */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(
          new MillraceError(
            'unavailable',
            'HTTP_NOT_LISTENING',
            `the HTTP source cannot listen on ${host}:${port}: ${cause.message}. Give it a port and an address that are free on this machine`,
            { cause },
          ),
        ),
      );
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** The inbox has been closed: what waits has its answer. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.#server.listening) return resolve();
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { bodyBytesMax } = this.#options;
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) return refuse(response, refusal);
    const announced = Number(request.headers['content-length'] ?? bodyBytesMax);
    if (!(announced <= bodyBytesMax)) return refuse(response, tooLarge(bodyBytesMax));
    if (!this.#inbox.reserve(announced)) return refuse(response, BUSY);
    let body: Buffer | Refusal;
    try {
      body = await readBody(request, announced);
    } finally {
      this.#inbox.release(announced);
    }
    if (body instanceof Refusal) return refuse(response, body);
    const values = await this.#decode(body, request.headers['content-type']);
    if (values instanceof Refusal) return refuse(response, values);
    this.#offer(values, body.length, request, response);
  }

  #refusalOf({ method, url, headers }: IncomingMessage): Refusal | undefined {
    const { path, token } = this.#options;
    if (url === undefined || url.split('?', 1)[0] !== path)
      return new Refusal(404, 'HTTP_NOT_FOUND', `records are pushed to ${path}`);
    if (method !== 'POST')
      return new Refusal(405, 'HTTP_METHOD_NOT_ALLOWED', 'records are pushed with POST');
    if (token !== undefined && !isSame(headers.authorization, `Bearer ${token}`))
      return new Refusal(
        401,
        'HTTP_UNAUTHORIZED',
        'authorization: Bearer <token> is missing or wrong',
      );
    if ((headers['content-encoding'] ?? 'identity') !== 'identity')
      return new Refusal(415, 'HTTP_ENCODED_BODY', 'send the body without a content-encoding');
    const key = headers['idempotency-key'];
    if (key !== undefined && (Array.isArray(key) || key === '' || key.length > KEY_CHARACTERS_MAX))
      return new Refusal(
        400,
        'HTTP_BAD_KEY',
        `one idempotency-key of 1 to ${KEY_CHARACTERS_MAX} characters, please`,
      );
    return undefined;
  }

  async #decode(body: Buffer, contentType: string | undefined): Promise<readonly T[] | Refusal> {
    const isLines = /^application\/(?:x-)?ndjson\b/i.test(contentType ?? '');
    const messages = isLines ? linesOf(body) : [body];
    const values: T[] = [];
    for (const [i, message] of messages.entries()) {
      const decoded = await this.#decodeOne(message);
      if (!decoded.ok)
        return new Refusal(
          400,
          'HTTP_MALFORMED',
          `${isLines ? `message ${i + 1}` : 'the message'} cannot be read: ${decoded.reason}. Nothing was taken`,
        );
      values.push(decoded.value);
    }
    return values.length > 0
      ? values
      : new Refusal(400, 'HTTP_EMPTY', 'the request holds no message');
  }

  async #decodeOne(message: Uint8Array) {
    for (;;) {
      const decoded = this.#options.format.decode(message);
      if (!(decoded instanceof Promise)) return decoded;
      await decoded;
    }
  }

  #offer(
    values: readonly T[],
    bytes: number,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const { clock, timers, acknowledgeTimeoutMs } = this.#options;
    const key = request.headers['idempotency-key'];
    const timer = timers.after(acknowledgeTimeoutMs, () => refuse(response, LATE));
    this.#inbox.offer({
      key: typeof key === 'string' ? key : undefined,
      values,
      timestamp: clock.wallMs(),
      bytes,
      answer: (outcome) => {
        timer.cancel();
        answer(response, outcome);
      },
    });
  }
}

const tooLarge = (bodyBytesMax: number): Refusal =>
  new Refusal(413, 'HTTP_BODY_TOO_LARGE', `a body has ${bodyBytesMax} bytes at most`);
const BUSY = new Refusal(429, 'HTTP_BUSY', 'too much waits already; send it again later');
const CLOSED = new Refusal(
  503,
  'HTTP_CLOSED',
  'the job stopped before a checkpoint held the records; send the request again under the same idempotency-key',
);
const LATE = new Refusal(
  503,
  'HTTP_NOT_ACKNOWLEDGED',
  'no checkpoint has held the records in time; send the request again under the same idempotency-key',
);

function answer(response: ServerResponse, outcome: PushOutcome): void {
  switch (outcome.kind) {
    case 'accepted':
      return respond(response, 200, { status: 'accepted', records: outcome.records });
    case 'duplicate':
      return respond(response, 200, { status: 'duplicate' });
    case 'busy':
      return refuse(response, BUSY);
    case 'closed':
      return refuse(response, CLOSED);
  }
}

function refuse(response: ServerResponse, { status, code, message }: Refusal): void {
  if (status === 429 || status === 503) response.setHeader('retry-after', RETRY_AFTER_S);
  if (status === 405) response.setHeader('allow', 'POST');
  // The rest of a body that was not read would be taken for the next request.
  if (status === 413 || status === 503) response.setHeader('connection', 'close');
  respond(response, status, { error: code, message });
}

function respond(response: ServerResponse, status: number, body: object): void {
  if (response.writableEnded) return;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
}

async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | Refusal> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) return tooLarge(bytesMax);
      chunks.push(chunk);
    }
  } catch (error) {
    if (isMillraceError(error)) throw error;
    return new Refusal(400, 'HTTP_BODY_CUT', 'the body ended early');
  }
  return Buffer.concat(chunks);
}

function linesOf(body: Buffer): readonly Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let from = 0; from < body.length;) {
    const found = body.indexOf(10, from);
    const to = found === -1 ? body.length : found;
    const end = to > from && body[to - 1] === 13 ? to - 1 : to;
    if (end > from) lines.push(body.subarray(from, end));
    from = to + 1;
  }
  return lines;
}

/** In constant time for texts of one length. */
function isSame(given: string | undefined, wanted: string): boolean {
  const a = Buffer.from(given ?? '');
  const b = Buffer.from(wanted);
  return a.length === b.length && timingSafeEqual(a, b);
}
