/**
 * One snapshot of a forst backend: the epoch was closed at the barrier; here what is dirty in it is written to the trees' closing
 * memtables, these become files, and a manifest names them.
 */
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { type TreeVersion, versionToJson } from '../../lsm/tree-version.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import type { PendingSnapshot } from '../keyed-state-backend.ts';
import type { FileRef, KeyedStateHandle, SnapshotWriter } from '../snapshot.ts';
import { hotTables } from './hot-blocks.ts';
import { encodeManifest, filesOf, type Manifest } from './manifest.ts';
import type { WriteBack } from './write-back.ts';

export interface ForstSnapshotParams {
  readonly checkpointId: number;
  readonly operatorId: string;
  readonly keyGroups: KeyGroupRange;
  readonly base: Omit<Manifest, 'data' | 'timers' | 'hot'>;
  readonly writeBack: WriteBack;
  readonly data: LsmTree;
  readonly timers: LsmTree;
  readonly yieldToLoop: () => Promise<void>;
  /** Settles when those files are in the object store. */
  readonly publish: (files: readonly FileRef[]) => Promise<void>;
  readonly ended: (snapshot: ForstSnapshot) => void;
}

export class ForstSnapshot implements PendingSnapshot {
  readonly #params: ForstSnapshotParams;
  #versions: Promise<readonly [TreeVersion, TreeVersion]> | undefined;

  constructor(params: ForstSnapshotParams) {
    this.#params = params;
  }

  async write(writer: SnapshotWriter): Promise<KeyedStateHandle> {
    const { base, operatorId, keyGroups, writeBack, yieldToLoop } = this.#params;
    await writeBack.endEpoch(yieldToLoop);
    const [data, timers] = await this.end();
    const trees = { ...base, data: versionToJson(data), timers: versionToJson(timers) };
    const files = filesOf(trees);
    const [hot] = await Promise.all([
      hotTables(this.#params.data, data, yieldToLoop),
      this.#params.publish(files),
    ]);
    const manifest = { ...trees, hot };
    const bytes = encodeManifest(manifest);
    const handle = await writer.write(`${operatorId}.forst`, [bytes]);
    const states = manifest.states.map(({ name, kind }) => ({ name, kind }));
    return { backend: 'forst', keyGroups, data: handle, files, states };
  }

  /** Closes the epoch for good; whoever comes first. What has not been written to the trees by now is written at once. */
  end(): Promise<readonly [TreeVersion, TreeVersion]> {
    if (this.#versions === undefined) {
      const { writeBack, data, timers } = this.#params;
      writeBack.endEpochNow();
      this.#versions = Promise.all([data.endEpoch(), timers.endEpoch()]);
      // Nobody may be waiting: then the next snapshot meets the failure.
      this.#versions.catch(() => {});
      this.#params.ended(this);
    }
    return this.#versions;
  }

  discard(): void {
    void this.end().catch(() => {});
  }
}
