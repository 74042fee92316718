/** What a checkpoint holds, by its record and the schemas in its snapshots: no code of the job is needed. */
import type { JsonValue } from '../base/json.ts';
import type { CheckpointRecord, OperatorRecord } from '../state/checkpoint-record.ts';
import { openInspector } from '../state/open-inspector.ts';
import type { ForstSource } from '../state/forst/forst-inspector.ts';
import type { KeyedStateHandle, OperatorSnapshot, StateHandle } from '../state/snapshot.ts';
import type { InspectedState, SnapshotEntry } from '../state/snapshot-inspector.ts';
import { printable } from '../base/printable.ts';

/** Keys that are told apart when they are counted, per state. */
const KEYS_MAX = 1_000_000;

export interface KeySize {
  readonly key: JsonValue;
  readonly entries: number;
  readonly bytes: number;
}

export interface StateReport {
  readonly name: string;
  readonly kind: InspectedState['kind'];
  readonly valueSchema: JsonValue;
  readonly namespaceSchema: JsonValue;
  readonly userKeySchema: JsonValue;
  /** Null where entries were not counted. */
  readonly entries: number | null;
  readonly bytes: number | null;
  /** Null where they were not counted, or are more than can be told apart. */
  readonly keys: number | null;
  /** Those with the most bytes. */
  readonly largestKeys: readonly KeySize[];
}

export interface HotKey {
  readonly key: JsonValue;
  /** Of all samples of the operator, from 0 to 1. */
  readonly share: number;
}

export interface OperatorReport {
  readonly id: string;
  readonly uid: string | null;
  readonly name: string;
  readonly parallelism: number;
  readonly maxParallelism: number;
  readonly backends: readonly string[];
  /** Null without keyed state. */
  readonly keySchema: JsonValue;
  readonly keyedBytes: number;
  readonly operatorStateBytes: number;
  readonly waitingBytes: number;
  readonly hasCoordinatorState: boolean;
  /** Keys that were processed most before the checkpoint, by samples; empty where the backend takes none. */
  readonly hottestKeys: readonly HotKey[];
  readonly states: readonly StateReport[];
}

export interface FileReport {
  readonly object: string;
  readonly ranges: number;
  readonly bytes: number;
  readonly isShared: boolean;
}

export interface CheckpointReport {
  readonly jobId: string;
  readonly jobName: string;
  readonly checkpointId: number;
  readonly generation: number;
  readonly triggeredAtMs: number;
  readonly completedAtMs: number;
  /** Null in records that do not say it, as of the next. */
  readonly mode: string | null;
  readonly sizeBytes: number | null;
  /** What an unaligned checkpoint holds of the channels; null if nothing. */
  readonly inFlight: { readonly elements: number; readonly bytes: number } | null;
  readonly operators: readonly OperatorReport[];
  readonly files: readonly FileReport[];
}

export interface InspectionOptions {
  /** False: only what the record and manifests say; entries are not read. */
  readonly countsEntries: boolean;
  /** Of the largest keys of each state, and of the hottest of each operator. */
  readonly keysMax: number;
}

/** @throws `data` naming what is corrupt or missing */
export async function inspectCheckpoint(
  record: CheckpointRecord,
  source: ForstSource,
  options: InspectionOptions,
): Promise<CheckpointReport> {
  const operators: OperatorReport[] = [];
  for (const { operators: records, subtasks } of record.vertices)
    for (const operator of records) {
      const snapshots = subtasks.flatMap((subtask) => subtask.operators[operator.id] ?? []);
      operators.push(await inspectOperator(operator, snapshots, source, options));
    }
  const { jobId, jobName, checkpointId, generation, triggeredAtMs, completedAtMs } = record;
  const { mode = null, sizeBytes = null } = record;
  const job = { jobId, jobName, checkpointId, generation, triggeredAtMs, completedAtMs };
  const inFlight = inFlightOf(record);
  return { ...job, mode, sizeBytes, inFlight, operators, files: filesOf(record) };
}

function inFlightOf({ vertices }: CheckpointRecord): CheckpointReport['inFlight'] {
  const saved = vertices.flatMap(({ subtasks }) =>
    subtasks.flatMap(({ channels }) => channels ?? []),
  );
  if (saved.length === 0) return null;
  return {
    elements: sum(saved.map(({ elements }) => elements)),
    bytes: sum(saved.map(({ data }) => sizeOf(data))),
  };
}

const sizeOf = (handle: StateHandle | undefined): number => {
  if (handle === undefined) return 0;
  return handle.kind === 'inline' ? Buffer.byteLength(handle.base64, 'base64') : handle.length;
};

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const keyedBytes = ({ data, files = [] }: KeyedStateHandle): number =>
  sizeOf(data) + sum(files.map(({ length }) => length));

