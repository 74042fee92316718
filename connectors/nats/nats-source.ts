/** NATS JetStream streams as a source that replays from checkpoints: a split a subject, positions are sequence numbers of the stream. */
import type { NatsConnection } from '@nats-io/transport-node';
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type {
  MalformedPolicy,
  PollResult,
  Source,
  SourceReader,
  SourceReaderContext,
  SplitReader,
  SplitState,
} from '../../src/connector/source.ts';
import type { RecordBatch } from '../../src/types/record-batch.ts';
import { type FeedOptions, MessageFeed, type NatsMessage } from './message-feed.ts';
import { NatsEnumerator, type NatsStart } from './nats-enumerator.ts';
import { connectNats, type NatsServerOptions } from './nats-server.ts';
import { natsPositionOf, natsSplitOf } from './nats-split.ts';

export interface NatsSourceOptions<T> {
  readonly server: NatsServerOptions;
  /** With limits retention: what has been read stays there. */
  readonly stream: string;
  /** A split each, read in parallel; wildcards are allowed and must not overlap. Absent: the whole stream, in its order, is one split. */
  readonly subjects?: readonly string[];
  readonly format: MessageFormat<T>;
  /** Where to begin without a checkpoint. Default 'earliest'. */
  readonly startFrom?: NatsStart;
  /** 'latest' makes the source bounded: it ends with what the stream holds at the start. */
  readonly until?: 'latest';
  /** What happens with a message that cannot be read. Default 'fail'. */
  readonly malformed?: MalformedPolicy;
  /** What happens when the stream's limits have removed what is next. Default 'fail'. */
  readonly outOfRange?: 'fail' | 'earliest';
  /** Of each split. Default 4,096 messages, 16 MiB. */
  readonly bufferMessagesMax?: number;
  readonly bufferBytesMax?: number;
}

const MIB = 1024 * 1024;

/** Reads a JetStream stream. @public @throws `invalid` BAD_NATS_SOURCE */
export function natsSource<T>(options: NatsSourceOptions<T>): Source<T> {
  const { stream, until, subjects = [] } = options;
  if (stream === '' || subjects.includes(''))
    throw invalid('BAD_NATS_SOURCE', 'NATS source: stream and subjects are not empty');
  const source = sourceOf(options, false);
  return until === undefined ? { ...source, untilNow: () => sourceOf(options, true) } : source;
}

function sourceOf<T>(options: NatsSourceOptions<T>, endsNow: boolean): Source<T> {
  const { server, stream, format, until, malformed, startFrom = 'earliest' } = options;
  const subjects = [...new Set(options.subjects)];
  return {
    boundedness: until === undefined && !endsNow ? 'continuous-unbounded' : 'bounded',
    ...(format.schema === undefined ? {} : { schema: format.schema }),
    ...(malformed === undefined ? {} : { malformed }),
    createEnumerator: (context, restored) =>
      new NatsEnumerator({ server, stream, subjects, startFrom, until }, context, restored),
    createReader: (context) => new NatsReader({ ...options, endsNow }, context),
  };
}

class NatsReader<T> implements SourceReader<T> {
  readonly #options: NatsSourceOptions<T> & { readonly endsNow: boolean };
  readonly #context: SourceReaderContext;
  #connection: Promise<NatsConnection> | undefined;

  constructor(
    options: NatsSourceOptions<T> & { readonly endsNow: boolean },
    context: SourceReaderContext,
  ) {
    this.#options = options;
    this.#context = context;
  }

  async openSplit({ split, position }: SplitState): Promise<SplitReader<T>> {
    const { server, format, stream, outOfRange = 'fail', endsNow } = this.#options;
    const { bufferMessagesMax = 4096, bufferBytesMax = 16 * MIB } = this.#options;
    const feedOptions: FeedOptions = { bufferMessagesMax, bufferBytesMax, outOfRange, endsNow };
    this.#connection ??= connectNats(server);
    await format.open?.(stream, 'read');
    const after = natsPositionOf(position);
    const feed = await MessageFeed.open(
      await this.#connection,
      natsSplitOf(split.data),
      after,
      feedOptions,
    );
    const parts = { feed, format, context: this.#context, after, grows: endsNow };
    return new NatsSplitReader(split.id, parts);
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => undefined); // its failure was told
    await connection?.close();
  }
}

interface SplitReaderParts<T> {
  readonly feed: MessageFeed;
  readonly format: MessageFormat<T>;
  readonly context: SourceReaderContext;
  readonly after: number | undefined;
  readonly grows: boolean;
}

class NatsSplitReader<T> implements SplitReader<T> {
  readonly #splitId: string;
  readonly #parts: SplitReaderParts<T>;
  readonly grows: boolean;
  #position: number | null;
  #closed = false;

  constructor(splitId: string, parts: SplitReaderParts<T>) {
    this.#splitId = splitId;
    this.#parts = parts;
    this.grows = parts.grows;
    this.#position = parts.after ?? null;
  }

  poll(max: number): PollResult<T> {
    const { feed } = this.#parts;
    const messages = feed.take(max);
    if (messages.length > 0) return this.#decode(messages);
    return feed.ended ? null : this.#wait(max);
  }

  position(): JsonValue {
    return this.#position;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#parts.feed.close();
  }

  async #wait(max: number): Promise<RecordBatch<T> | null> {
    await this.#parts.feed.arrival();
    return this.#closed ? null : this.poll(max);
  }

  #decode(
    messages: readonly NatsMessage[],
    from = 0,
    values: T[] = [],
    timestamps = new Float64Array(messages.length),
  ): RecordBatch<T> | Promise<RecordBatch<T>> {
    for (let i = from; i < messages.length; i++) {
      const message = messages[i]!;
      const decoded = this.#parts.format.decode(message.data);
      // What the format lacks is on its way.
      if (decoded instanceof Promise)
        return decoded.then(() => this.#decode(messages, i, values, timestamps));
      this.#position = message.sequence;
      if (decoded.ok) {
        timestamps[values.length] = message.timestamp;
        values.push(decoded.value);
      } else this.#refuse(message, decoded.reason);
    }
    return { values, timestamps };
  }

  #refuse({ sequence, subject, data }: NatsMessage, reason: string): void {
    const position = { sequence, subject };
    this.#parts.context.onMalformed({ splitId: this.#splitId, position, reason, raw: data });
  }
}
