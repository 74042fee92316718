/**
 * Records that are pushed by POST, and acknowledged when a completed checkpoint holds them.
 *
 * Nothing can be read again from here: what no checkpoint holds is the sender's, who has no answer yet and sends it again. One subtask
 * listens; rebalance behind it.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import { FixedSplitEnumerator } from '../../src/connector/collection-source.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type {
  PollResult,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import { PushInbox, pushPositionOf } from './push-inbox.ts';
import { PushServer } from './push-server.ts';

export interface HttpSourceOptions<T> {
  /** 0 takes a free one, which `onListening` is told. */
  readonly port: number;
  readonly onListening?: (port: number) => void;
  /** Default '127.0.0.1'. Another one needs `token` and `tls`, or `insecure`. */
  readonly host?: string;
  /** Default '/'. */
  readonly path?: string;
  readonly format: MessageFormat<T>;
  /** Asked of senders as `authorization: Bearer <token>`. */
  readonly token?: string;
  /** PEM texts. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Listens beyond this machine without token or TLS, as behind a proxy that has both. Default false. */
  readonly insecure?: boolean;
  /** Of one request. Default 1 MiB. */
  readonly bodyBytesMax?: number;
  /** Of all requests that are not read yet; more is answered 429. Default 16 MiB. */
  readonly bufferBytesMax?: number;
  /** Requests that wait for their answer; more are answered 429. Default 1,000. */
  readonly requestsMax?: number;
  /** How many idempotency keys are remembered, in every checkpoint. Not less than `requestsMax`. Default 5,000. */
  readonly keysMax?: number;
  /** A request without an answer for so long is answered 503. Default 10 min. */
  readonly acknowledgeTimeout?: Duration;
}

const SPLIT_ID = 'push';
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);
const MIB = 1024 * 1024;

/**
 * A server that records are pushed to. At-least-once; each record once where senders repeat requests under the same `idempotency-key`
 * while it is remembered. @public
 * @throws `invalid` BAD_HTTP_SOURCE
 */
export function httpSource<T>(options: HttpSourceOptions<T>): Source<T> {
  checkOptions(options);
  const { schema } = options.format;
  return {
    boundedness: 'continuous-unbounded',
    replayable: 'by-sender',
    ...(schema === undefined ? {} : { schema }),
    createEnumerator: (context, restored) =>
      new FixedSplitEnumerator(context, [{ id: SPLIT_ID, data: null }], restored),
    createReader: (context) => new HttpSourceReader(options, context),
  };
}

function checkOptions(options: HttpSourceOptions<unknown>): void {
  const { port, host = '127.0.0.1', path = '/', token, tls, insecure } = options;
  const { requestsMax = 1000, keysMax = 5000, bodyBytesMax = MIB } = options;
  const { bufferBytesMax = 16 * MIB } = options;
  const counts = { requestsMax, keysMax, bodyBytesMax, bufferBytesMax };
  const faults = [
    ...(Number.isInteger(port) && port >= 0 && port < 65_536 ? [] : ['port is 0 to 65535']),
    ...(path.startsWith('/') && !/[?#\s]/.test(path)
      ? []
      : ['path begins with / and has no query']),
    ...(token === '' ? ['token is empty'] : []),
    ...Object.entries(counts).flatMap(([name, count]) =>
      Number.isSafeInteger(count) && count > 0 ? [] : [`${name} is a positive whole number`],
    ),
    ...(keysMax < requestsMax ? ['keysMax is not less than requestsMax'] : []),
    ...(LOOPBACK.has(host) || insecure === true || (token !== undefined && tls !== undefined)
      ? []
      : [
          `host ${host} is open to others: give token and tls, or insecure: true behind a proxy that has both`,
        ]),
  ];
  if (faults.length > 0) throw invalid('BAD_HTTP_SOURCE', `HTTP source: ${faults.join('; ')}`);
}

class HttpSourceReader<T> implements SourceReader<T> {
  readonly #options: HttpSourceOptions<T>;
  readonly #context: SourceReaderContext;
  #inbox: PushInbox<T> | undefined;

  constructor(options: HttpSourceOptions<T>, context: SourceReaderContext) {
    this.#options = options;
    this.#context = context;
  }

  async openSplit({ position }: SplitState): Promise<SplitReader<T>> {
    const { format, port, host = '127.0.0.1', path = '/', token, tls } = this.#options;
    const { bodyBytesMax = MIB, bufferBytesMax = 16 * MIB } = this.#options;
    const { requestsMax = 1000, keysMax = 5000, acknowledgeTimeout = '10 min' } = this.#options;
    const { clock, timers, logger } = this.#context;
    await format.open?.(path, 'read');
    const inbox = new PushInbox<T>(
      { bufferBytesMax, requestsMax, keysMax },
      pushPositionOf(position),
    );
    const acknowledgeTimeoutMs = durationMs(acknowledgeTimeout);
    const server = new PushServer(
      { host, port, path, format, token, tls, bodyBytesMax, acknowledgeTimeoutMs, clock, timers },
      inbox,
    );
    const listening = await server.listen();
    logger.log('info', `records are taken at ${host}:${listening}${path}`, { port: listening });
    this.#options.onListening?.(listening);
    this.#inbox = inbox;
    return new PushReader(inbox, server);
  }

  async notifyCheckpointComplete(
    _checkpointId: number,
    positions: readonly SplitState[],
  ): Promise<void> {
    for (const { split, position } of positions)
      if (split.id === SPLIT_ID) this.#inbox?.acknowledge(pushPositionOf(position));
  }

  async close(): Promise<void> {}
}

class PushReader<T> implements SplitReader<T> {
  readonly #inbox: PushInbox<T>;
  readonly #server: PushServer<T>;

  constructor(inbox: PushInbox<T>, server: PushServer<T>) {
    this.#inbox = inbox;
    this.#server = server;
  }

  poll(max: number): PollResult<T> {
    return this.#inbox.take(max) ?? this.#wait(max);
  }

  position(): JsonValue {
    return this.#inbox.position() as unknown as JsonValue; // plain data
  }

  async close(): Promise<void> {
    this.#inbox.close();
    await this.#server.close();
  }

  async #wait(max: number): Promise<RecordBatch<T> | null> {
    await this.#inbox.arrival();
    return this.#inbox.closed ? null : (this.#inbox.take(max) ?? null);
  }
}
