/** What becomes of each state of a checkpoint or savepoint when a program is started from it: decided from schemas alone, before a deploy. */
import type { JsonValue } from '../base/json.ts';
import type { World } from '../base/world.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { Program } from '../graph/program.ts';
import type { CheckpointRecord, OperatorRecord } from '../state/checkpoint-record.ts';
import type { ForstSource } from '../state/forst/forst-inspector.ts';
import { openInspector } from '../state/open-inspector.ts';
import type { OperatorSnapshot } from '../state/snapshot.ts';
import { type InspectedState, isTimers } from '../state/snapshot-inspector.ts';
import { checkCompatibility } from '../types/evolution.ts';
import { describeSchema, schemaFromJson } from '../types/schema-json.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import { registeredStates, type RegisteredState } from './registered-states.ts';

/** `dropped` is refused at a start unless unclaimed state may be ignored; `impossible` always. */
export type StateFate = 'kept' | 'migrated' | 'new' | 'dropped' | 'impossible';

export interface StateVerdict {
  /** Null: about the operator as a whole. */
  readonly state: string | null;
  readonly kind: string | null;
  readonly fate: StateFate;
  /** What changes, or why not. */
  readonly because: readonly string[];
}

export interface OperatorVerdict {
  readonly name: string;
  readonly uid: string | null;
  readonly states: readonly StateVerdict[];
}

export interface CheckParams {
  readonly program: Program;
  readonly record: CheckpointRecord;
  readonly source: ForstSource;
  readonly world: World;
}

/** @throws `data` when the state cannot be read; what `open` of a user function throws */
export async function checkState(params: CheckParams): Promise<readonly OperatorVerdict[]> {
  const { program, record } = params;
  const now = new Map(program.graph.nodes.map((node) => [node.id, node]));
  const verdicts: OperatorVerdict[] = [];
  const seen = new Set<string>();
  for (const { operators, subtasks } of record.vertices)
    for (const operator of operators) {
      seen.add(operator.id);
      const snapshots = subtasks.flatMap((subtask) => subtask.operators[operator.id] ?? []);
      const states = await checkOperator(operator, snapshots, now.get(operator.id), params);
      if (states.length > 0)
        verdicts.push({ name: operator.name, uid: operator.uid ?? null, states });
    }
  for (const node of program.graph.nodes) {
    if (seen.has(node.id) || node.keySchema === undefined) continue;
    const states = (await registeredOf(node, params)).map((state) => verdict(state, 'new'));
    verdicts.push({ name: node.name, uid: node.uid ?? null, states });
  }
  return verdicts;
}

const registeredOf = (
  node: LogicalNode,
  { program, world }: CheckParams,
): Promise<readonly RegisteredState[]> => registeredStates(node, program, world);

const verdict = (
  state: { readonly name: string; readonly kind: string } | undefined,
  fate: StateFate,
  because: readonly string[] = [],
): StateVerdict => ({ state: state?.name ?? null, kind: state?.kind ?? null, fate, because });

interface Stored {
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  /** Every layout that a state has in the snapshots. */
  readonly states: readonly InspectedState[];
}

async function storedIn(
  snapshots: readonly OperatorSnapshot[],
  source: ForstSource,
): Promise<Stored | undefined> {
  const states = new Map<string, InspectedState>();
  let found: Stored | undefined;
  for (const handle of snapshots.flatMap(({ keyed }) => keyed)) {
    const inspector = await openInspector(handle, source);
    for (const state of inspector.states) states.set(JSON.stringify(state), state);
    const { keySchema, maxParallelism } = inspector;
    found = { keySchema, maxParallelism, states: [] };
  }
  return found === undefined ? undefined : { ...found, states: [...states.values()] };
}

async function checkOperator(
  old: OperatorRecord,
  snapshots: readonly OperatorSnapshot[],
  node: LogicalNode | undefined,
  params: CheckParams,
): Promise<readonly StateVerdict[]> {
  const stored = await storedIn(snapshots, params.source);
  const hasMore =
    old.coordinator !== undefined || snapshots.some(({ operator }) => operator !== undefined);
  if (node === undefined) {
    const reason = ['the program has no operator with this id; give its successor the same uid'];
    const states = (stored?.states ?? []).map((state) => verdict(state, 'dropped', reason));
    return hasMore ? [...states, verdict(undefined, 'dropped', reason)] : states;
  }
  if (stored === undefined) return hasMore ? [verdict(undefined, 'kept')] : [];
  const misfit = operatorMisfit(stored, node, params.program);
  if (misfit !== undefined) return [verdict(undefined, 'impossible', [misfit])];
  const registered = await registeredOf(node, params);
  return [
    ...stored.states.map((state) => checkOne(state, registered)),
    ...registered
      .filter(({ name, kind }) => !stored.states.some((s) => s.name === name && s.kind === kind))
      .filter(({ name, kind }) => !isTimers(kind) && !stored.states.some((s) => s.name === name))
      .map((state) => verdict(state, 'new')),
  ];
}

/** Why none of the operator's keyed state fits. */
function operatorMisfit(
  { keySchema, maxParallelism }: Stored,
  { id, maxParallelism: now, keySchema: keyed }: LogicalNode,
  program: Program,
): string | undefined {
  if (keyed === undefined) return 'it has state by key and reads no keyed stream now';
  if (maxParallelism !== now)
    return `it was taken with maxParallelism ${maxParallelism} and has ${now} now`;
  const writer = schemaFromJson(keySchema);
  const reader = program.nodes.get(id)!.keySchema ?? t.key();
  return checkCompatibility(writer, reader).outcome === 'as-is'
    ? undefined
    : `its key was ${describeSchema(writer)} and is ${describeSchema(reader)} now; keys cannot be migrated`;
}

function checkOne(state: InspectedState, registered: readonly RegisteredState[]): StateVerdict {
  const { name, kind } = state;
  const same = registered.filter((candidate) => candidate.name === name);
  const now = same.find((candidate) => candidate.kind === kind);
  if (now === undefined)
    return same.length === 0
      ? verdict(state, 'dropped', ['the operator does not declare it any more'])
      : verdict(state, 'impossible', [`it was ${kind} state and is ${same[0]!.kind} state now`]);
  const namespace = namespaceReason(state, now);
  if (namespace !== undefined) return verdict(state, 'impossible', [namespace]);
  if (now.stored === undefined) return verdict(state, 'kept');
  const writer = storedSchemaOf(state);
  const compatibility = checkCompatibility(writer, now.stored);
  if (compatibility.outcome === 'as-is') return verdict(state, 'kept');
  return compatibility.outcome === 'incompatible'
    ? verdict(state, 'impossible', compatibility.reasons)
    : verdict(state, 'migrated', [
        `from ${describeSchema(writer)} to ${describeSchema(now.stored)}, when it is read`,
      ]);
}

function namespaceReason(state: InspectedState, now: RegisteredState): string | undefined {
  const before = state.namespaceSchema === null ? undefined : schemaFromJson(state.namespaceSchema);
  if (before === undefined && now.namespace === undefined) return undefined;
  const isSame =
    before !== undefined &&
    now.namespace !== undefined &&
    checkCompatibility(before, now.namespace).outcome === 'as-is';
  return isSame ? undefined : 'its namespace (the kind of window, for instance) is another now';
}

function storedSchemaOf({ kind, valueSchema, userKeySchema }: InspectedState): Schema<unknown> {
  const value = schemaFromJson(valueSchema);
  return kind === 'map' ? t.map(schemaFromJson(userKeySchema), value) : value;
}
