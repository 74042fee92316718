/**
 * One partition of the model broker: record batches as bytes, what their producers may still append, and where transactions lie open.
 *
 * Invariants
 *  L1  A batch of a producer is stored once: a sequence that was stored before answers its offset, a gap is refused.
 *  L2  A batch or marker of an older epoch than the newest that the partition has seen of its producer is refused.
 *  L3  Readers of committed records get nothing at or behind the first record of an open transaction.
 */
import { crc32c } from '@platformatic/kafka';
import { KafkaError } from '../../connectors/kafka/error-codes.ts';
import type { AbortedTransaction, ProducerIdentity } from '../../connectors/kafka/transport.ts';

const BATCHES_REMEMBERED = 5;
const TRANSACTIONAL_BIT = 0x10;
const CONTROL_BIT = 0x20;

export interface LoggedBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly bytes: Buffer;
  readonly producerId: number;
  readonly transactional: boolean;
  readonly control: boolean;
}

interface ProducerState {
  epoch: number;
  /** The newest batches: first sequence, offset. */
  recent: { readonly sequence: number; readonly count: number; readonly baseOffset: number }[];
  nextSequence: number;
}

interface EndedTransaction extends AbortedTransaction {
  readonly lastOffset: number;
}

export interface Appended {
  readonly errorCode: number;
  readonly baseOffset: number;
}

export class SimLog {
  readonly batches: LoggedBatch[] = [];
  readonly #producers = new Map<number, ProducerState>();
  /** First offset of the open transaction of a producer. */
  readonly #open = new Map<number, number>();
  readonly #aborted: EndedTransaction[] = [];
  #next = 0;

  get highWatermark(): number {
    return this.#next;
  }

  /** L3 */
  get lastStableOffset(): number {
    return Math.min(this.#next, ...this.#open.values());
  }

  isOpen(producerId: number): boolean {
    return this.#open.has(producerId);
  }

  /** The newest epoch seen of a producer; -1: none. */
  epochOf(producerId: number): number {
    return this.#producers.get(producerId)?.epoch ?? -1;
  }

  append(sent: Buffer): Appended {
    const bytes = Buffer.from(sent);
    const producerId = Number(bytes.readBigInt64BE(43));
    const epoch = bytes.readInt16BE(51);
    const sequence = bytes.readInt32BE(53);
    const count = bytes.readInt32BE(57);
    const transactional = (bytes.readInt16BE(21) & TRANSACTIONAL_BIT) !== 0;
    if (producerId >= 0) {
      const state = this.#producer(producerId, epoch);
      if (epoch < state.epoch) return refused(KafkaError.INVALID_PRODUCER_EPOCH); // L2
      const known = state.recent.find(
        (batch) => batch.sequence === sequence && batch.count === count,
      );
      if (known !== undefined) return { errorCode: 0, baseOffset: known.baseOffset }; // L1
      if (sequence !== state.nextSequence) return refused(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER);
      state.nextSequence += count;
      state.recent = [...state.recent, { sequence, count, baseOffset: this.#next }].slice(
        -BATCHES_REMEMBERED,
      );
      if (transactional && !this.#open.has(producerId)) this.#open.set(producerId, this.#next);
    }
    bytes.writeBigInt64BE(BigInt(this.#next), 0);
    const baseOffset = this.#store(bytes, { count, producerId, transactional, control: false });
    return { errorCode: 0, baseOffset };
  }

  /** Ends the open transaction of a producer here, if there is one, and fences its older epochs. */
  mark({ producerId, producerEpoch }: ProducerIdentity, commit: boolean, nowMs: number): void {
    const state = this.#producer(producerId, producerEpoch);
    if (producerEpoch < state.epoch) return; // L2
    const firstOffset = this.#open.get(producerId);
    this.#open.delete(producerId);
    if (firstOffset !== undefined && !commit)
      this.#aborted.push({ producerId, firstOffset, lastOffset: this.#next });
    const marker = markerOf({ producerId, producerEpoch }, commit, nowMs);
    marker.writeBigInt64BE(BigInt(this.#next), 0);
    this.#store(marker, { count: 1, producerId, transactional: true, control: true });
  }

  /** Whole batches from the one that holds `offset` on. */
  read(offset: number, upTo: number, bytesMax: number): Buffer {
    const found: Buffer[] = [];
    let bytes = 0;
    for (const batch of this.batches) {
      if (batch.lastOffset < offset) continue;
      if (batch.baseOffset >= upTo || (found.length > 0 && bytes + batch.bytes.length > bytesMax))
        break;
      found.push(batch.bytes);
      bytes += batch.bytes.length;
    }
    return Buffer.concat(found);
  }

  aborted(from: number, upTo: number): AbortedTransaction[] {
    return this.#aborted
      .filter(({ firstOffset, lastOffset }) => lastOffset >= from && firstOffset < upTo)
      .sort((a, b) => a.firstOffset - b.firstOffset);
  }

  #producer(producerId: number, epoch: number): ProducerState {
    let state = this.#producers.get(producerId);
    if (state === undefined || epoch > state.epoch) {
      state = { epoch, recent: [], nextSequence: 0 };
      this.#producers.set(producerId, state);
    }
    return state;
  }

  #store(
    bytes: Buffer,
    {
      count,
      ...facts
    }: { count: number } & Pick<LoggedBatch, 'producerId' | 'transactional' | 'control'>,
  ): number {
    const baseOffset = this.#next;
    this.#next += count;
    this.batches.push({ baseOffset, lastOffset: this.#next - 1, bytes, ...facts });
    return baseOffset;
  }
}

const refused = (errorCode: number): Appended => ({ errorCode, baseOffset: -1 });

/** A control batch: one record, its key says what it is. */
function markerOf(
  { producerId, producerEpoch }: ProducerIdentity,
  commit: boolean,
  nowMs: number,
): Buffer {
  // Length 16: attributes, timestamp delta, offset delta, key of 4 bytes, value of 6, no headers.
  const record = Buffer.from([32, 0, 0, 0, 8, 0, 0, 0, commit ? 1 : 0, 12, 0, 0, 0, 0, 0, 0, 0]);
  const batch = Buffer.alloc(61 + record.length);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt8(2, 16);
  batch.writeInt16BE(TRANSACTIONAL_BIT | CONTROL_BIT, 21);
  batch.writeBigInt64BE(BigInt(Math.floor(nowMs)), 27);
  batch.writeBigInt64BE(BigInt(Math.floor(nowMs)), 35);
  batch.writeBigInt64BE(BigInt(producerId), 43);
  batch.writeInt16BE(producerEpoch, 51);
  batch.writeInt32BE(-1, 53);
  batch.writeInt32BE(1, 57);
  record.copy(batch, 61);
  batch.writeUInt32BE(crc32c(batch.subarray(21)) >>> 0, 17);
  return batch;
}
