/**
 * The messages of a split, in order, from a sequence number on: an ordered consumer of the client behind a bounded buffer.
 *
 * The ordered consumer notices gaps and begins again behind the last message it delivered, also after the server was away.
 *
 * Invariants
 *  F1  Messages come in the order of their sequence numbers, each once.
 *  F2  At most `bufferMessagesMax` messages and about `bufferBytesMax` bytes wait; beyond that nothing is taken from the server.
 */
import {
  type ConsumerMessages,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { MillraceError } from '../../src/base/errors.ts';
import { natsError } from './nats-server.ts';
import type { NatsSplit } from './nats-split.ts';

export interface FeedOptions {
  readonly bufferMessagesMax: number;
  readonly bufferBytesMax: number;
  /** The split ends with what the stream holds when it is opened, whatever its own end is. */
  readonly endsNow: boolean;
  /** What happens when messages behind the position are gone. */
  readonly outOfRange: 'fail' | 'earliest';
}

export interface NatsMessage {
  readonly sequence: number;
  readonly subject: string;
  /** Epoch milliseconds when the server stored it. */
  readonly timestamp: number;
  readonly data: Uint8Array;
}

const NANOS_PER_MS = 1_000_000n;

export class MessageFeed {
  readonly #options: FeedOptions;
  readonly #messages: ConsumerMessages;
  readonly #stopSequence: number | null;
  #buffer: NatsMessage[] = [];
  #bytes = 0;
  #ended = false;
  #failure: MillraceError | undefined;
  #closed = false;
  readonly #wakes = new Set<() => void>();

  private constructor(
    options: FeedOptions,
    messages: ConsumerMessages,
    stopSequence: number | null,
  ) {
    this.#options = options;
    this.#messages = messages;
    this.#stopSequence = stopSequence;
  }

  /** `after`: the last message that was read. @throws `data` NATS_STREAM_RECREATED, NATS_MESSAGES_GONE */
  static async open(
    connection: NatsConnection,
    split: NatsSplit,
    after: number | undefined,
    options: FeedOptions,
  ): Promise<MessageFeed> {
    const { stream, subject, startTimeMs, startSequence } = split;
    try {
      const info = await (await jetstreamManager(connection)).streams.info(stream);
      checkStream(split, info.created, info.state.first_seq, after, options);
      const stopSequence = options.endsNow ? info.state.last_seq : split.stopSequence;
      const from = after === undefined ? startSequence : after + 1;
      const consumer = await jetstream(connection).consumers.get(stream, {
        ...(subject === null ? {} : { filter_subjects: subject }),
        ...(from === null
          ? {
              deliver_policy: DeliverPolicy.StartTime,
              opt_start_time: new Date(startTimeMs!).toISOString(),
            }
          : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from }),
      });
      const { num_pending: pending } = await consumer.info();
      const messages = await consumer.consume({ max_messages: options.bufferMessagesMax });
      const feed = new MessageFeed(options, messages, stopSequence);
      if (stopSequence !== null && pending === 0) feed.#ended = true;
      feed.#pump().catch((error: unknown) => feed.#fail(natsError(`reading ${stream}`, error)));
      return feed;
    } catch (error) {
      if (error instanceof Object && 'kind' in error) throw error;
      throw natsError(`reading the stream ${stream}`, error);
    }
  }

  get ended(): boolean {
    return this.#ended && this.#buffer.length === 0;
  }

  /** At most `max` messages; none when nothing is there. @throws what reading failed with */
  take(max: number): readonly NatsMessage[] {
    if (this.#buffer.length === 0 && this.#failure !== undefined) throw this.#failure;
    const taken = this.#buffer.splice(0, max);
    for (const { data } of taken) this.#bytes -= data.length;
    if (taken.length > 0) this.#wake();
    return taken;
  }

  /** Settles when there is something to take, an end, a failure, or `close`. */
  async arrival(): Promise<void> {
    while (
      this.#buffer.length === 0 &&
      !this.#ended &&
      !this.#closed &&
      this.#failure === undefined
    )
      await new Promise<void>((resolve) => this.#wakes.add(resolve));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    await this.#messages.close();
  }

  async #pump(): Promise<void> {
    for await (const message of this.#messages) {
      await this.#room();
      if (this.#closed || this.#ended) return;
      this.#receive(message);
      if (this.#ended) return;
    }
    if (!this.#closed)
      this.#fail(
        new MillraceError('unavailable', 'NATS_UNREACHABLE', 'the server ended the consumer'),
      );
  }

  #receive(message: JsMsg): void {
    const { seq: sequence, subject, data, timestampNanos, info } = message;
    const stop = this.#stopSequence;
    if (stop === null || sequence <= stop) {
      const timestamp = Number(timestampNanos / NANOS_PER_MS);
      this.#buffer.push({ sequence, subject, timestamp, data });
      this.#bytes += data.length;
    }
    if (stop !== null && (sequence >= stop || info.pending === 0)) this.#ended = true;
    this.#wake();
  }

  /** F2 */
  async #room(): Promise<void> {
    const { bufferMessagesMax, bufferBytesMax } = this.#options;
    while (
      (this.#buffer.length >= bufferMessagesMax || this.#bytes >= bufferBytesMax) &&
      !this.#closed
    )
      await new Promise<void>((resolve) => this.#wakes.add(resolve));
  }

  #fail(failure: MillraceError): void {
    if (this.#closed) return;
    this.#failure = failure;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
    this.#wakes.clear();
  }
}

function checkStream(
  { stream, created }: NatsSplit,
  createdNow: string,
  firstSequence: number,
  after: number | undefined,
  { outOfRange }: FeedOptions,
): void {
  if (createdNow !== created)
    throw new MillraceError(
      'data',
      'NATS_STREAM_RECREATED',
      `the stream ${stream} was deleted and created again: the positions in this job's state mean nothing in it. Start the source without its state, or under another uid`,
      { details: { stream, permanent: true } },
    );
  if (after === undefined || after + 1 >= firstSequence || outOfRange === 'earliest') return;
  throw new MillraceError(
    'data',
    'NATS_MESSAGES_GONE',
    `the stream ${stream} begins at ${firstSequence} now, and the next message to read was ${after + 1}: what lies between has been removed by the stream's limits. Accept the gap with outOfRange: 'earliest', or restore an older copy of the stream`,
    { details: { stream, next: after + 1, first: firstSequence, permanent: true } },
  );
}
