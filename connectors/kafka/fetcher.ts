/**
 * Fetches for all partitions that a subtask reads: one request at a time to each leader, for those partitions that have room.
 *
 * Invariants
 *  F1  What is buffered for a partition stays under its share of `bufferBytes`: one that is full is left out of requests. This is how
 *      backpressure reaches the broker.
 *  F2  Offsets of a partition are fetched in order and without gaps: the next request begins where the last complete batch ended.
 *  F3  A request waits at the broker for long only while every partition of that leader is in it; else those left out would wait too.
 */
import { asError, MillraceError } from '../../src/base/errors.ts';
import type { Logger } from '../../src/base/world.ts';
import { type ClusterClient, failureOf, isUnavailable } from './cluster-client.ts';
import { isStaleLeader, isTransient, KafkaError } from './error-codes.ts';
import { type KafkaSplit, splitIdOf } from './kafka-split.ts';
import { lookUpOffsets } from './offset-lookup.ts';
import { BATCH_HEADER_BYTES } from './record-batch-builder.ts';
import {
  type AbortedTransaction,
  EARLIEST_OFFSET,
  type FetchedPartition,
  type Isolation,
  LATEST_OFFSET,
} from './transport.ts';

export type OutOfRange = 'fail' | 'earliest' | 'latest';

export interface FetcherOptions {
  readonly isolation: Isolation;
  readonly waitMsMax: number;
  /** Of one answer. */
  readonly requestBytesMax: number;
  /** Of one partition in one answer. */
  readonly partitionBytesMax: number;
  /** Of all partitions together. */
  readonly bufferBytes: number;
  readonly outOfRange: OutOfRange;
}

export interface FetchedChunk {
  readonly fromOffset: number;
  readonly records: Buffer;
  readonly aborted: readonly AbortedTransaction[];
}

/** One partition as the fetcher sees it. */
export class FetchSlot {
  readonly split: KafkaSplit;
  readonly id: string;
  /** The next offset to fetch. */
  offset: number;
  bufferedBytes = 0;
  failure: Error | undefined;
  #chunks: FetchedChunk[] = [];
  /** Called when a chunk or a failure came. */
  onChange: () => void = () => {};

  constructor(split: KafkaSplit, offset: number) {
    this.split = split;
    this.id = splitIdOf(split.topic, split.partition);
    this.offset = offset;
  }

  get wantsMore(): boolean {
    const { stopOffset } = this.split;
    return this.failure === undefined && (stopOffset === null || this.offset < stopOffset);
  }

  add(chunk: FetchedChunk): void {
    this.#chunks.push(chunk);
    this.bufferedBytes += chunk.records.length;
    this.onChange();
  }

  take(): FetchedChunk | undefined {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) this.bufferedBytes -= chunk.records.length;
    return chunk;
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.onChange();
  }
}

const SHORT_WAIT_MS = 10;
const BACKOFF_LEAST_MS = 50;
const BACKOFF_MOST_MS = 1000;

export class Fetcher {
  readonly #client: ClusterClient;
  readonly #options: FetcherOptions;
  readonly #logger: Logger;
  readonly #slots = new Set<FetchSlot>();
  /** Leaders with a request under way, or a pause before one. */
  readonly #busy = new Set<number>();
  #waitMs = SHORT_WAIT_MS;
  #rotation = 0;

  constructor(client: ClusterClient, options: FetcherOptions, logger: Logger) {
    this.#client = client;
    this.#options = options;
    this.#logger = logger;
  }

  async open(split: KafkaSplit, offset: number): Promise<FetchSlot> {
    await this.#client.learn(split.topic);
    const slot = new FetchSlot(split, offset);
    this.#slots.add(slot);
    this.wake();
    return slot;
  }

  remove(slot: FetchSlot): void {
    this.#slots.delete(slot);
  }

