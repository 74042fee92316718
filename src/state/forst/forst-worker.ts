/**
 * What the forst backends of one worker share: the block source, the writing of files, the memory budget, compaction.
 *
 * The memory budget is split: three eighths for live values, half for blocks with the indexes and filters of open files, of which live
 * values have up to an eighth while there is nothing in it (blocks leave it to them and to indexes and filters), the rest for
 * memtables; backends share the first part by need, none below an equal share.
 */
import {
  COMPACTION_DEFAULTS,
  type CompactionJob,
  type CompactionOptions,
} from '../../lsm/compaction/pick-compaction.ts';
import { type CompactionExecutor, taskOf } from '../../lsm/compaction/compaction-task.ts';
import { type OutputWritten, runCompaction } from '../../lsm/compaction/run-compaction.ts';
import { TreeCompactor } from '../../lsm/compaction/tree-compactor.ts';
import { type TableMeta, tableMetaFromJson } from '../../lsm/table-meta.ts';
import { STATE_KEY_PREFIXES } from './state-key.ts';
import type { BlockSource } from '../../lsm/block-source.ts';
import { LsmTree, TREE_DEFAULTS } from '../../lsm/lsm-tree.ts';
import { TABLE_DEFAULTS, type TableOptions } from '../../lsm/table-writer.ts';
import type { TreeVersion } from '../../lsm/tree-version.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { type Gauges, treeGauges } from './forst-metrics.ts';
import type { LocalPrimary } from './local-primary.ts';
import type { FileRef } from '../snapshot.ts';
import type { PackedFiles } from './packed-files.ts';
import type { UnnamedFiles } from './unnamed-files.ts';

export interface ForstWorkerParams {
  readonly store: ObjectStore;
  readonly blocks: BlockSource;
  readonly files: PackedFiles;
  /** For live values of all backends of the worker. */
  readonly cacheBytes: number;
  /** What they may have beside that now, because others have no use for it. Default nothing. */
  readonly spareBytes?: () => number;
  readonly memtableBytes?: number;
  /** Of one backend's changes, what a barrier may find not written out (the changelog). Default: as much as memory has room for. */
  readonly tailBytesMax?: number | undefined;
  /** Timers that memory holds of one backend. Default: as many as half of its live values' share is enough for. */
  readonly timersMost?: number | undefined;
  readonly table?: Partial<TableOptions>;
  /** Indexes and filters are fetched before the first record, instead of when they are needed. Default false. */
  readonly opensTablesAtRestore?: boolean;
  readonly compaction?: Partial<CompactionOptions>;
  /** `store`, where working files are on local disk until a checkpoint names them. */
  readonly primary?: LocalPrimary | undefined;
  /** Deletes what trees gave up before a snapshot named it. Default: left to the sweep. */
  readonly unnamed?: UnnamedFiles | undefined;
  /** Where larger compactions run. Default: here. */
  readonly executor?: CompactionExecutor | undefined;
  /** What the worker's backends share, told by one of them. */
  readonly gauges?: Gauges;
  /** Wall clock, for what expires. */
  readonly nowMs: () => number;
  readonly log: (message: string, error: unknown) => void;
}

/** Compactions of fewer bytes are done at once. */
const ELSEWHERE_FROM_BYTES = 4 * 1024 * 1024;

/** A backend, as far as budgets go. */
interface Consumer {
  readonly cachedBytes: number;
}

const unflushedBytes = (tree: LsmTree): number => tree.unflushedBytes;
const activeBytes = (tree: LsmTree): number => tree.activeBytes;

export class ForstWorker {
  readonly #params: ForstWorkerParams;
  readonly #consumers = new Set<Consumer>();
  readonly #publishing = new Set<readonly string[]>();
  #teller: Consumer | undefined;
  readonly #compactors = new Map<LsmTree, TreeCompactor>();

  constructor(params: ForstWorkerParams) {
    this.#params = params;
  }

