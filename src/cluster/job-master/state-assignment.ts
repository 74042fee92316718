/**
 * Which state of a checkpoint each new subtask gets: a pure function, and the place where an incompatible restore is refused before
 * anything starts.
 */
import { MillraceError } from '../../base/errors.ts';
import type { JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { LogicalNode } from '../../graph/logical-graph.ts';
import { inFlightRefusals } from './in-flight-assignment.ts';
import type { OperatorRestore } from '../../runtime/task-descriptor.ts';
import type { CheckpointRecord, OperatorRecord } from '../../state/checkpoint-record.ts';
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
  const reasons = refusals(record, graph, ignoreUnclaimed);
  if (reasons.length === 0) return;
  const { checkpointId } = record;
  throw new MillraceError(
    'data',
    'RESTORE_REFUSED',
    `checkpoint ${checkpointId} cannot be restored into this program:\n  ${reasons.join('\n  ')}`,
    { details: { checkpointId, reasons } },
  );
}

function refusals(
  record: CheckpointRecord,
  graph: JobGraph,
  ignoreUnclaimed: boolean,
): readonly string[] {
  const reasons: string[] = [...inFlightRefusals(record, graph)];
  const current = new Map(
    graph.vertices.flatMap((vertex) =>
      vertex.operators.map((operator) => [operator.id, operator] as const),
    ),
  );
  for (const old of record.vertices.flatMap(({ operators }) => operators)) {
    const subtasks = oldSubtasksOf(record, old.id)!;
    const now = current.get(old.id);
    if (now === undefined) {
      if ((holdsState(subtasks) || old.coordinator !== undefined) && !ignoreUnclaimed)
        reasons.push(unclaimed(old));
    } else if (subtasks.some((snapshot) => (snapshot?.keyed.length ?? 0) > 0)) {
      const reason = keyedRefusal(old, now);
      if (reason !== undefined) reasons.push(reason);
    }
  }
  return reasons;
}

const unclaimed = ({ name, uid }: OperatorRecord): string =>
  `operator "${name}"${uid === undefined ? '' : ` (uid ${uid})`} has state in the checkpoint and is not in the program; give its successor the same uid, or set execution.state-recovery.ignore-unclaimed-state to drop it`;

/** Why the keyed state of an operator does not fit it any more. */
function keyedRefusal(old: OperatorRecord, now: LogicalNode): string | undefined {
  if (now.keySchema === undefined)
    return `operator "${old.name}" has state by key in the checkpoint and reads no keyed stream now; give it another uid if it is another operator`;
  if (now.maxParallelism !== old.maxParallelism)
    return `operator "${old.name}" was taken with maxParallelism ${old.maxParallelism} and has ${now.maxParallelism} now; its key groups would not match`;
  return undefined;
}

/** The enumerator's state of a source. */
export const enumeratorStateOf = (record: CheckpointRecord, operatorId: string) =>
  record.vertices.flatMap(({ operators }) => operators).find(({ id }) => id === operatorId)
    ?.coordinator;

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