  /** Some partition has room, or is new. */
  wake(): void {
    this.#waitMs = SHORT_WAIT_MS;
    for (const slot of this.#slots) {
      const node = this.#leaderOf(slot);
      if (!this.#busy.has(node) && this.#hasRoom(slot)) this.#run(node);
    }
  }

  #leaderOf({ split }: FetchSlot): number {
    return this.#client.leaderOf(split.topic, split.partition);
  }

  /** F1 */
  #hasRoom(slot: FetchSlot): boolean {
    const { bufferBytes, partitionBytesMax } = this.#options;
    const share = Math.max(2 * partitionBytesMax, bufferBytes / this.#slots.size);
    return slot.wantsMore && slot.bufferedBytes + partitionBytesMax <= share;
  }

  #run(node: number): void {
    this.#busy.add(node);
    this.#fetchLoop(node)
      .catch((error: unknown) => {
        if (this.#client.signal.aborted) return;
        for (const slot of this.#slots) slot.fail(asError(error));
      })
      .finally(() => {
        this.#busy.delete(node);
        if (!this.#client.signal.aborted) this.#wakeOthers();
      })
      .catch(() => {}); // nothing above rejects
  }

  /** Leaders may have changed while the loop ran. */
  #wakeOthers(): void {
    for (const slot of this.#slots) {
      const node = this.#leaderOf(slot);
      if (!this.#busy.has(node) && this.#hasRoom(slot)) this.#run(node);
    }
  }

  async #fetchLoop(node: number): Promise<void> {
    for (let backoffMs = BACKOFF_LEAST_MS; !this.#client.signal.aborted;) {
      const led = [...this.#slots].filter((slot) => this.#leaderOf(slot) === node);
      const slots = led.filter((slot) => this.#hasRoom(slot));
      if (slots.length === 0) return;
      const good = node >= 0 && (await this.#fetchOnce(node, slots, led.length));
      if (good) backoffMs = BACKOFF_LEAST_MS;
      else {
        await this.#client.pause(backoffMs);
        backoffMs = Math.min(BACKOFF_MOST_MS, backoffMs * 2);
        await this.#client.refresh().catch((error: unknown) => {
          if (!isUnavailable(error)) throw error;
        });
      }
    }
  }

  /** False: something is to be tried again after a pause. */
  async #fetchOnce(node: number, slots: readonly FetchSlot[], ledCount: number): Promise<boolean> {
    const { isolation, waitMsMax, requestBytesMax, partitionBytesMax } = this.#options;
    const waitMs = slots.length === ledCount ? waitMsMax : Math.min(this.#waitMs, waitMsMax); // F3
    // A request begins with another partition each time, so that none starves behind the limit of the answer.
    const first = slots.length === 0 ? 0 : this.#rotation++ % slots.length;
    const ordered = [...slots.slice(first), ...slots.slice(0, first)];
    const partitions = ordered.map(({ split: { topic, topicId, partition }, offset }) => ({
      topic,
      topicId,
      partition,
      offset,
      bytesMax: partitionBytesMax,
    }));
    let answer;
    try {
      answer = await this.#client.transport.fetchRecords(node, {
        isolation,
        waitMsMax: waitMs,
        bytesMax: requestBytesMax,
        partitions,
      });
    } catch (error) {
      if (isUnavailable(error)) return false;
      throw error;
    }
    if (answer.errorCode !== 0) {
      if (isTransient(answer.errorCode)) return false;
      throw failureOf('fetching', answer.errorCode);
    }
    return this.#accept(ordered, answer.partitions);
  }