  /** Of all trees together: beyond this writers wait. */
  get unflushedBytesMax(): number {
    return 4 * (this.#params.memtableBytes ?? TREE_DEFAULTS.memtableBytes);
  }

  get holdsTooMuch(): boolean {
    return this.#bytesOf(unflushedBytes) > this.unflushedBytesMax;
  }

  /** Seals the largest memtable when those that are being filled take half of what all may, so that its writing out begins in time. */
  sealIfNeeded(): void {
    if (this.#bytesOf(activeBytes) > this.unflushedBytesMax / 2) this.#largest(activeBytes)!.seal();
  }

  /** Waits while memtables hold too much: the largest trees are written out first. @throws what writing out fails with */
  async relieve(): Promise<void> {
    while (this.holdsTooMuch) {
      const largest = this.#largest(unflushedBytes)!;
      const before = largest.unflushedBytes;
      if (largest.sealedMemtables === 0) largest.seal();
      await largest.flush();
      // What an epoch that is closing holds is written when it has closed.
      if (largest.unflushedBytes >= before) return;
    }
  }

  get timersMost(): number | undefined {
    return this.#params.timersMost;
  }

  get tailBytesMax(): number | undefined {
    return this.#params.tailBytesMax;
  }

  /** Level 1 is twice what level 0 grows to: then a merge of both writes no more than it has to. */
  get #compaction(): CompactionOptions {
    const memtableBytes = this.#params.memtableBytes ?? TREE_DEFAULTS.memtableBytes;
    const level0Bytes = COMPACTION_DEFAULTS.level0RunsMax * memtableBytes;
    const level1Bytes = Math.max(COMPACTION_DEFAULTS.level1Bytes, 2 * level0Bytes);
    return { ...COMPACTION_DEFAULTS, level1Bytes, ...this.#params.compaction };
  }

  async openTree(params: {
    attemptId: string;
    version: TreeVersion;
    prefixLength: TableOptions['prefixLength'];
    yieldToLoop: () => Promise<void>;
  }): Promise<LsmTree> {
    const { store, blocks, files, memtableBytes, table, unnamed } = this.#params;
    const epochs = params.version.runs.flatMap(({ tables }) => tables.map((meta) => meta.maxEpoch));
    const tree = new LsmTree({
      store,
      blocks,
      files: files.ofAttempt(params.attemptId),
      yieldToLoop: params.yieldToLoop,
      version: params.version,
      unnamed: ({ object }) => unnamed?.giveUp(object),
      epoch: epochs.reduce((a, b) => Math.max(a, b), 0) + 1,
      options: {
        table: { ...TABLE_DEFAULTS, ...table, prefixLength: params.prefixLength },
        memtableBytes: memtableBytes ?? TREE_DEFAULTS.memtableBytes,
      },
    });
    this.#compactors.set(tree, this.#compactorOf(tree, params));
    if (this.#params.opensTablesAtRestore === true) await tree.openTables();
    return tree;
  }

  /** What a backend tells of its trees; one of the worker's backends also of what they share. */
  gaugesOf(consumer: Consumer, trees: readonly LsmTree[]): Gauges {
    this.#teller ??= consumer;
    const shared = this.#teller === consumer ? this.#params.gauges : undefined;
    const measured = trees.map((tree) => ({ tree, compactor: this.#compactors.get(tree)! }));
    return { ...treeGauges(measured), ...shared };
  }

  /** Settles when those files are in the object store, so that a checkpoint may name them. */
  async publish(files: readonly FileRef[]): Promise<void> {
    const { primary } = this.#params;
    if (primary === undefined) return;
    const names = files.map(({ object }) => object);
    this.#publishing.add(names);
    try {
      await primary.upload(names);
      primary.sweep(this.#named());
    } finally {
      this.#publishing.delete(names);
    }
  }

  #bytesOf(measure: (tree: LsmTree) => number): number {
    let sum = 0;
    for (const tree of this.#compactors.keys()) sum += measure(tree);
    return sum;
  }

  #largest(measure: (tree: LsmTree) => number): LsmTree | undefined {
    let largest: LsmTree | undefined;
    for (const tree of this.#compactors.keys())
      if (largest === undefined || measure(tree) > measure(largest)) largest = tree;
    return largest;
  }

  #named(): ReadonlySet<string> {
    const named = new Set([...this.#publishing].flat());
    for (const tree of this.#compactors.keys())
      for (const { tables } of tree.version.runs)
        for (const { object } of tables) named.add(object);
    return named;
  }

  closeTree(tree: LsmTree): void {
    this.#compactors.get(tree)?.close();
    this.#compactors.delete(tree);
    tree.close();
  }

  register(consumer: Consumer): void {
    this.#consumers.add(consumer);
  }

  unregister(consumer: Consumer): void {
    this.#consumers.delete(consumer);
    if (this.#teller === consumer) this.#teller = undefined;
  }

  /** What a backend may keep of live values now: an equal share, and what others leave of theirs. */
  cacheBytesOf(consumer: Consumer): number {
    const cacheBytes = this.#params.cacheBytes + (this.#params.spareBytes?.() ?? 0);
    let others = 0;
    for (const other of this.#consumers) if (other !== consumer) others += other.cachedBytes;
    return Math.max(cacheBytes / Math.max(1, this.#consumers.size), cacheBytes - others);
  }

  /** Cheap when there is nothing to do. */
  compactIfNeeded(tree: LsmTree): void {
    this.#compactors.get(tree)?.start();
  }

  isStalled(tree: LsmTree): boolean {
    return this.#compactors.get(tree)?.stalled === true;
  }

  /** What writers have to wait for: a compaction that is behind. */
  stallOf(tree: LsmTree): Promise<void> | undefined {
    const compactor = this.#compactors.get(tree);
    if (compactor?.stalled !== true) return undefined;
    compactor.start();
    return compactor.running;
  }

  #compactorOf(
    tree: LsmTree,
    params: {
      attemptId: string;
      prefixLength: TableOptions['prefixLength'];
      yieldToLoop: () => Promise<void>;
    },
  ): TreeCompactor {
    const { store, blocks, files, table, nowMs, log } = this.#params;
    const options = this.#compaction;
    return new TreeCompactor({
      tree,
      options,
      nowMs,
      run: async (job, signal, written) => {
        const elsewhere = await this.#compactElsewhere(job, params.attemptId, signal, written);
        if (elsewhere !== undefined) return elsewhere;
        return runCompaction(job, {
          store,
          blocks,
          files: files.ofCompaction(params.attemptId),
          table: { ...TABLE_DEFAULTS, ...table, prefixLength: params.prefixLength },
          fileBytes: options.fileBytes,
          nowMs: nowMs(),
          yieldToLoop: params.yieldToLoop,
          signal,
          written,
        });
      },
      failed: (error) => log('a compaction failed and will be tried again', error),
    });
  }

  /** On the executor, if there is one and the job is worth it; undefined: do it here. */
  async #compactElsewhere(
    job: CompactionJob,
    attemptId: string,
    signal: AbortSignal,
    written: OutputWritten,
  ): Promise<readonly TableMeta[] | undefined> {
    const { executor, files, nowMs, log } = this.#params;
    const bytes = job.inputs.reduce(
      (sum, { tables }) => sum + tables.reduce((inner, { length }) => inner + length, 0),
      0,
    );
    if (executor === undefined || bytes < ELSEWHERE_FROM_BYTES) return undefined;
    const table = { ...TABLE_DEFAULTS, ...this.#params.table };
    const task = taskOf(job, {
      blockBytes: table.blockBytes,
      compression: table.compression,
      prefixes: STATE_KEY_PREFIXES,
      fileBytes: this.#compaction.fileBytes,
      nowMs: nowMs(),
      output: files.compactionOutput(attemptId),
    });
    try {
      const { tables } = await executor.run(task, signal, written);
      return tables.map(tableMetaFromJson);
    } catch (error) {
      if (signal.aborted) throw error;
      log('a compaction is done here, because it could not be done elsewhere', error);
      return undefined;
    }
  }

  async close(): Promise<void> {
    this.#params.unnamed?.close();
    await this.#params.executor?.close();
    await this.#params.blocks.close();
    await this.#params.primary?.close();
  }
}
