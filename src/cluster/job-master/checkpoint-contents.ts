/** What a completed checkpoint's record says: a pure function of the acknowledgements. */
import { assert } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import type { CheckpointMode } from '../../runtime/stream-element.ts';
import type { JobGraph } from '../../graph/job-graph.ts';
import {
  CHECKPOINT_RECORD_VERSION,
  type CheckpointRecord,
  type VertexRecord,
} from '../../state/checkpoint-record.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import type { PendingCheckpoint } from './checkpoint-progress.ts';

export interface CheckpointFacts {
  readonly jobId: string;
  readonly generation: number;
  readonly completedAtMs: number;
  readonly mode: CheckpointMode;
  readonly deliveries: NonNullable<CheckpointRecord['deliveries']>;
  /** Enumerator states by vertex id. */
  readonly enumerators: ReadonlyMap<string, JsonValue>;
  attemptIdOf(vertexId: string, subtaskIndex: number): string;
}

export function recordOf(
  { checkpointId, triggeredAtMs, acknowledged }: PendingCheckpoint,
  graph: JobGraph,
  { jobId, generation, completedAtMs, mode, deliveries, enumerators, attemptIdOf }: CheckpointFacts,
): CheckpointRecord {
  const snapshotOf = (vertexId: string, subtaskIndex: number): SubtaskSnapshot => {
    const snapshot = acknowledged.get(attemptIdOf(vertexId, subtaskIndex));
    assert(snapshot !== undefined, `subtask ${subtaskIndex} of ${vertexId} has acknowledged`);
    return snapshot;
  };
  const vertices = graph.vertices.map(
    ({ id: vertexId, operators, parallelism, maxParallelism }): VertexRecord => ({
      id: vertexId,
      operators: operators.map(({ id, name, uid }) => {
        const coordinator = id === vertexId ? enumerators.get(id) : undefined;
        return {
          id,
          name,
          parallelism,
          maxParallelism,
          ...(uid === undefined ? {} : { uid }),
          ...(coordinator === undefined ? {} : { coordinator }),
        };
      }),
      subtasks: Array.from({ length: parallelism }, (_, index) => snapshotOf(vertexId, index)),
    }),
  );
  return {
    version: CHECKPOINT_RECORD_VERSION,
    jobId,
    jobName: graph.name,
    checkpointId,
    generation,
    triggeredAtMs,
    completedAtMs,
    fingerprint: graph.fingerprint,
    mode,
    deliveries,
    sizeBytes: vertices
      .flatMap(({ subtasks }) => subtasks)
      .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    vertices,
  };
}