  async #accept(
    slots: readonly FetchSlot[],
    fetched: readonly FetchedPartition[],
  ): Promise<boolean> {
    let good = true;
    let bytes = 0;
    const asked = new Map(
      slots.map((slot) => [`${slot.split.topicId} ${slot.split.partition}`, slot]),
    );
    for (const part of fetched) {
      const slot = asked.get(`${part.topicId} ${part.partition}`);
      if (slot === undefined || !this.#slots.has(slot)) continue;
      if (part.errorCode === 0) {
        bytes += part.records.length;
        addChunk(slot, part);
      } else good = (await this.#onError(slot, part.errorCode)) && good;
    }
    this.#waitMs =
      bytes === 0 ? Math.min(this.#waitMs * 2, this.#options.waitMsMax) : SHORT_WAIT_MS;
    return good;
  }

  /** True: go on at once. */
  async #onError(slot: FetchSlot, errorCode: number): Promise<boolean> {
    const { topic, partition } = slot.split;
    if (errorCode === KafkaError.OFFSET_OUT_OF_RANGE) return this.#onOutOfRange(slot);
    if (
      errorCode === KafkaError.UNKNOWN_TOPIC_ID ||
      errorCode === KafkaError.INCONSISTENT_TOPIC_ID ||
      errorCode === KafkaError.UNKNOWN_TOPIC_OR_PARTITION
    )
      return this.#onUnknownTopic(slot);
    if (isStaleLeader(errorCode) || isTransient(errorCode)) return false;
    slot.fail(failureOf(`fetching ${topic}-${partition} at offset ${slot.offset}`, errorCode));
    return true;
  }

  async #onOutOfRange(slot: FetchSlot): Promise<boolean> {
    const { topic, partition } = slot.split;
    const { outOfRange, isolation } = this.#options;
    if (outOfRange === 'fail') {
      slot.fail(
        new MillraceError(
          'data',
          'KAFKA_OFFSET_OUT_OF_RANGE',
          `${topic}-${partition}: offset ${slot.offset} is not there any more or not yet (retention, or a truncated log). Records may be lost: restore them, or accept it by outOfRange 'earliest' or 'latest'`,
          { details: { topic, partition, offset: slot.offset, permanent: true } },
        ),
      );
      return true;
    }
    const timestamp = outOfRange === 'earliest' ? EARLIEST_OFFSET : LATEST_OFFSET;
    const found = await lookUpOffsets(this.#client, isolation, [{ topic, partition, timestamp }]);
    const offset = found.get(slot.id)!; // asked for
    this.#logger.log(
      'warn',
      `${slot.id}: offset ${slot.offset} is out of range; going on at ${offset}`,
    );
    slot.offset = offset;
    return true;
  }

  /** The topic may be new to this broker, gone, or another one under the same name. */
  async #onUnknownTopic(slot: FetchSlot): Promise<boolean> {
    const { topic, topicId } = slot.split;
    let now;
    try {
      now = (await this.#client.metadata([topic])).topics.find((info) => info.topic === topic);
    } catch (error) {
      if (isUnavailable(error)) return false;
      throw error;
    }
    if (now?.errorCode !== 0 || now.topicId === topicId) return false;
    slot.fail(
      new MillraceError(
        'data',
        'KAFKA_TOPIC_RECREATED',
        `the topic ${topic} was deleted and created again: the offsets in this job's state mean nothing in it. Start the source without its state, or under another uid`,
        { details: { topic, permanent: true } },
      ),
    );
    return true;
  }
}

/** F2 */
function addChunk(slot: FetchSlot, { records, aborted }: FetchedPartition): void {
  const end = endOffsetOf(records);
  if (end <= slot.offset) return;
  const fromOffset = slot.offset;
  slot.offset = end;
  slot.add({ fromOffset, records, aborted });
}

/** After the last whole batch; -1 when there is none. */
function endOffsetOf(records: Buffer): number {
  let end = -1;
  for (let at = 0; records.length - at >= BATCH_HEADER_BYTES;) {
    const next = at + 12 + records.readInt32BE(at + 8);
    if (next > records.length || next <= at) break;
    end = Number(records.readBigInt64BE(at)) + records.readInt32BE(at + 23) + 1;
    at = next;
  }
  return end;
}
