/**
 * F22: an object is corrupt, cut or gone where it is stored. Whoever needs it says so, by its key; nothing is deleted; when its bytes are back
 * the job goes on as if nothing had been; and an older checkpoint is taken by whoever asks for it, and by nobody else.
 */
import { isMillraceError } from '../../src/base/errors.ts';
import { objectsOf } from '../../src/state/checkpoint-record.ts';
import { headKeyOf } from '../../src/state/job-head.ts';
import type { Violation } from '../../src/testing/checkers.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { fork } from './collector-scenarios.ts';
import type { Scenario, Scene } from './scenario.ts';
import { CRASHES, drawFaults, drawShort } from './short-settings.ts';

const DAMAGES: readonly ((bytes: Uint8Array, random: SeededRandom) => Uint8Array | undefined)[] = [
  (bytes, random) => {
    const damaged = bytes.slice();
    damaged[random.int(bytes.length)]! ^= 1 << random.int(8);
    return damaged;
  },
  (bytes, random) => bytes.slice(0, random.int(bytes.length)),
  () => new Uint8Array(0),
  () => undefined,
];

interface Damage {
  readonly key: string;
  readonly whole: Uint8Array;
  /** The newest checkpoint that has nothing to do with it. */
  readonly soundId: number | undefined;
}

/** Some object of the newest checkpoint: the head, the record, a snapshot, a file that checkpoints share. */
function damageSome({ bucket, audit, main, random }: Scene): Damage | undefined {
  const checkpoints = audit.checkpointsOf(main.jobId);
  const newest = checkpoints.at(-1);
  if (newest === undefined) return undefined;
  const { checkpointId, generation } = newest;
  const record = `${main.jobId}/chk-${checkpointId}-g${generation}/_metadata`;
  const state = random.pick([...objectsOf(newest), record]);
  const key = random.pick([headKeyOf(main.jobId), record, state, state]);
  const whole = bucket.peek(key);
  if (whole === undefined) return undefined;
  audit.excuse(key);
  bucket.spoil(key, random.pick(DAMAGES)(whole, random));
  const sound = checkpoints.slice(0, -1).findLast((older) => !objectsOf(older).has(key));
  return { key, whole, soundId: key === headKeyOf(main.jobId) ? undefined : sound?.checkpointId };
}

/** Whether the error is the named one that this damage has to lead to. */
function namesDamage(error: Error, key: string): boolean {
  return isMillraceError(error) && error.kind === 'data' && error.message.includes(key);
}

const REPAIRED_AFTER_MS = 4000;

/** Which object a run has damaged: per scene, since seeds run one after another. */
const damages = new WeakMap<object, Damage>();

export const F22: Scenario = {
  name: 'F22',
  title: 'an object of the newest checkpoint is corrupt, cut or gone where it is stored',
  settings: (seed) => {
    const settings = drawShort(seed, 'F22');
    const random = new SeededRandom(seed).fork('crashes of F22');
    return {
      ...settings,
      sink: 'collect',
      config: {
        ...settings.config,
        'execution.checkpointing.interval': 20,
        'execution.checkpointing.num-retained': random.pick([2, 3]),
        'execution.checkpointing.data-inline-threshold': random.pick([0, 100]),
      },
      faults: drawFaults(random, CRASHES, { most: 2 }),
      healedAtMs: REPAIRED_AFTER_MS + 500,
    };
  },
  stage: (scene) => {
    const { sim, random, main, bucket, met } = scene;
    sim.at(random.float(60, 250), 'damages an object', () => {
      const damage = main.job.isOver ? undefined : damageSome(scene);
      if (damage === undefined) return;
      damages.set(scene.settings, damage);
      met('damaged');
      // Somebody has to read it.
      main.job.process?.node.crash();
      if (damage.soundId !== undefined && random.chance(0.5)) {
        fork(scene, 'from an older one', damage.soundId);
        scene.giveUpMain();
        return;
      }
      // A put that was under way may have replaced it.
      const damaged = bucket.peek(damage.key);
      sim.at(REPAIRED_AFTER_MS, 'repairs it', () => {
        if (bucket.peek(damage.key) === damaged) bucket.spoil(damage.key, damage.whole);
      });
    });
  },
  check: (scene): readonly Violation[] => {
    const damage = damages.get(scene.settings);
    if (damage === undefined) return [];
    const { job } = scene.main;
    const nameless = job.failures.filter(
      (error) => isMillraceError(error) && error.kind === 'data' && !namesDamage(error, damage.key),
    );
    const logged = job.processes.flatMap((process) => process.logged);
    if (job.failures.some((error) => namesDamage(error, damage.key)))
      scene.met('named by a process');
    if (logged.some(({ message }) => message.includes(damage.key))) scene.met('named in the log');
    return nameless.map((error) => ({
      checker: 'F22',
      message: `an error does not name ${damage.key}: ${error.message}`,
      evidence: { error },
    }));
  },
  restartsAfter: (error) => isMillraceError(error) && error.kind === 'data',
  meets: ['damaged', 'named by a process', 'named in the log', 'fork'],
};
