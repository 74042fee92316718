/** The enumerators of a job's sources, one for each deployment of their vertex, and which of their subtasks have caught up. */
import { isMillraceError, MillraceError } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import type { World } from '../../base/world.ts';
import type { Source } from '../../connector/source.ts';
import type { JobVertex } from '../../graph/job-graph.ts';
import type { Program } from '../../graph/program.ts';
import type { ToTaskManager } from '../../runtime/messages.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import type { Execution, Executions } from './executions.ts';
import { SourceCoordinator } from './source-coordinator.ts';
import { enumeratorStateOf } from './state-assignment.ts';

export interface JobSourcesParams {
  readonly world: World;
  readonly program: Program;
  readonly executions: Executions;
  send(worker: string, message: ToTaskManager): void;
  fail(vertex: JobVertex, error: MillraceError): void;
}

export class JobSources {
  readonly #params: JobSourcesParams;
  /** By vertex id. */
  readonly #coordinators = new Map<string, SourceCoordinator>();
  /** Attempts that have read what existed, in a job that runs until now. */
  readonly #caughtUp = new Set<string>();

  constructor(params: JobSourcesParams) {
    this.#params = params;
  }

  /** A new enumerator for a vertex that is deployed. */
  open(vertex: JobVertex, latest: CheckpointRecord | undefined): void {
    const { id, parallelism, operators } = vertex;
    const { program, world, executions, send, fail } = this.#params;
    const operatorId = operators[0]!.id;
    const source = program.nodes.get(operatorId)!.source as Source<unknown>; // a source node's code, by the graph's contract
    void this.#coordinators.get(id)?.close();
    this.#coordinators.set(
      id,
      new SourceCoordinator({
        source,
        parallelism,
        world,
        restored: latest === undefined ? undefined : enumeratorStateOf(latest, operatorId),
        send: (subtask, message) => {
          const { worker, attemptId } = executions.at(id, subtask)!;
          send(worker, { ...message, attemptId });
        },
        fail: (error) => fail(vertex, inEnumerator(error)),
      }),
    );
  }

  onRequest({ vertex, subtaskIndex }: Execution): void {
    this.#coordinators.get(vertex.id)?.onRequest(subtaskIndex);
  }

  /** Enumerator states by vertex id. */
  snapshot(): ReadonlyMap<string, JsonValue> {
    const states = new Map<string, JsonValue>();
    for (const [id, source] of this.#coordinators) {
      const state = source.snapshot();
      if (state !== undefined) states.set(id, state);
    }
    return states;
  }

  get executions(): readonly Execution[] {
    return this.#params.executions.all.filter(({ vertex }) => this.#coordinators.has(vertex.id));
  }

  /** One has read what existed. */
  onCaughtUp(attemptId: string): void {
    this.#caughtUp.add(attemptId);
  }

  get areCaughtUp(): boolean {
    return this.executions.every(({ attemptId }) => this.#caughtUp.has(attemptId));
  }

  close(): void {
    for (const source of this.#coordinators.values()) void source.close();
  }
}

/** Enumerators are foreign code: what they throw need not be an error of ours. */
const inEnumerator = (error: Error): MillraceError =>
  isMillraceError(error)
    ? error
    : new MillraceError('internal', 'ENUMERATOR_FAILED', error.message, { cause: error });
