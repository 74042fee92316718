/**
 * Writes a savepoint from a checkpoint of any backend, through its inspectors: no job needs to run, and none is disturbed.
 *
 *   _metadata                                    a checkpoint record whose keys are relative to the savepoint; it comes last
 *   state/<operatorId>-<subtask>-<state>-<n>.parquet   keyed state (canonical-file.ts)
 *   state/<operatorId>-<subtask>-operator, -waiting-<n>   operator state and waiting records, as in the checkpoint
 *
 * Memory: `PART_ROWS` entries of each state at a time.
 */
import { crc32 } from 'node:zlib';
import { invalid } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import { type CheckpointRecord, encodeRecord, type OperatorRecord } from '../checkpoint-record.ts';
import type { ForstSource } from '../forst/forst-inspector.ts';
import { openInspector } from '../open-inspector.ts';
import type { KeyedStateHandle, OperatorSnapshot, StateHandle } from '../snapshot.ts';
import type { InspectedState, SnapshotEntry, SnapshotInspector } from '../snapshot-inspector.ts';
import { encodeCanonical } from './canonical-file.ts';

export const SAVEPOINT_RECORD_KEY = '_metadata';

const PART_ROWS = 50_000;

/**
 * Settles when the savepoint exists; until then there is no record, and the folder is no savepoint.
 * @throws `invalid` CHECKPOINT_UNALIGNED where the checkpoint holds records in flight: they belong to one form of the program
 */
export async function writeSavepoint(
  record: CheckpointRecord,
  source: ForstSource,
  target: Pick<ObjectStore, 'put'>,
): Promise<CheckpointRecord> {
  refuseInFlight(record);
  const writer = new CanonicalWriter(source, target);
  const vertices = [];
  for (const vertex of record.vertices) {
    const subtasks = [];
    for (const [index, { operators }] of vertex.subtasks.entries()) {
      writer.bytesWritten = 0;
      const written: Record<string, OperatorSnapshot> = {};
      for (const [id, snapshot] of Object.entries(operators)) {
        const operator = vertex.operators.find((candidate) => candidate.id === id)!; // a record names the operators of its snapshots
        written[id] = await writer.operator(operator, index, snapshot);
      }
      subtasks.push({ operators: written, sizeBytes: writer.bytesWritten });
    }
    vertices.push({ ...vertex, subtasks });
  }
  const savepoint: CheckpointRecord = { ...record, vertices, savepoint: 'canonical' };
  await target.put(SAVEPOINT_RECORD_KEY, encodeRecord(savepoint));
  return savepoint;
}

function refuseInFlight({ checkpointId, vertices }: CheckpointRecord): void {
  const elements = vertices
    .flatMap(({ subtasks }) => subtasks)
    .reduce((sum, { channels }) => sum + (channels?.elements ?? 0), 0);
  if (elements === 0) return;
  throw invalid(
    'CHECKPOINT_UNALIGNED',
    `checkpoint ${checkpointId} is unaligned and holds ${elements} stream elements in flight, which no savepoint holds; take it from an aligned checkpoint: start the job with execution.checkpointing.unaligned.enabled: false and let it complete one`,
    { checkpointId, elements },
  );
}

/** Writes the files of a savepoint. The record comes last, from who knows what it is to say. */
export class CanonicalWriter {
  readonly #source: ForstSource;
  readonly #target: Pick<ObjectStore, 'put'>;
  /** By operator, kind and name. */
  readonly #ordinals = new Map<string, Map<string, number>>();
  bytesWritten = 0;

  constructor(source: ForstSource, target: Pick<ObjectStore, 'put'>) {
    this.#source = source;
    this.#target = target;
  }

