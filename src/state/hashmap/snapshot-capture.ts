/**
 * One snapshot of a hashmap backend on its way: which buckets it has encoded and which it still has to.
 *
 * The flip is O(number of tables). Afterwards a bucket is encoded either by `write`, in the background and in slices, or by
 * `capture`, right before its first change (invariant T1 of `state-table.ts`), whichever comes first.
 */
import { ByteWriter } from '../../base/bytes.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import type { PendingSnapshot } from '../keyed-state-backend.ts';
import type { KeyedStateHandle, SnapshotWriter, StateSummary } from '../snapshot.ts';
import { encodeFooter, type SectionHeader, type TableHeader } from './snapshot-format.ts';
import type { Bucket } from './state-table.ts';

/** What a capture needs to know of a table. */
export interface CapturedTable {
  readonly header: TableHeader;
  readonly buckets: readonly (Bucket | undefined)[];
  groupsOf(bucket: number): KeyGroupRange;
  /** Appends the entries of a bucket; returns how many. */
  encode(bucket: Bucket, writer: ByteWriter): number;
}

/** Encode about this much between yields: some milliseconds. */
const SLICE_BYTES = 256 * 1024;

/** A buffer larger than this is not kept for the next snapshot. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024;

/** The buffer of the last snapshot, for the next: a fresh one each time would have the collector run for it. */
export class SnapshotBuffers {
  #spare: ByteWriter | undefined;

  acquire(): ByteWriter {
    const spare = this.#spare ?? new ByteWriter(64 * 1024);
    this.#spare = undefined;
    spare.reset();
    return spare;
  }

  release(writer: ByteWriter): void {
    if (writer.buffer.length <= KEPT_BYTES_MAX) this.#spare = writer;
  }
}

export class SnapshotCapture implements PendingSnapshot {
  readonly #checkpointId: number;
  readonly #epoch: number;
  readonly #tables: readonly CapturedTable[];
  readonly #base: {
    readonly keySchema: TableHeader['valueSchema'];
    readonly maxParallelism: number;
    readonly range: KeyGroupRange;
  };
  readonly #yieldToLoop: () => Promise<void>;
  readonly #ended: (capture: SnapshotCapture) => void;
  readonly #sections: SectionHeader[] = [];
  readonly #buffers: SnapshotBuffers;
  readonly #writer: ByteWriter;

  constructor(params: {
    readonly checkpointId: number;
    readonly epoch: number;
    readonly tables: readonly CapturedTable[];
    readonly base: {
      readonly keySchema: TableHeader['valueSchema'];
      readonly maxParallelism: number;
      readonly range: KeyGroupRange;
    };
    readonly yieldToLoop: () => Promise<void>;
    readonly ended: (capture: SnapshotCapture) => void;
    readonly buffers: SnapshotBuffers;
  }) {
    this.#checkpointId = params.checkpointId;
    this.#epoch = params.epoch;
    this.#tables = params.tables;
    this.#base = params.base;
    this.#yieldToLoop = params.yieldToLoop;
    this.#ended = params.ended;
    this.#buffers = params.buffers;
    this.#writer = params.buffers.acquire();
  }

  /** Encodes a bucket as it is now, unless that has happened. */
  capture(table: number, index: number): void {
    const captured = this.#tables[table];
    const bucket = captured?.buckets[index];
    if (captured === undefined || bucket === undefined || bucket.capturedEpoch >= this.#epoch)
      return;
    bucket.capturedEpoch = this.#epoch;
    const start = this.#writer.position;
    const entries = captured.encode(bucket, this.#writer);
    if (entries === 0) return;
    const groups = captured.groupsOf(index);
    const length = this.#writer.position - start;
    this.#sections.push({
      table,
      start: groups.start,
      end: groups.end,
      offset: start,
      length,
      entries,
    });
  }

  async write(writer: SnapshotWriter): Promise<KeyedStateHandle> {
    try {
      let budget = SLICE_BYTES;
      for (let table = 0; table < this.#tables.length; table++) {
        for (let index = 0; index < this.#tables[table]!.buckets.length; index++) {
          const before = this.#writer.position;
          this.capture(table, index);
          budget -= this.#writer.position - before;
          if (budget <= 0) {
            await this.#yieldToLoop();
            budget = SLICE_BYTES;
          }
        }
      }
    } finally {
      this.#ended(this);
    }
    const { keySchema, maxParallelism, range } = this.#base;
    this.#writer.raw(
      encodeFooter({
        keySchema,
        maxParallelism,
        tables: this.#tables.map(({ header }) => header),
        sections: this.#sections,
      }),
    );
    const data = await writer.write(`keyed-${this.#checkpointId}`, [this.#writer.view()]);
    // After a failure somebody may still be reading the bytes: that buffer is not used again.
    this.#buffers.release(this.#writer);
    return { backend: 'hashmap', keyGroups: range, data, states: this.#summaries() };
  }

  #summaries(): readonly StateSummary[] {
    const summaries = this.#tables.map(({ header: { name, kind } }) => {
      return { name, kind, entries: 0, bytes: 0 };
    });
    for (const { table, entries, length } of this.#sections) {
      summaries[table]!.entries += entries;
      summaries[table]!.bytes += length;
    }
    return summaries;
  }

  discard(): void {
    this.#ended(this);
  }
}
