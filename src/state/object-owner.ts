/**
 * Who wrote an object of a job, by its name alone. Attempt ids carry the generation of the coordinator that began them.
 *
 *   <jobId>/chk-<id>-g<generation>/_metadata        a coordinator
 *   <jobId>/chk-<id>/<attempt>-...                  an attempt
 *   <jobId>/shared/<attempt>-...                    an attempt
 *   <jobId>/shared/pack-<attempt>-...               attempts of one worker and generation
 */
import type { Ids } from '../base/world.ts';

export interface ObjectOwner {
  readonly generation: number;
  /** Undefined where it was not one attempt. */
  readonly attemptId: string | undefined;
}

export const newAttemptId = (generation: number, ids: Pick<Ids, 'next'>): string =>
  `g${generation}a${ids.next()}`;

/** Undefined for ids that nobody made for a job, as in tests. */
export function generationOf(attemptId: string): number | undefined {
  const match = /^g(\d+)a/.exec(attemptId);
  return match === null ? undefined : Number(match[1]);
}

const RECORD = /^chk-\d+-g(\d+)\/_metadata$/;
const OF_ATTEMPT = /^(?:chk-\d+|shared)\/(g(\d+)a[A-Za-z0-9]+)-/;
const PACK = /^shared\/pack-g(\d+)a[A-Za-z0-9]+-/;

/** Undefined: nothing is known of the object, and nobody but its owner may delete it. */
export function ownerOf(jobId: string, key: string): ObjectOwner | undefined {
  const name = key.slice(jobId.length + 1);
  const attempt = OF_ATTEMPT.exec(name);
  if (attempt !== null) return { generation: Number(attempt[2]), attemptId: attempt[1] };
  const shared = PACK.exec(name) ?? RECORD.exec(name);
  return shared === null ? undefined : { generation: Number(shared[1]), attemptId: undefined };
}
