/**
 * Which state of a checkpoint each new subtask gets: a pure function, and the place where an incompatible restore is refused before
 * anything starts.
 */
import { MillraceError } from '../../base/errors.ts';
import type { JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { OperatorRestore } from '../../runtime/task-descriptor.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import type { OperatorSnapshot } from '../../state/snapshot.ts';
import { intersectRanges, keyGroupRangeOf } from '../../types/key-group.ts';

/** Old snapshots of one operator, in subtask order. */
type OldSubtasks = readonly (OperatorSnapshot | undefined)[];

function oldSubtasksOf(record: CheckpointRecord, operatorId: string): OldSubtasks | undefined {
  const vertex = record.vertices.find(({ operators }) =>
    operators.some(({ id }) => id === operatorId),
  );
  return vertex?.subtasks.map(({ operators }) => operators[operatorId]);
}

const holdsState = (subtasks: OldSubtasks): boolean =>
  subtasks.some(
    (snapshot) =>
      snapshot !== undefined && (snapshot.keyed.length > 0 || snapshot.operator !== undefined),
  );

/** @throws `data` RESTORE_REFUSED listing every reason. */
export function checkRestore(
  record: CheckpointRecord,
  graph: JobGraph,
  ignoreUnclaimed: boolean,
): void {
  const reasons: string[] = [];
  const current = new Map(
    graph.vertices.flatMap((vertex) =>
      vertex.operators.map((operator) => [operator.id, vertex] as const),
    ),
  );
  for (const old of record.vertices) {
    for (const operator of old.operators) {
      const subtasks = oldSubtasksOf(record, operator.id)!;
      if (!holdsState(subtasks)) continue;
      const vertex = current.get(operator.id);
      const keyed = subtasks.some((snapshot) => (snapshot?.keyed.length ?? 0) > 0);
      if (vertex === undefined) {
        if (!ignoreUnclaimed)
          reasons.push(
            `operator "${operator.name}"${operator.uid === undefined ? '' : ` (uid ${operator.uid})`} has state in the checkpoint and is not in the program; give its successor the same uid, or set execution.state-recovery.ignore-unclaimed-state to drop it`,
          );
      } else if (keyed && vertex.maxParallelism !== operator.maxParallelism) {
        reasons.push(
          `operator "${operator.name}" was taken with maxParallelism ${operator.maxParallelism} and has ${vertex.maxParallelism} now; its key groups would not match`,
        );
      }
    }
  }
  if (reasons.length > 0) {
    throw new MillraceError(
      'data',
      'RESTORE_REFUSED',
      `checkpoint ${record.checkpointId} cannot be restored into this program:\n  ${reasons.join('\n  ')}`,
      {
        details: { checkpointId: record.checkpointId, reasons },
      },
    );
  }
}

/** State for one new subtask, by operator id. */
export function assignState(
  record: CheckpointRecord,
  vertex: JobVertex,
  subtaskIndex: number,
): Readonly<Record<string, OperatorRestore>> {
  const range = keyGroupRangeOf(subtaskIndex, vertex.parallelism, vertex.maxParallelism);
  const restores: Record<string, OperatorRestore> = {};
  for (const { id } of vertex.operators) {
    const subtasks = oldSubtasksOf(record, id) ?? [];
    restores[id] = {
      keyed: subtasks.flatMap((snapshot) =>
        (snapshot?.keyed ?? []).filter(
          ({ keyGroups }) => intersectRanges(keyGroups, range) !== undefined,
        ),
      ),
      operator: subtasks.flatMap((snapshot) =>
        snapshot?.operator === undefined ? [] : [snapshot.operator],
      ),
    };
  }
  return restores;
}