async function inspectOperator(
  { id, uid, name, parallelism, maxParallelism, coordinator }: OperatorRecord,
  snapshots: readonly OperatorSnapshot[],
  source: ForstSource,
  options: InspectionOptions,
): Promise<OperatorReport> {
  const keyed = snapshots.flatMap((snapshot) => snapshot.keyed);
  const counts = new Map<string, StateCount>();
  let keySchema: JsonValue = null;
  let samples = 0;
  const hot: { readonly key: unknown; readonly samples: number }[] = [];
  for (const handle of keyed) {
    const inspector = await openInspector(handle, source);
    ({ keySchema } = inspector);
    samples += inspector.hotKeys?.samples ?? 0;
    hot.push(...(inspector.hotKeys?.keys ?? [])); // a key is in one subtask
    for (const state of inspector.states) countOf(counts, state);
    if (!options.countsEntries) continue;
    for await (const entry of inspector.entries()) countOf(counts, entry.state).add(entry);
  }
  return {
    id,
    uid: uid ?? null,
    name,
    parallelism,
    maxParallelism,
    backends: [...new Set(keyed.map(({ backend }) => backend))],
    keySchema,
    keyedBytes: sum(keyed.map(keyedBytes)),
    operatorStateBytes: sum(snapshots.map(({ operator }) => sizeOf(operator?.data))),
    waitingBytes: sum(keyed.map(({ waiting }) => sizeOf(waiting))),
    hasCoordinatorState: coordinator !== undefined,
    hottestKeys: hot
      .toSorted((a, b) => b.samples - a.samples)
      .slice(0, options.keysMax)
      .map((found) => ({ key: printable(found.key), share: found.samples / samples })),
    states: [...counts.values()].map((count) => count.report(options)),
  };
}

function countOf(counts: Map<string, StateCount>, state: InspectedState): StateCount {
  const id = `${state.kind} ${state.name}`;
  let count = counts.get(id);
  if (count === undefined) counts.set(id, (count = new StateCount(state)));
  return count;
}

interface KeyCount {
  readonly key: unknown;
  entries: number;
  bytes: number;
}

class StateCount {
  readonly #state: InspectedState;
  readonly #keys = new Map<string, KeyCount>();
  #isFull = false;
  #entries = 0;
  #bytes = 0;

  constructor(state: InspectedState) {
    this.#state = state;
  }

  add({ key, bytes }: SnapshotEntry): void {
    this.#entries++;
    this.#bytes += bytes;
    const id = JSON.stringify(printable(key));
    const known = this.#keys.get(id);
    if (known !== undefined) {
      known.entries++;
      known.bytes += bytes;
    } else if (this.#keys.size < KEYS_MAX) this.#keys.set(id, { key, entries: 1, bytes });
    else this.#isFull = true;
  }

  report({ countsEntries, keysMax }: InspectionOptions): StateReport {
    const largest = [...this.#keys.values()]
      .toSorted((a, b) => b.bytes - a.bytes)
      .slice(0, keysMax);
    return {
      ...this.#state,
      entries: countsEntries ? this.#entries : null,
      bytes: countsEntries ? this.#bytes : null,
      keys: countsEntries && !this.#isFull ? this.#keys.size : null,
      largestKeys: largest.map(({ key, entries, bytes }) => ({
        key: printable(key),
        entries,
        bytes,
      })),
    };
  }
}

/** Objects that the record names, with the bytes of them that it uses. */
function filesOf({ vertices }: CheckpointRecord): readonly FileReport[] {
  const ranges = new Map<
    string,
    { readonly isShared: boolean; readonly lengths: Map<number, number> }
  >();
  const add = (object: string, offset: number, length: number, isShared: boolean): void => {
    const file = ranges.get(object) ?? { isShared, lengths: new Map<number, number>() };
    file.lengths.set(offset, length);
    ranges.set(object, file);
  };
  const addHandle = (handle: StateHandle | undefined): void => {
    if (handle?.kind === 'object') add(handle.key, handle.offset, handle.length, false);
  };
  for (const { operators, channels } of vertices.flatMap(({ subtasks }) => subtasks)) {
    addHandle(channels?.data);
    for (const { keyed, operator } of Object.values(operators)) {
      addHandle(operator?.data);
      for (const { data, waiting, files = [] } of keyed) {
        addHandle(data);
        addHandle(waiting);
        for (const { object, offset, length } of files) add(object, offset, length, true);
      }
    }
  }
  return [...ranges]
    .map(([object, { isShared, lengths }]) => {
      return { object, ranges: lengths.size, bytes: sum([...lengths.values()]), isShared };
    })
    .toSorted((a, b) => b.bytes - a.bytes);
}
