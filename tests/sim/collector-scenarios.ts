/** F19: garbage collection races checkpoints, restores, savepoints and clones. */
import { jobIdOf } from '../../src/cluster/run-job.ts';
import { isMillraceError } from '../../src/base/errors.ts';
import { decodeRecord } from '../../src/state/checkpoint-record.ts';
import { StoreSnapshotReader } from '../../src/state/checkpoint-storage.ts';
import { forkJob, pinCheckpoint, readHead, releasePin } from '../../src/state/pins.ts';
import { writeSavepoint } from '../../src/state/savepoint/write-savepoint.ts';
import { RetryingStore } from '../../src/storage/retrying-store.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { SimWorld } from '../../src/testing/sim-world.ts';
import type { Scenario, Scene } from './scenario.ts';
import { CRASHES, drawFaults, drawShort } from './short-settings.ts';

/** There is nothing to take yet, it went before it could be held, or no savepoint holds it: the answer is to try another. */
const TRY_ANOTHER: ReadonlySet<string> = new Set([
  'NO_SUCH_JOB',
  'NO_SUCH_CHECKPOINT',
  'CHECKPOINT_NOT_RETAINED',
  'CHECKPOINT_UNALIGNED',
]);

/** Somebody outside of the job who works with its checkpoints. */
function visit(
  scene: Scene,
  what: string,
  work: (store: RetryingStore, world: SimWorld) => Promise<void>,
): void {
  const world = scene.sim.startProcess(what);
  work(new RetryingStore(scene.bucket.of(world.node), world), world).then(
    () => scene.met(what),
    (error: unknown) => {
      if (isMillraceError(error) && TRY_ANOTHER.has(error.code)) return;
      const message = `${what} failed: ${String(error)}`;
      scene.violations.push({ checker: 'F19', message, evidence: { error } });
    },
  );
}

/** Starts a job from a checkpoint of the main one. */
export function fork(scene: Scene, name: string, checkpointId?: number): void {
  visit(scene, 'fork', async (store) => {
    const into = jobIdOf(name);
    const from = { jobId: scene.main.jobId, checkpointId, into, pinId: name };
    const forked = await forkJob(store, from);
    scene.startAnother(name, forked.checkpointId);
  });
}

/** Holds the newest checkpoint, and reads every byte of its state, slowly. */
function takeSavepoint(scene: Scene, name: string): void {
  const { jobId } = scene.main;
  visit(scene, 'savepoint', async (store, world) => {
    const newest = (await readHead(store, jobId)).checkpoints.at(-1);
    if (newest === undefined) return;
    await pinCheckpoint(store, jobId, { id: name, owner: name, ...newest });
    const source = {
      store,
      reader: new StoreSnapshotReader(store),
      yieldToLoop: () => new Promise<void>((resolve) => world.timers.soon(resolve)),
    };
    const record = decodeRecord(await store.get(newest.key), newest.key);
    await writeSavepoint(record, source, {
      put: (key, bytes) => store.put(`savepoints/${name}/${key}`, bytes),
    });
    await releasePin(store, jobId, name);
  });
}

export const F19: Scenario = {
  name: 'F19',
  title: 'garbage is collected at once, beside checkpoints, restores, savepoints and clones',
  settings: (seed) => {
    const settings = drawShort(seed, 'F19');
    const random = new SeededRandom(seed).fork('races of F19');
    return {
      ...settings,
      sink: 'collect',
      config: {
        ...settings.config,
        'execution.checkpointing.interval': 20,
        'execution.checkpointing.num-retained': random.pick([1, 1, 2]),
        'execution.checkpointing.garbage-grace-period': random.pick([0, 0, 20]),
      },
      storeFaults: {
        ...settings.storeFaults,
        latencyMostMs: random.pick([5, 20, 60]),
        refusedProbability: random.pick([0, 0.05]),
      },
      faults: drawFaults(random, [...CRASHES, 'zombie-master'], { most: 3, durationMostMs: 300 }),
    };
  },
  stage: (scene) => {
    const { sim, random } = scene;
    for (let i = random.between(1, 2); i > 0; i--)
      sim.at(random.float(30, 400), 'forks', () => fork(scene, `fork-${i}`));
    for (let i = random.int(3); i > 0; i--)
      sim.at(random.float(30, 400), 'takes a savepoint', () => takeSavepoint(scene, `save-${i}`));
  },
  meets: ['fork', 'savepoint', 'refused'],
};
