/**
 * Watches a bucket: at every instant each checkpoint that a head names or that is pinned must be whole (C8), its generation and ids must not
 * go back (C6), nobody but the coordinator that took the head over last may change it (P5; pins are anybody's), and what its ledger probes
 * say is kept for C3. `garbageOf` says what is stored and nobody names.
 *
 * Looks after each effect on the bucket, synchronously, before anything else runs: what is missing for a moment is seen.
 */
import { ByteReader } from '../base/bytes.ts';
import { type CheckpointRecord, decodeRecord, objectsOf } from '../state/checkpoint-record.ts';
import { decodeChannels, readItem } from '../state/channel-state.ts';
import { decodeHead, headKeyOf, type JobHead } from '../state/job-head.ts';
import { InMemoryOperatorState } from '../state/operator-state-backend.ts';
import type { OperatorStateHandle, StateHandle } from '../state/snapshot.ts';
import { batchCodec } from '../types/batch-codec.ts';
import type { Schema } from '../types/schema.ts';
import type { LedgerSample, Violation } from './checkers.ts';
import { LEDGER_SCHEMA, LEDGER_STATE } from './probes.ts';
import type { SimBucket, StoreAudit } from './sim-store.ts';

interface Ledger {
  readonly checkpointId: number;
  readonly sent: readonly Uint8Array[];
  readonly received: readonly Uint8Array[];
  readonly inFlight: number;
}

/** A checkpoint that came to exist. */
interface TakenCheckpoint {
  /** Virtual time, about: when it was stored, less its duration by the coordinator's wall clock. */
  readonly triggeredMs: number;
  readonly durationMs: number;
  /** Stream elements that it holds as in-flight data. */
  readonly inFlight: number;
}

export interface CheckpointAuditOptions {
  /** Uids of the operators that hold ledger probes. */
  readonly ledger?: {
    readonly sentUid: string;
    readonly receivedUid: string;
    /** Of the records between the two: what is in flight is counted. */
    readonly schema: Schema<unknown>;
    amountOf(value: unknown): number;
  };
}

const VIOLATIONS_MAX = 20;

export class CheckpointAudit {
  readonly violations: Violation[] = [];
  readonly #bucket: SimBucket;
  readonly #options: CheckpointAuditOptions;
  /** Per head: what it names, with the checkpoint that needs it. */
  readonly #reachable = new Map<string, ReadonlyMap<string, number>>();
  readonly #heads = new Map<string, JobHead>();
  /** Per head: the node that took it over last. */
  readonly #coordinators = new Map<string, string>();
  /** Records are immutable: each is read once, as it was when it came to be. */
  readonly #records = new Map<string, CheckpointRecord>();
  readonly #excused = new Set<string>();
  readonly #ledgers: Ledger[] = [];
  completed = 0;
  readonly taken: TakenCheckpoint[] = [];

  constructor(bucket: SimBucket, options: CheckpointAuditOptions = {}) {
    this.#bucket = bucket;
    this.#options = options;
    bucket.onEffect = (effect) => this.#look(effect);
  }

  /** The sums of all checkpoints that ever existed. */
  async ledgers(): Promise<readonly LedgerSample[]> {
    const samples: LedgerSample[] = [];
    for (const { checkpointId, sent, received, inFlight } of this.#ledgers) {
      const arrived = (await sum(received)) + inFlight;
      samples.push({ checkpointId, sent: await sum(sent), received: arrived });
    }
    return samples;
  }

  /** The scenario damages it: that it is missing is nobody's fault. */
  excuse(key: string): void {
    this.#excused.add(key);
  }

