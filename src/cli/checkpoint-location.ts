/**
 * What a person means by the place of a checkpoint, in a folder or `s3://bucket/prefix`:
 *
 *   <dir>/<jobId>/chk-<id>-g<generation>[/_metadata]   that checkpoint
 *   <dir>/<jobId>                                      the job's newest
 *   <dir>                                              the newest of the only job there, or the savepoint that it is
 */
import { invalid, MillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { type CheckpointRecord, decodeRecord } from '../state/checkpoint-record.ts';
import { jobIdOf } from '../cluster/run-job.ts';
import { decodeHead, headKeyOf, type JobHead } from '../state/job-head.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openStoreAt, openToRead } from './fork-origin.ts';

export interface FoundCheckpoint {
  readonly store: ObjectStore;
  /** Of the record. */
  readonly key: string;
  readonly record: CheckpointRecord;
  /** The folder or s3://bucket/prefix of that store. */
  readonly place: string;
}

type Config = Readonly<Record<string, JsonValue>>;

/** The caller closes the store. @throws `invalid` NO_SUCH_CHECKPOINT, SEVERAL_JOBS; `data` when the record is corrupt */
export async function findCheckpoint(location: string, config: Config): Promise<FoundCheckpoint> {
  const place = location.replace(/\/+$/, '').replace(/\/_metadata$/, '');
  const checkpoint = /^(.+)\/([^/]+)\/(chk-\d+-g\d+)$/.exec(place);
  if (checkpoint !== null) {
    const [, dir, jobId, name] = checkpoint;
    return open(await openToRead(dir!, config), (store) =>
      recordAt(store, `${jobId}/${name}/_metadata`, dir!),
    );
  }
  const job = /^(.+)\/([^/]+)$/.exec(place);
  if (job !== null) {
    const [, dir, jobId] = job;
    const store = await openToRead(dir!, config);
    if (isKeySegment(jobId!) && (await hasHead(store, jobId!)))
      return open(store, (opened) => newestOf(opened, jobId!, dir!));
    await store.close();
  }
  return open(await openToRead(place, config), async (store) => {
    if ((await store.head('_metadata')) !== undefined) return savepointAt(store, place, config);
    const jobs = await jobsOf(store);
    if (jobs.length === 0) throw noCheckpoint(location);
    if (jobs.length > 1) throw severalJobs(place, jobs);
    return newestOf(store, jobs[0]!.jobId, place);
  });
}

/** A savepoint; of a native one the store that has what it names. */
async function savepointAt(
  store: ObjectStore,
  place: string,
  config: Config,
): Promise<FoundCheckpoint> {
  const found = await recordAt(store, '_metadata', place);
  const { origin } = found.record;
  if (origin === undefined) return found;
  await store.close();
  return { ...found, store: openStoreAt(origin.location, config), place: origin.location };
}

export interface FoundJob {
  readonly store: ObjectStore;
  readonly jobId: string;
}

/** `<dir>/<job>`, by id or name, or `<dir>` where there is only one. The caller closes the store. @throws `invalid` NO_SUCH_JOB, SEVERAL_JOBS */
export async function findJob(location: string, config: Config): Promise<FoundJob> {
  const place = location.replace(/\/+$/, '');
  const job = /^(.+)\/([^/]+)$/.exec(place);
  if (job !== null) {
    const [, dir, name] = job;
    const store = openStoreAt(dir!, config);
    for (const jobId of [name!, jobIdOf(name!)])
      if (isKeySegment(jobId) && (await hasHead(store, jobId))) return { store, jobId };
    await store.close();
  }
  return open(openStoreAt(place, config), async (store) => {
    const jobs = await jobsOf(store);
    if (jobs.length > 1) throw severalJobs(place, jobs);
    if (jobs[0] !== undefined) return { store, jobId: jobs[0].jobId };
    throw invalid(
      'NO_SUCH_JOB',
      `there is no job ${location}: expected <dir>/<job>, by id or name, or the execution.checkpointing.dir of one job`,
      { location },
    );
  });
}

/** Jobs with a head. */
export async function jobsOf(store: ObjectStore): Promise<readonly JobHead[]> {
  const heads: JobHead[] = [];
  for await (const { key } of store.list(''))
    if (/^[^/]+\/head$/.test(key)) heads.push(decodeHead(await store.get(key), key));
  return heads;
}

const isKeySegment = (text: string): boolean =>
  /^[A-Za-z0-9._=-]+$/.test(text) && !/^\.+$/.test(text);

const hasHead = async (store: ObjectStore, jobId: string): Promise<boolean> =>
  (await store.head(headKeyOf(jobId))) !== undefined;

async function open<T>(store: ObjectStore, read: (store: ObjectStore) => Promise<T>): Promise<T> {
  try {
    return await read(store);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function newestOf(
  store: ObjectStore,
  jobId: string,
  place: string,
): Promise<FoundCheckpoint> {
  const key = headKeyOf(jobId);
  const newest = decodeHead(await store.get(key), key).checkpoints.at(-1);
  if (newest === undefined)
    throw invalid('NO_SUCH_CHECKPOINT', `job ${jobId} has no checkpoint yet`, { jobId });
  return recordAt(store, newest.key, place);
}

async function recordAt(store: ObjectStore, key: string, place: string): Promise<FoundCheckpoint> {
  try {
    return { store, key, place, record: decodeRecord(await store.get(key), key) };
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'OBJECT_NOT_FOUND') throw error;
    throw new MillraceError(
      'invalid',
      'NO_SUCH_CHECKPOINT',
      `there is no checkpoint record ${key}; \`millrace state list <dir>\` shows which exist`,
      { cause: error },
    );
  }
}

const severalJobs = (place: string, jobs: readonly JobHead[]): MillraceError =>
  invalid(
    'SEVERAL_JOBS',
    `there are several jobs in ${place}; say which:\n${jobs.map(({ jobId }) => `  ${place}/${jobId}`).join('\n')}`,
  );

const noCheckpoint = (location: string): MillraceError =>
  invalid(
    'NO_SUCH_CHECKPOINT',
    `${location} is no checkpoint and holds none: expected <dir>/<jobId>/chk-<id>-g<generation>, <dir>/<jobId>, or the dir of one job`,
    { location },
  );
