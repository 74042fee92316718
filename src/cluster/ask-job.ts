/** The asking side of the control object: puts a request there and waits until the job has answered. */
import { invalid, MillraceError } from '../base/errors.ts';
import type { World } from '../base/world.ts';
import { readHead } from '../state/pins.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import {
  changeControl,
  type ControlRequest,
  type JobOperation,
  withdrawn,
  withRequest,
} from './job-control.ts';

export interface Question {
  readonly world: World;
  readonly store: ObjectStore;
  readonly jobId: string;
  readonly operation: JobOperation;
  /** How long the job may take to notice. What it has noticed is waited for without limit. */
  readonly patienceMs: number;
}

const LOOK_MS = 100;

/** Settles with where the savepoint is, if one was asked for. @throws `unavailable` JOB_NOT_ANSWERING; `invalid` NO_SUCH_JOB, JOB_FINISHED; what the job answered */
export async function askJob(question: Question): Promise<string | undefined> {
  const { world, store, jobId, operation, patienceMs } = question;
  const { generation, status } = await readHead(store, jobId);
  if (status === 'finished')
    throw invalid('JOB_FINISHED', `job ${jobId} has finished; there is nobody to ask`);
  const id = world.ids.next();
  const request: ControlRequest = { id, generation, operation, state: 'waiting' };
  await changeControl(store, jobId, (control) => withRequest(control, request));
  const askedAtMs = world.clock.monotonicMs();
  for (;;) {
    await new Promise<void>((resolve) => world.timers.after(LOOK_MS, resolve));
    const isLate = world.clock.monotonicMs() - askedAtMs > patienceMs;
    const { requests } = await changeControl(store, jobId, (control) =>
      isLate ? withdrawn(control, id) : control,
    );
    const answered = requests.find((candidate) => candidate.id === id);
    if (answered === undefined) throw notAnswering(jobId, patienceMs);
    if (answered.state === 'accepted' && (await readHead(store, jobId)).generation !== generation)
      throw new MillraceError(
        'unavailable',
        'JOB_RESTARTED',
        `job ${jobId} was started again before it had answered; ask again`,
      );
    if (answered.state === 'done') return answered.location;
    if (answered.state === 'failed') {
      const { kind, code, message } = answered.error!; // failed requests have one
      throw new MillraceError(kind, code, message);
    }
  }
}

const notAnswering = (jobId: string, patienceMs: number): MillraceError =>
  new MillraceError(
    'unavailable',
    'JOB_NOT_ANSWERING',
    `job ${jobId} has not noticed the request within ${patienceMs} ms, and it was withdrawn. Does the job run? A job looks every jobmanager.control.poll-interval; without the job, \`millrace savepoint create\` writes a savepoint from its last checkpoint`,
  );
