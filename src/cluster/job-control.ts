/**
 * The control object of a job, `<jobId>/control`: what its operators ask of it, and what became of it. Changed by compare-and-set only, by
 * whoever asks and by the job master, which looks at it every `jobmanager.control.poll-interval`. It needs nothing but the store that a job
 * has anyway: no port, no signal, no process to be found.
 *
 *   version 1  {crc32, body: {version, jobId, requests}}
 *
 * Invariants
 *  R1  A request is for one generation of the job: one that nobody served is not served by a later run.
 *  R2  Waiting -> accepted -> done or failed. Who asked may withdraw what is waiting; what is accepted is being done.
 */
import { crc32 } from 'node:zlib';
import { type ErrorKind, invalid, MillraceError } from '../base/errors.ts';
import { checkedBody, type SavepointFormat } from '../state/checkpoint-record.ts';
import type { ObjectStore } from '../storage/object-store.ts';

export type JobOperation =
  | {
      readonly type: 'savepoint' | 'stop';
      readonly directory?: string | undefined;
      readonly format?: SavepointFormat | undefined;
      readonly drain?: boolean;
    }
  | { readonly type: 'cancel' };

export interface ControlRequest {
  readonly id: string;
  /** R1 */
  readonly generation: number;
  readonly operation: JobOperation;
  readonly state: 'waiting' | 'accepted' | 'done' | 'failed';
  /** Of a savepoint that is done: where it is. */
  readonly location?: string;
  readonly error?: { readonly kind: ErrorKind; readonly code: string; readonly message: string };
}

export interface JobControl {
  readonly version: typeof VERSION;
  readonly jobId: string;
  /** Oldest first. */
  readonly requests: readonly ControlRequest[];
}

type ControlStore = Pick<ObjectStore, 'head' | 'get' | 'putIfMatch' | 'putIfAbsent'>;

const VERSION = 1;
const REQUESTS_MAX = 50;
const TRIES_MAX = 100;

export const controlKeyOf = (jobId: string): string => `${jobId}/control`;

export const newControl = (jobId: string): JobControl => ({
  version: VERSION,
  jobId,
  requests: [],
});

/** @throws `data` CHECKPOINT_RECORD_CORRUPT, CONTROL_VERSION */
export function decodeControl(bytes: Uint8Array, key: string): JobControl {
  const control = JSON.parse(checkedBody(bytes, key)) as JobControl; // written by changeControl, guarded by its checksum
  if (control.version !== VERSION)
    throw new MillraceError(
      'data',
      'CONTROL_VERSION',
      `${key} has version ${String(control.version)}; this release reads ${VERSION}`,
    );
  return control;
}

function encodeControl(control: JobControl): Uint8Array {
  const body = JSON.stringify(control);
  return Buffer.from(JSON.stringify({ crc32: crc32(body), body }));
}

/** Applies a change that returns its argument when there is nothing to do. @throws `unavailable` CONTROL_CONTENDED */
export async function changeControl(
  store: ControlStore,
  jobId: string,
  change: (control: JobControl) => JobControl,
): Promise<JobControl> {
  const key = controlKeyOf(jobId);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const meta = await store.head(key);
    const before =
      meta === undefined ? newControl(jobId) : decodeControl(await store.get(key), key);
    const next = change(before);
    if (next === before) return before;
    const put =
      meta === undefined
        ? await store.putIfAbsent(key, encodeControl(next))
        : await store.putIfMatch(key, encodeControl(next), meta.etag);
    if (put.outcome === 'stored') return next;
  }
  throw new MillraceError(
    'unavailable',
    'CONTROL_CONTENDED',
    `${key} was changed by others ${TRIES_MAX} times in a row; try again`,
  );
}

/** @throws `invalid` TOO_MANY_REQUESTS */
export function withRequest(control: JobControl, request: ControlRequest): JobControl {
  if (control.requests.some(({ id }) => id === request.id)) return control;
  const isOpen = ({ state, generation }: ControlRequest): boolean =>
    generation === request.generation && (state === 'waiting' || state === 'accepted');
  const open = control.requests.filter(isOpen);
  if (open.length >= REQUESTS_MAX)
    throw invalid(
      'TOO_MANY_REQUESTS',
      `job ${control.jobId} has ${REQUESTS_MAX} open requests; wait until it has answered some`,
    );
  const settled = control.requests.filter((other) => !isOpen(other));
  const kept = settled.slice(Math.max(0, settled.length - (REQUESTS_MAX - 1 - open.length)));
  return { ...control, requests: [...kept, ...open, request] };
}

/** With a request in its new state (R2); unchanged if it is gone or has come further. */
export function withState(
  control: JobControl,
  id: string,
  state: Partial<ControlRequest> & Pick<ControlRequest, 'state'>,
): JobControl {
  const request = control.requests.find((candidate) => candidate.id === id);
  if (request === undefined || ORDER[request.state] >= ORDER[state.state]) return control;
  return {
    ...control,
    requests: control.requests.map((other) => (other === request ? { ...other, ...state } : other)),
  };
}

const ORDER = { waiting: 0, accepted: 1, done: 2, failed: 2 } as const;

/** Without a request that nobody has accepted. */
export function withdrawn(control: JobControl, id: string): JobControl {
  const requests = control.requests.filter(
    (request) => request.id !== id || request.state !== 'waiting',
  );
  return requests.length === control.requests.length ? control : { ...control, requests };
}
