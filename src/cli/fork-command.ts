/** `millrace fork`: a job of one's own that begins where a checkpoint of another is, by reference. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { keepAlive, realWorld } from '../base/real-world.ts';
import { jobIdOf } from '../cluster/run-job.ts';
import { encodeHead, headKeyOf, newHead } from '../state/job-head.ts';
import { pinCheckpoint, releasePin } from '../state/pins.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { findCheckpoint } from './checkpoint-location.ts';
import { type ForkOrigin, openStoreAt, readForkOrigin, writeForkOrigin } from './fork-origin.ts';
import { forkNameOf } from './forked-program.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

export function addForkCommand(program: Command, property: Property): void {
  program
    .command('fork <checkpoint>')
    .description('a local job that begins at a checkpoint, by reference; run it with run --fork')
    .option('--into <dir>', 'an empty local folder')
    .option('--release', '<checkpoint> is the folder of a fork that is not needed any more')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(
      async (
        location: string,
        { into, release, D }: { into?: string; release?: boolean; D: Config },
      ) => {
        const letGo = keepAlive();
        if (release === true) await releaseFork(location).finally(letGo);
        else await fork(location, into, D).finally(letGo);
      },
    );
}

async function fork(location: string, into: string | undefined, config: Config): Promise<void> {
  if (into === undefined) throw invalid('BAD_OPTION', '--into names the folder of the fork');
  const { store, key, record, place } = await findCheckpoint(location, config);
  const target = openStoreAt(into, config);
  try {
    if (record.savepoint !== undefined)
      throw invalid('NOT_A_CHECKPOINT', 'start from a savepoint with `millrace run -s` instead');
    const { jobId, jobName, checkpointId, completedAtMs } = record;
    if ((await readForkOrigin(target)) !== undefined)
      throw invalid('FORK_EXISTS', `there is a fork in ${into} already; choose another folder`);
    const pinId = `fork-${realWorld().ids.next().slice(0, 12)}`;
    await pinCheckpoint(store, jobId, { id: pinId, checkpointId, key, owner: `a fork in ${into}` });
    const origin: ForkOrigin = { version: 1, location: absolute(place), jobId, pinId, config };
    await writeForkOrigin(target, origin);
    const id = jobIdOf(forkNameOf(jobName));
    const head = { ...newHead(id), checkpoints: [{ checkpointId, key, completedAtMs }] };
    await target.put(headKeyOf(id), encodeHead(head));
    realWorld().print(
      `forked checkpoint ${checkpointId} of "${jobName}" into ${into}; run it with: millrace run --fork ${into} <program>`,
    );
  } finally {
    await target.close();
    await store.close();
  }
}

/** The fork may be run from elsewhere. */
const absolute = (place: string): string =>
  /^[a-z0-9]+:\/\//i.test(place) ? place : resolve(place);

async function releaseFork(into: string): Promise<void> {
  const target = openStoreAt(into, {});
  try {
    const { location, jobId, pinId, config } = await originOf(target, into);
    const store = openStoreAt(location, config);
    try {
      await releasePin(store, jobId, pinId);
    } finally {
      await store.close();
    }
  } finally {
    await target.close();
  }
  realWorld().print(`released; ${into} can be deleted`);
}

async function originOf(target: ObjectStore, into: string): Promise<ForkOrigin> {
  const origin = await readForkOrigin(target);
  if (origin !== undefined) return origin;
  throw invalid('NO_SUCH_FORK', `there is no fork in ${into}; make one with \`millrace fork\``);
}

/** What a program is run with as a fork. */
export async function forkOptions(into: string): Promise<Config> {
  const target = openStoreAt(into, {});
  let origin: ForkOrigin;
  try {
    origin = await originOf(target, into);
  } finally {
    await target.close();
  }
  const { location, config } = origin;
  return {
    ...config,
    'execution.checkpointing.dir': into,
    'execution.fork.origin': location,
    'execution.until': 'now',
    'parallelism.default': 1,
  };
}