  async operator(
    { id }: OperatorRecord,
    subtask: number,
    { keyed, operator }: OperatorSnapshot,
  ): Promise<OperatorSnapshot> {
    const prefix = `state/${id}-${subtask}`;
    const handles: KeyedStateHandle[] = [];
    for (const [index, handle] of keyed.entries()) {
      const inspector = await openInspector(handle, this.#source);
      const parts = await this.keyed(id, `${prefix}-${index}`, inspector, handle.keyGroups);
      const [first, ...others] = parts;
      if (handle.waiting === undefined || first === undefined) handles.push(...parts);
      else {
        const waiting = await this.#copy(`${prefix}-waiting-${index}`, handle.waiting);
        handles.push({ ...first, waiting }, ...others);
      }
    }
    if (operator === undefined) return { keyed: handles };
    return {
      keyed: handles,
      operator: { data: await this.#copy(`${prefix}-operator`, operator.data) },
    };
  }

  /** All states of an inspector, entries of one key and namespace adjacent, into files of so many rows. */
  async keyed(
    operatorId: string,
    prefix: string,
    inspector: SnapshotInspector,
    keyGroups: KeyGroupRange,
  ): Promise<KeyedStateHandle[]> {
    const numbers = new Map(inspector.states.map((state, index) => [state, index]));
    const pending = new Map<InspectedState, SnapshotEntry[]>();
    const handles: KeyedStateHandle[] = [];
    const flush = async (
      state: InspectedState,
      entries: readonly SnapshotEntry[],
    ): Promise<void> => {
      const name = `${prefix}-${numbers.get(state)}-${handles.length}.parquet`;
      handles.push(await this.#part({ operatorId, inspector, state, name, keyGroups }, entries));
    };
    for await (const entry of inspector.entries()) {
      let entries = pending.get(entry.state);
      if (entries === undefined) pending.set(entry.state, (entries = []));
      const last = entries.at(-1);
      if (entries.length >= PART_ROWS && last !== undefined && !isSameCell(last, entry)) {
        await flush(entry.state, entries);
        entries.length = 0;
      }
      entries.push(entry);
    }
    // States without entries have a file too: a restore learns that they exist.
    for (const state of inspector.states) {
      const entries = pending.get(state) ?? [];
      await flush(state, entries);
    }
    return handles;
  }

  async #part(
    file: {
      readonly operatorId: string;
      readonly inspector: SnapshotInspector;
      readonly state: InspectedState;
      readonly name: string;
      readonly keyGroups: KeyGroupRange;
    },
    entries: readonly SnapshotEntry[],
  ): Promise<KeyedStateHandle> {
    const { operatorId, inspector, state, name, keyGroups } = file;
    const { keySchema, maxParallelism } = inspector;
    const bytes = encodeCanonical(
      { operatorId, ordinal: this.#ordinalOf(operatorId, state), keySchema, maxParallelism, state },
      entries,
    );
    const data = await this.#put(name, bytes);
    const { name: stateName, kind } = state;
    const summary = { name: stateName, kind, entries: entries.length, bytes: bytes.length };
    return { backend: 'canonical', keyGroups, data, states: [summary] };
  }

  #ordinalOf(operatorId: string, { kind, name }: InspectedState): number {
    let ordinals = this.#ordinals.get(operatorId);
    if (ordinals === undefined) this.#ordinals.set(operatorId, (ordinals = new Map()));
    const id = `${kind} ${name}`;
    const ordinal = ordinals.get(id) ?? ordinals.size + 1;
    ordinals.set(id, ordinal);
    return ordinal;
  }

  async #copy(name: string, handle: StateHandle): Promise<StateHandle> {
    if (handle.kind === 'inline') return handle;
    return this.#put(name, await this.#source.reader.read(handle));
  }

  async #put(key: string, bytes: Uint8Array): Promise<StateHandle> {
    await this.#target.put(key, bytes);
    this.bytesWritten += bytes.length;
    return { kind: 'object', key, offset: 0, length: bytes.length, crc32: crc32(bytes) };
  }
}

const isSameCell = (a: SnapshotEntry, b: SnapshotEntry): boolean => cellOf(a) === cellOf(b);

const cellOf = ({ keyGroup, key, namespace }: SnapshotEntry): string =>
  JSON.stringify([keyGroup, printable(key), printable(namespace)]);
