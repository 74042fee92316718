/**
 * The current attempt of every subtask, and what its worker has said of it.
 *
 * Invariants
 *  E1  A subtask has one current attempt; attempts before it are forgotten.
 *  E2  An attempt that is over stays over. States go forward only: deploying, running, ended, then over.
 */
import type { JobVertex } from '../../graph/job-graph.ts';
import type { TaskState } from '../../runtime/messages.ts';
import type { Region } from './failover.ts';
import { subtaskKey } from './schedule.ts';

export interface Execution {
  readonly vertex: JobVertex;
  readonly subtaskIndex: number;
  /** 0, 1, 2, ... per subtask. */
  readonly attempt: number;
  readonly attemptId: string;
  readonly worker: string;
  readonly state: TaskState;
}

const ORDER: Readonly<Record<TaskState, number>> = {
  deploying: 0,
  running: 1,
  ended: 2,
  finished: 3,
  canceled: 3,
  failed: 3,
};

export const isOver = ({ state }: Pick<Execution, 'state'>): boolean => ORDER[state] === 3;

/** `"orders -> count" (subtask 3)`. */
export const placeOf = ({ vertex, subtaskIndex }: Execution): string =>
  `"${vertex.name}" (subtask ${subtaskIndex})`;

type Mutable = { -readonly [Key in keyof Execution]: Execution[Key] };

export class Executions {
  readonly #current = new Map<string, Mutable>();
  readonly #byId = new Map<string, Mutable>();

  /** The next attempt of a subtask. */
  begin(
    vertex: JobVertex,
    subtaskIndex: number,
    { attemptId, worker }: Pick<Execution, 'attemptId' | 'worker'>,
  ): Execution {
    const key = subtaskKey(vertex.id, subtaskIndex);
    const old = this.#current.get(key);
    if (old !== undefined) this.#byId.delete(old.attemptId);
    const attempt = old === undefined ? 0 : old.attempt + 1;
    const execution = {
      vertex,
      subtaskIndex,
      attempt,
      attemptId,
      worker,
      state: 'deploying',
    } as const;
    this.#current.set(key, execution);
    this.#byId.set(attemptId, execution);
    return execution;
  }

  /** The attempt if it is current. */
  find(attemptId: string): Execution | undefined {
    return this.#byId.get(attemptId);
  }

  at(vertexId: string, subtaskIndex: number): Execution | undefined {
    return this.#current.get(subtaskKey(vertexId, subtaskIndex));
  }

  /** The attempt in its new state; undefined if it is not current or the state is no step forward (E2). */
  change(attemptId: string, state: TaskState): Execution | undefined {
    const execution = this.#byId.get(attemptId);
    if (execution === undefined || ORDER[state] <= ORDER[execution.state]) return undefined;
    execution.state = state;
    return execution;
  }

  get all(): readonly Execution[] {
    return [...this.#current.values()];
  }

  within(region: Region): readonly Execution[] {
    return this.all.filter(({ vertex }) => region.has(vertex.id));
  }

  /** There are attempts, and all of them are in one of the states. */
  areAll(...states: readonly TaskState[]): boolean {
    return (
      this.#current.size > 0 &&
      [...this.#current.values()].every(({ state }) => states.includes(state))
    );
  }
}

/** Attempt ids by worker. */
export function byWorker(executions: readonly Execution[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const { worker, attemptId } of executions) {
    const group = groups.get(worker);
    if (group === undefined) groups.set(worker, [attemptId]);
    else group.push(attemptId);
  }
  return groups;
}