  /** The checkpoints of a job, oldest first. */
  checkpointsOf(jobId: string): readonly CheckpointRecord[] {
    const checkpoints = this.#heads.get(headKeyOf(jobId))?.checkpoints ?? [];
    return checkpoints.flatMap(({ key }) => this.#records.get(key) ?? []);
  }

  /** Objects of a job that no checkpoint names, retained or pinned. */
  garbageOf(jobId: string): readonly string[] {
    const head = headKeyOf(jobId);
    const reachable = this.#reachable.get(head);
    return this.#bucket
      .keys(`${jobId}/`)
      .filter((key) => key !== head && reachable?.has(key) !== true);
  }

  #look({ operation, key, applied, node }: StoreAudit): void {
    if (!applied || operation === 'get' || operation === 'head' || operation === 'list') return;
    if (key.endsWith('/head')) {
      this.#onHead(key, node);
      return;
    }
    for (const reachable of this.#reachable.values()) {
      const checkpointId = reachable.get(key);
      if (checkpointId === undefined) continue;
      const what = operation === 'delete' ? 'deleted' : 'written again';
      this.#violate('C8', `${key} was ${what} while checkpoint ${checkpointId} names it`, { node });
    }
  }

  #onHead(key: string, node: string): void {
    const bytes = this.#bucket.peek(key);
    if (bytes === undefined) {
      this.#violate('C8', `${key} was deleted`, { node });
      return;
    }
    const head = decodeHead(bytes, key);
    const before = this.#heads.get(key);
    this.#heads.set(key, head);
    if (before !== undefined) this.#checkProgress(before, head, node);
    this.#checkCoordinator(key, before, head, node);
    const reachable = new Map<string, number>();
    for (const checkpoint of [...head.checkpoints, ...head.pins]) {
      const record = this.#record(checkpoint.key, checkpoint.checkpointId, node);
      if (record === undefined) continue;
      reachable.set(checkpoint.key, checkpoint.checkpointId);
      for (const object of objectsOf(record)) {
        reachable.set(object, checkpoint.checkpointId);
        if (this.#bucket.peek(object) === undefined && !this.#excused.has(object))
          this.#violate(
            'C8',
            `checkpoint ${checkpoint.checkpointId} names ${object}, which is not there`,
            { node },
          );
      }
      if (!this.#records.has(checkpoint.key)) this.#onCompleted(record);
      this.#records.set(checkpoint.key, record);
    }
    this.#reachable.set(key, reachable);
  }

