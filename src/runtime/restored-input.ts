/**
 * In-flight data of a checkpoint, as input: what is left of it is processed before anything that comes from the channels.
 *
 * It is a number of stages, one after the other, since a checkpoint may have been taken before what an earlier one held was processed. A
 * stage has channels, each with its items in order; records of one key lie in one channel, or in channels that had no order among them.
 *
 * Invariants
 *  I1  A stage begins when the one before it is processed to its end.
 *  I2  Each stage has event time of its own, which begins with what its channels had told.
 *  I3  Bytes hold only what is this subtask's: they can be saved again as they are.
 */
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MillraceError } from '../base/errors.ts';
import {
  decodeChannels,
  type InFlightItem,
  readItem,
  type SavedChannel,
  schemaMark,
  writeItem,
} from '../state/channel-state.ts';
import type { SnapshotReader } from '../state/snapshot.ts';
import type { BatchCodec } from '../types/batch-codec.ts';
import { BATCH_SIZE_MAX, MIN_WATERMARK } from '../types/record-batch.ts';
import type { Schema } from '../types/schema.ts';
import type { LeftBatch } from './input-capture.ts';
import { InputWatermarks } from './input-watermarks.ts';
import type { Partitioner } from './partitioner.ts';
import type { ValveOutput } from './status-watermark-valve.ts';
import type { ChannelRestore, InFlightRestore } from './task-descriptor.ts';

/** An edge into the task, as far as restored records need it. */
export interface RestoredEdge {
  readonly input: 1 | 2;
  readonly schema: Schema<unknown>;
  readonly codec: BatchCodec<unknown>;
  /** As of the subtasks that there are now. */
  readonly partitioner: Partitioner;
}

export interface RestoredParams {
  readonly restore: InFlightRestore;
  readonly subtaskIndex: number;
  readonly reader: SnapshotReader;
  /** Undefined for an edge that does not lead here. */
  edgeOf(edgeId: string): RestoredEdge | undefined;
  readonly time: ValveOutput;
  /** A stage begins: whatever was idle is not any more. */
  readonly onStage: () => void;
}

interface RestoredChannel {
  readonly saved: SavedChannel;
  readonly edge: RestoredEdge;
  readonly items: ByteReader;
}

export interface RestoredItem {
  readonly index: number;
  readonly input: 1 | 2;
  readonly item: InFlightItem;
}

export class RestoredInput {
  readonly #params: RestoredParams;
  readonly #stages: (readonly RestoredChannel[])[];
  #time: InputWatermarks | undefined;
  #next = 0;

  /** Reads all of it. @throws `data` CHANNEL_STATE_MISMATCH, CHANNEL_STATE_CORRUPT or SNAPSHOT_CORRUPT */
  static async open(params: RestoredParams): Promise<RestoredInput> {
    const stages = [];
    for (const stage of params.restore.stages) {
      const parts = await Promise.all(stage.map((part) => readPart(part, params)));
      stages.push(joined(parts.flat(), params));
    }
    return new RestoredInput(params, stages);
  }

  private constructor(params: RestoredParams, stages: (readonly RestoredChannel[])[]) {
    this.#params = params;
    this.#stages = stages.filter((channels) => channels.length > 0);
  }

  /** The next item of any channel; `time` when a stage has told its time; undefined when all has been processed. */
  poll(): RestoredItem | 'time' | undefined {
    for (let stage = this.#stages[0]; stage !== undefined; stage = this.#stages[0]) {
      if (this.#time === undefined) {
        this.#begin(stage);
        return 'time';
      }
      for (let tried = 0; tried < stage.length; tried++) {
        const index = this.#next % stage.length;
        this.#next = index + 1;
        const { edge, items } = stage[index]!;
        if (items.remaining > 0)
          return { index, input: edge.input, item: readItem(items, edge.codec) };
      }
      this.#stages.shift();
      this.#time = undefined;
      this.#next = 0;
    }
    return undefined;
  }

  onWatermark(index: number, watermark: number): void {
    this.#time!.onWatermark(index, watermark);
  }

  onStatus(index: number, idle: boolean): void {
    this.#time!.onStatus(index, idle);
  }

