/** The `forst` state backend of one worker: opens keyed backends over shared caches, from manifests alone. */
import { loadCanonical } from './load-canonical.ts';
import { boundsOf, stateKeyPrefixLength } from './state-key.ts';
import type { LsmTree } from '../../lsm/lsm-tree.ts';
import { type WarmTable, warmTables } from './hot-blocks.ts';
import { decodeManifest, type Manifest } from './manifest.ts';
import {
  clipVersion,
  joinVersions,
  type TreeVersion,
  versionFromJson,
} from '../../lsm/tree-version.ts';
import { MillraceError } from '../../base/errors.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import type {
  KeyedBackendParams,
  KeyedStateBackend,
  StateBackend,
} from '../keyed-state-backend.ts';
import { checkKeySchema, ForstKeyedBackend } from './forst-keyed-backend.ts';
import type { ForstWorker } from './forst-worker.ts';

export class ForstStateBackend implements StateBackend {
  readonly name = 'forst';
  readonly #worker: ForstWorker;

  constructor(worker: ForstWorker) {
    this.#worker = worker;
  }

  /** @throws `data` FORST_MANIFEST_CORRUPT, STATE_BACKEND_DIFFERS, KEY_SCHEMA_INCOMPATIBLE */
  async createKeyed(params: KeyedBackendParams): Promise<KeyedStateBackend> {
    const { manifests, data, timers, warm } = await restoredVersions(params);
    const open = (version: TreeVersion): Promise<LsmTree> =>
      this.#worker.openTree({
        attemptId: params.attemptId,
        version,
        prefixLength: stateKeyPrefixLength,
        yieldToLoop: params.yieldToLoop,
      });
    const [dataTree, timerTree] = await Promise.all([open(data), open(timers)]);
    const loaded = await loadCanonical(params, {
      data: dataTree,
      timers: timerTree,
      unflushedBytesMax: this.#worker.unflushedBytesMax,
    });
    if (loaded !== undefined) checkKeySchema(params, loaded);
    return new ForstKeyedBackend(params, this.#worker, {
      manifests: loaded === undefined ? manifests : [...manifests, loaded],
      data: dataTree,
      timers: timerTree,
      warm,
    });
  }

  close(): Promise<void> {
    return this.#worker.close();
  }
}

/** Manifests only: the trees' files are opened when something in them is needed. */
async function restoredVersions(params: KeyedBackendParams): Promise<{
  manifests: readonly Manifest[];
  data: TreeVersion;
  timers: TreeVersion;
  warm: readonly WarmTable[];
}> {
  const manifests: Manifest[] = [];
  const data: TreeVersion[] = [];
  const timers: TreeVersion[] = [];
  const warm: WarmTable[] = [];
  for (const handle of params.restore) {
    if (handle.backend === 'canonical') continue;
    if (handle.backend !== 'forst') throw otherBackend(params.operatorId, handle.backend);
    const manifest = decodeManifest(await params.reader.read(handle.data));
    checkKeySchema(params, manifest);
    manifests.push(manifest);
    const range = intersection(handle.keyGroups, params.keyGroupRange);
    if (range === undefined) continue;
    const { smallest, largest } = boundsOf(range);
    const version = versionFromJson(manifest.data);
    data.push(clipVersion(version, smallest, largest));
    warm.push(...warmTables(version, manifest.hot));
    timers.push(clipVersion(versionFromJson(manifest.timers), smallest, largest));
  }
  return { manifests, data: joinVersions(data), timers: joinVersions(timers), warm };
}

function intersection(a: KeyGroupRange, b: KeyGroupRange): KeyGroupRange | undefined {
  const start = Math.max(a.start, b.start);
  const end = Math.min(a.end, b.end);
  return start <= end ? { start, end } : undefined;
}

const otherBackend = (operatorId: string, backend: string): MillraceError =>
  new MillraceError(
    'invalid',
    'STATE_BACKEND_DIFFERS',
    `the state of operator ${operatorId} was written by the ${backend} backend and cannot be opened by forst. Take a canonical savepoint with ${backend} and restore that, or set state.backend.type to ${backend}`,
    { details: { operator: operatorId, backend } },
  );