  /** C6 */
  #checkProgress(before: JobHead, after: JobHead, node: string): void {
    if (after.generation < before.generation)
      this.#violate('C6', `generation went back from ${before.generation} to ${after.generation}`, {
        node,
      });
    const [old, now] = [before.checkpoints.at(-1), after.checkpoints.at(-1)];
    if (old === undefined) return;
    if (now === undefined || now.checkpointId < old.checkpointId)
      this.#violate('C6', `the newest checkpoint went back from ${old.checkpointId}`, {
        node,
        now: now?.checkpointId,
      });
    else if (now.checkpointId === old.checkpointId && now.key !== old.key)
      this.#violate('C6', `checkpoint ${old.checkpointId} was replaced by another`, { node });
  }

  /** P5 */
  #checkCoordinator(key: string, before: JobHead | undefined, after: JobHead, node: string): void {
    if (before === undefined || after.generation > before.generation) {
      this.#coordinators.set(key, node);
      return;
    }
    const coordinator = this.#coordinators.get(key);
    if (node === coordinator || withoutPins(before) === withoutPins(after)) return;
    const message = `${node} changed the head of generation ${after.generation}, which ${coordinator} coordinates`;
    this.#violate('P5', message, { node });
  }

  #record(key: string, checkpointId: number, node: string): CheckpointRecord | undefined {
    const known = this.#records.get(key);
    if (known !== undefined && this.#excused.has(key)) return known;
    const bytes = this.#bucket.peek(key);
    if (bytes !== undefined) return known ?? decodeRecord(bytes, key);
    this.#violate('C8', `the record ${key} of checkpoint ${checkpointId} is not there`, { node });
    return undefined;
  }

  #onCompleted(record: CheckpointRecord): void {
    this.completed++;
    const snapshots = record.vertices.flatMap(({ subtasks }) => subtasks);
    const durationMs = record.completedAtMs - record.triggeredAtMs;
    this.taken.push({
      triggeredMs: this.#bucket.scheduler.nowMs - durationMs,
      durationMs,
      inFlight: snapshots.reduce((sum, { channels }) => sum + (channels?.elements ?? 0), 0),
    });
    const { ledger } = this.#options;
    if (ledger === undefined) return;
    const [sent, received] = [
      this.#copies(record, ledger.sentUid),
      this.#copies(record, ledger.receivedUid),
    ];
    if (sent !== undefined && received !== undefined)
      this.#ledgers.push({
        checkpointId: record.checkpointId,
        sent,
        received,
        inFlight: this.#inFlight(record, ledger),
      });
  }

  /** What is saved on its way from the one operator to the other. */
  #inFlight(
    record: CheckpointRecord,
    { receivedUid, schema, amountOf }: NonNullable<CheckpointAuditOptions['ledger']>,
  ): number {
    const operators = record.vertices.flatMap((vertex) => vertex.operators);
    const receiver = operators.find(({ uid }) => uid === receivedUid)!.id;
    const codec = batchCodec(schema);
    let total = 0;
    for (const { channels } of record.vertices.flatMap(({ subtasks }) => subtasks)) {
      if (channels === undefined) continue;
      const bytes = this.#bytesOf(channels.data);
      if (bytes === undefined) continue;
      const outputs = Object.values(channels.outputs).flatMap((targets) => Object.values(targets));
      for (const { offset, length } of [...channels.inputs, ...outputs]) {
        for (const { edgeId, items } of decodeChannels(bytes.subarray(offset, offset + length))) {
          if (!edgeId.includes(`:${receiver}:`)) continue;
          const reader = new ByteReader(items);
          while (reader.remaining > 0) {
            const item = readItem(reader, codec);
            if (item.kind !== 'batch') continue;
            for (const value of item.batch.values) total += amountOf(value);
          }
        }
      }
    }
    return total;
  }

  /** The operator-state bytes of all subtasks; undefined if some are missing, which C8 reports. */
  #copies(record: CheckpointRecord, uid: string): Uint8Array[] | undefined {
    const copies: Uint8Array[] = [];
    for (const { operators, subtasks } of record.vertices) {
      const id = operators.find((operator) => operator.uid === uid)?.id;
      if (id === undefined) continue;
      for (const subtask of subtasks) {
        const handle = subtask.operators[id]?.operator?.data;
        const bytes = handle === undefined ? undefined : this.#bytesOf(handle);
        if (bytes === undefined) return undefined;
        copies.push(bytes);
      }
    }
    return copies;
  }

  #bytesOf(handle: StateHandle): Uint8Array | undefined {
    if (handle.kind === 'inline') return Buffer.from(handle.base64, 'base64');
    return this.#bucket.peek(handle.key)?.slice(handle.offset, handle.offset + handle.length);
  }

  #violate(checker: string, message: string, evidence: Readonly<Record<string, unknown>>): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    this.violations.push({
      checker,
      message,
      evidence: { atMs: this.#bucket.scheduler.nowMs, ...evidence },
    });
  }
}

const withoutPins = (head: JobHead): string => JSON.stringify({ ...head, pins: [] });

async function sum(parts: readonly Uint8Array[]): Promise<number> {
  const restore = parts.map((_, i): OperatorStateHandle => ({
    data: { kind: 'object', key: String(i), offset: 0, length: 0, crc32: 0 },
  }));
  const state = await InMemoryOperatorState.open({
    operatorId: 'ledger',
    subtaskIndex: 0,
    parallelism: 1,
    restore,
    reader: { read: async (handle) => parts[handle.kind === 'object' ? Number(handle.key) : 0]! },
  });
  return state
    .getListState(LEDGER_STATE, LEDGER_SCHEMA)
    .get()
    .reduce((a, b) => a + b, 0);
}