  /** What is left, stage by stage. `left`: records of a channel of the first that have been taken and not processed. */
  remaining(left: LeftBatch | undefined): readonly (readonly SavedChannel[])[] {
    const stages = this.#stages.map((channels, stage) =>
      channels.map(({ saved, edge, items }, index): SavedChannel => {
        const isFirst = stage === 0;
        const writer = new ByteWriter();
        if (isFirst && left?.index === index)
          writeItem({ kind: 'batch', batch: left.batch }, edge.codec, writer, left.from);
        writer.raw(items.buffer.subarray(items.position, items.end));
        const time = isFirst ? this.#time?.timeOf(index) : undefined;
        return { ...saved, time: time ?? saved.time, items: writer.take() };
      }),
    );
    return stages.filter((channels) => channels.some(({ items }) => items.length > 0));
  }

  /** I2 */
  #begin(channels: readonly RestoredChannel[]): void {
    const { time: output, onStage } = this.#params;
    onStage();
    const time = new InputWatermarks(
      channels.map(({ edge }) => edge.input),
      output,
    );
    for (const [index, { saved }] of channels.entries()) {
      time.onWatermark(index, saved.time.watermark);
      if (saved.time.idle) time.onStatus(index, true);
    }
    this.#time = time;
  }
}

/** Where a channel led before the restart. */
interface OldChannel {
  readonly target: number;
  readonly saved: SavedChannel;
  readonly edge: RestoredEdge;
}

async function readPart(
  { target, bytes, edges }: ChannelRestore,
  params: RestoredParams,
): Promise<readonly OldChannel[]> {
  const channels: OldChannel[] = [];
  for (const saved of decodeChannels(await params.reader.read(bytes))) {
    const owned = edges[saved.edgeId];
    if (owned === undefined) continue;
    const edge = params.edgeOf(saved.edgeId);
    if (edge === undefined) {
      if (saved.items.length > 0) throw mismatch(saved.edgeId, 'does not lead here any more');
      continue;
    }
    if (saved.items.length > 0 && saved.schema !== schemaMark(edge.schema))
      throw mismatch(saved.edgeId, 'carries records of another schema now');
    channels.push({ target, edge, saved: cut(saved, edge, owned, params) });
  }
  return channels;
}

/** I3 */
function cut(
  saved: SavedChannel,
  { codec, partitioner }: RestoredEdge,
  owned: 'all' | 'own',
  { subtaskIndex, restore: { timed } }: RestoredParams,
): SavedChannel {
  const time = timed ? saved.time : { watermark: MIN_WATERMARK, idle: false };
  if (owned === 'all' && timed) return saved;
  const reader = new ByteReader(saved.items);
  const writer = new ByteWriter();
  const targets = new Int32Array(BATCH_SIZE_MAX);
  while (reader.remaining > 0) {
    const item = readItem(reader, codec);
    if (item.kind !== 'batch') {
      if (timed) writeItem(item, codec, writer);
      continue;
    }
    const { values, timestamps } = item.batch;
    if (owned === 'own') partitioner(values, 0, values.length, targets);
    const kept = [...values.keys()].filter((i) => owned === 'all' || targets[i] === subtaskIndex);
    if (kept.length === 0) continue;
    const batch = {
      values: kept.map((i) => values[i]),
      timestamps: timestamps === null ? null : Float64Array.from(kept, (i) => timestamps[i]!),
    };
    writeItem({ kind: 'batch', batch }, codec, writer);
  }
  return { ...saved, time, items: writer.take() };
}

/** What had arrived in a channel, and behind it what had not left its sender. */
function joined(parts: readonly OldChannel[], { restore }: RestoredParams): RestoredChannel[] {
  const channels = new Map<string, { saved: SavedChannel; edge: RestoredEdge }>();
  for (const { target, saved, edge } of parts) {
    const name = `${target} ${saved.source} ${saved.edgeId}`;
    const before = channels.get(name);
    const items =
      before === undefined ? saved.items : Buffer.concat([before.saved.items, saved.items]);
    channels.set(name, { edge, saved: { ...(before?.saved ?? saved), items } });
  }
  // Without time a channel that is empty says nothing.
  const told = [...channels.values()].filter(
    ({ saved }) => restore.timed || saved.items.length > 0,
  );
  return told.map(({ saved, edge }) => ({ saved, edge, items: new ByteReader(saved.items) }));
}

const mismatch = (edgeId: string, what: string): MillraceError =>
  new MillraceError(
    'data',
    'CHANNEL_STATE_MISMATCH',
    `the checkpoint holds in-flight records of edge ${edgeId}, which ${what}. Restore it with the program that wrote it and take a savepoint, which holds none`,
    { details: { edgeId } },
  );
