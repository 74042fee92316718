/**
 * Makes a split of each subject, once, with where it starts and stops: resolved here and kept in the split, so that a restart from a checkpoint
 * that holds it does not resolve it again.
 */
import { jetstreamManager, type StreamInfo } from '@nats-io/jetstream';
import { invalid } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { EnumeratorContext, SplitEnumerator, SplitState } from '../../src/connector/source.ts';
import { connectNats, natsError, type NatsServerOptions } from './nats-server.ts';
import { type NatsSplit, splitIdOf } from './nats-split.ts';

/** Where to begin without a checkpoint. */
export type NatsStart =
  | 'earliest'
  | 'latest'
  | { readonly sequence: number }
  | { readonly timestampMs: number };

export interface NatsEnumeratorOptions {
  readonly server: NatsServerOptions;
  readonly stream: string;
  /** Empty: the whole stream is one split. */
  readonly subjects: readonly string[];
  readonly startFrom: NatsStart;
  readonly until: 'latest' | undefined;
}

export class NatsEnumerator implements SplitEnumerator {
  readonly #options: NatsEnumeratorOptions;
  readonly #context: EnumeratorContext;
  /** Split ids that have been handed out. */
  #handedOut: readonly string[];

  constructor(
    options: NatsEnumeratorOptions,
    context: EnumeratorContext,
    restored: JsonValue | undefined,
  ) {
    this.#options = options;
    this.#context = context;
    this.#handedOut = (restored as readonly string[] | undefined) ?? []; // written by snapshot
  }

  async start(): Promise<void> {
    const { subjects } = this.#options;
    const wanted = subjects.length === 0 ? [null] : subjects;
    const { stream } = this.#options;
    const fresh = wanted.filter(
      (subject) => !this.#handedOut.includes(splitIdOf({ stream, subject })),
    );
    if (fresh.length > 0) this.#handOut(fresh, await this.#streamInfo());
    this.#context.noMoreSplits();
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return this.#handedOut;
  }

  async close(): Promise<void> {}

  #handOut(subjects: readonly (string | null)[], info: StreamInfo): void {
    const shares = new Map<number, SplitState[]>();
    for (const [i, subject] of subjects.entries()) {
      const split = this.#splitOf(subject, info);
      const subtask = (this.#handedOut.length + i) % this.#context.parallelism;
      const share = shares.get(subtask) ?? [];
      shares.set(subtask, share);
      const data = split as unknown as JsonValue; // plain data
      share.push({ split: { id: splitIdOf(split), data }, position: undefined });
    }
    for (const [subtask, splits] of shares) this.#context.assign(subtask, splits);
    const { stream } = this.#options;
    this.#handedOut = [
      ...this.#handedOut,
      ...subjects.map((subject) => splitIdOf({ stream, subject })),
    ];
  }

  #splitOf(subject: string | null, { created, state }: StreamInfo): NatsSplit {
    const { stream, startFrom, until } = this.#options;
    const bySequence = startFrom === 'latest' ? state.last_seq + 1 : 1;
    const isTime = typeof startFrom === 'object' && 'timestampMs' in startFrom;
    return {
      stream,
      subject,
      created,
      startSequence: isTime
        ? null
        : typeof startFrom === 'object'
          ? startFrom.sequence
          : bySequence,
      startTimeMs: isTime ? startFrom.timestampMs : null,
      stopSequence: until === undefined ? null : state.last_seq,
    };
  }

  /** @throws `invalid` NATS_RETENTION: the stream forgets what is acknowledged, and could not be read again */
  async #streamInfo(): Promise<StreamInfo> {
    const { server, stream } = this.#options;
    const connection = await connectNats(server);
    try {
      const manager = await jetstreamManager(connection);
      const info = await manager.streams.info(stream);
      if (info.config.retention !== 'limits')
        throw invalid(
          'NATS_RETENTION',
          `the stream ${stream} has ${info.config.retention} retention: it deletes what is acknowledged, so that a restart could not read it again. Read a stream with limits retention, such as one that mirrors or sources it`,
        );
      return info;
    } catch (error) {
      throw error instanceof Object && 'kind' in error
        ? error
        : natsError(`looking up the stream ${stream}`, error);
    } finally {
      await connection.close();
    }
  }
}
