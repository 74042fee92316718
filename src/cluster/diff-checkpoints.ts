/**
 * What changed in each state from one checkpoint or savepoint to another, by the schemas in them, whatever backend and parallelism they have.
 *
 * Entries are compared as JSON, by key, namespace and map key. Of one side at most `SLICE_ENTRIES` are held at a time, as texts: a larger state is
 * read in as many passes over its key groups as that takes. What was added to a state and not folded yet counts as it is stored.
 */
import type { JsonValue } from '../base/json.ts';
import { printable } from '../base/printable.ts';
import type { CheckpointRecord } from '../state/checkpoint-record.ts';
import type { ForstSource } from '../state/forst/forst-inspector.ts';
import { openInspector } from '../state/open-inspector.ts';
import type { KeyedStateHandle } from '../state/snapshot.ts';
import type { SnapshotEntry } from '../state/snapshot-inspector.ts';

export interface DiffSide {
  readonly record: CheckpointRecord;
  readonly source: ForstSource;
}

export interface DiffExample {
  readonly what: 'added' | 'removed' | 'changed';
  /** Key, namespace where there is one, and the map's key where there is one. */
  readonly key: JsonValue;
  readonly before: JsonValue;
  readonly after: JsonValue;
}

export interface StateDifference {
  /** Its uid, or its name where it has none. */
  readonly operator: string;
  readonly state: string;
  readonly kind: string;
  readonly same: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly examples: readonly DiffExample[];
}

const SLICE_ENTRIES = 1_000_000;

export async function diffCheckpoints(
  before: DiffSide,
  after: DiffSide,
  options: { readonly examplesMax: number; readonly sliceEntries?: number },
): Promise<readonly StateDifference[]> {
  const differences: StateDifference[] = [];
  const ids = new Set([...operatorsOf(before.record).keys(), ...operatorsOf(after.record).keys()]);
  for (const id of ids) {
    const [a, b] = [sideOf(before, id), sideOf(after, id)];
    const operator = a.name ?? b.name ?? id;
    const largest = Math.max(await countOf(a), await countOf(b));
    const slices = Math.max(1, Math.ceil(largest / (options.sliceEntries ?? SLICE_ENTRIES)));
    const counts = new Map<string, DiffCount>();
    for (let slice = 0; slice < slices; slice++)
      await diffSlice(a, b, { counts, slice, slices, examplesMax: options.examplesMax });
    for (const count of counts.values()) differences.push(count.result(operator));
  }
  return differences;
}

interface OperatorSide {
  readonly name: string | undefined;
  readonly handles: readonly KeyedStateHandle[];
  readonly source: ForstSource;
}

const operatorsOf = ({ vertices }: CheckpointRecord) =>
  new Map(
    vertices.flatMap(({ operators, subtasks }) =>
      operators.map(({ id, uid, name }) => {
        const snapshots = subtasks.flatMap((subtask) => subtask.operators[id] ?? []);
        const handles = snapshots.flatMap(({ keyed }) => keyed);
        return [id, { name: uid ?? name, handles }] as const;
      }),
    ),
  );

function sideOf({ record, source }: DiffSide, id: string): OperatorSide {
  const found = operatorsOf(record).get(id);
  return { name: found?.name, handles: found?.handles ?? [], source };
}

async function* entriesOf({ handles, source }: OperatorSide): AsyncGenerator<SnapshotEntry> {
  for (const handle of handles) yield* (await openInspector(handle, source)).entries();
}

async function countOf(side: OperatorSide): Promise<number> {
  let entries = 0;
  for await (const _entry of entriesOf(side)) entries++;
  return entries;
}

/** What one place of a state holds, as JSON text. */
type Places = Map<string, { readonly state: string; readonly key: string; value: string }>;

async function readSlice(side: OperatorSide, slice: number, slices: number): Promise<Places> {
  const places: Places = new Map();
  for await (const entry of entriesOf(side)) {
    if (entry.keyGroup % slices !== slice) continue;
    const state = `${entry.state.kind} ${entry.state.name}`;
    const key = JSON.stringify(keyOf(entry));
    const value = JSON.stringify(valueOf(entry));
    const place = places.get(`${state} ${key}`);
    // Parts of one value may come one by one.
    if (place === undefined) places.set(`${state} ${key}`, { state, key, value });
    else place.value += value;
  }
  return places;
}

function keyOf({ key, namespace, userKey, timestamp }: SnapshotEntry): JsonValue {
  const rest = [namespace, userKey, timestamp].filter((part) => part !== undefined);
  return rest.length === 0 ? printable(key) : [printable(key), ...rest.map(printable)];
}

const valueOf = ({ state, values }: SnapshotEntry): JsonValue =>
  state.kind === 'list' ? (values as unknown[][]).flat().map(printable) : printable(values[0]); // lists hold arrays

async function diffSlice(
  a: OperatorSide,
  b: OperatorSide,
  {
    counts,
    slice,
    slices,
    examplesMax,
  }: { counts: Map<string, DiffCount>; slice: number; slices: number; examplesMax: number },
): Promise<void> {
  const [before, after] = [await readSlice(a, slice, slices), await readSlice(b, slice, slices)];
  const countOfState = (state: string): DiffCount => {
    let count = counts.get(state);
    if (count === undefined) counts.set(state, (count = new DiffCount(state, examplesMax)));
    return count;
  };
  for (const [id, { state, key, value }] of before)
    countOfState(state).add(key, value, after.get(id)?.value);
  for (const [id, { state, key, value }] of after)
    if (!before.has(id)) countOfState(state).add(key, undefined, value);
}

class DiffCount {
  readonly #state: string;
  readonly #examplesMax: number;
  readonly #counts = { same: 0, added: 0, removed: 0, changed: 0 };
  readonly #examples: DiffExample[] = [];

  constructor(state: string, examplesMax: number) {
    this.#state = state;
    this.#examplesMax = examplesMax;
  }

  add(key: string, before: string | undefined, after: string | undefined): void {
    if (before === after) {
      this.#counts.same++;
      return;
    }
    const what = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
    this.#counts[what]++;
    if (this.#examples.length >= this.#examplesMax) return;
    const json = (text: string | undefined): JsonValue => (text === undefined ? null : shown(text));
    this.#examples.push({
      what,
      key: JSON.parse(key) as JsonValue, // written by readSlice
      before: json(before),
      after: json(after),
    });
  }

  result(operator: string): StateDifference {
    const at = this.#state.indexOf(' ');
    const [kind, state] = [this.#state.slice(0, at), this.#state.slice(at + 1)];
    return { operator, state, kind, ...this.#counts, examples: this.#examples };
  }
}

/** Parts that were not folded yet are several texts in a row. */
function shown(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue; // written by readSlice
  } catch {
    return text;
  }
}
