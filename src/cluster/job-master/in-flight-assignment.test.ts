/** In-flight data of a checkpoint at one parallelism, restored at another: by random channels, against what was in flight. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ByteWriter } from '../../base/bytes.ts';
import type { JobGraph } from '../../graph/job-graph.ts';
import type { LogicalNode, Partitioning } from '../../graph/logical-graph.ts';
import type { EdgeCode } from '../../graph/program.ts';
import { layOut } from '../../runtime/in-flight-layout.ts';
import { createPartitioner } from '../../runtime/partitioner.ts';
import { RestoredInput } from '../../runtime/restored-input.ts';
import type { InFlightRestore } from '../../runtime/task-descriptor.ts';
import { encodeChannels, schemaMark, writeItem } from '../../state/channel-state.ts';
import { CHECKPOINT_RECORD_VERSION, type CheckpointRecord } from '../../state/checkpoint-record.ts';
import { inlineHandle, StoreSnapshotReader } from '../../state/checkpoint-storage.ts';
import type { SubtaskSnapshot } from '../../state/snapshot.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import { batchCodec } from '../../types/batch-codec.ts';
import { MIN_WATERMARK } from '../../types/record-batch.ts';
import { t } from '../../types/t.ts';
import { assignInFlight, inFlightRefusals } from './in-flight-assignment.ts';

const EDGE = 'source:target:1:0';
const MAX_PARALLELISM = 16;
const SCHEMA = t.string();
const CODEC = batchCodec(SCHEMA);

/** Records are `key/number`; a custom partitioner sees the key's letter. */
const keyOf = (value: unknown): string => String(value).split('/')[0]!;
const CODE: EdgeCode = {
  schema: SCHEMA,
  keySelector: keyOf,
  keySchema: t.string(),
  partitioner: (key: string, parallelism: number) => key.charCodeAt(0) % parallelism,
};

const partitionerOf = (partitioning: Partitioning, parallelism: number) =>
  createPartitioner({
    partitioning,
    code: CODE,
    channels: parallelism,
    maxParallelism: MAX_PARALLELISM,
    random: { next: () => 0 },
    subtaskIndex: 0,
  });

function ownerOf(partitioning: Partitioning, value: string, parallelism: number): number {
  const targets = new Int32Array(1);
  partitionerOf(partitioning, parallelism)([value], 0, 1, targets);
  return targets[0]!;
}

function graphOf(partitioning: Partitioning, parallelism: number): JobGraph {
  const node = (id: string): LogicalNode =>
    ({
      id,
      name: id,
      ...(partitioning === 'hash' && id === 'target' ? { keySchema: 'string' } : {}),
    }) as LogicalNode; // what the assignment reads of it
  const vertex = (id: string, subtasks: number) => ({
    id,
    name: id,
    operators: [node(id)],
    chainEdges: [],
    parallelism: subtasks,
    maxParallelism: MAX_PARALLELISM,
    slotSharingGroup: 'default',
  });
  const edge = { id: EDGE, source: 'source', target: 'target', input: 1, partitioning } as const;
  return {
    name: 'job',
    vertices: [vertex('source', 1), vertex('target', parallelism)],
    edges: [{ ...edge, sourceVertex: 'source', targetVertex: 'target' }],
    fingerprint: '',
  };
}

/** What was in flight from one subtask to another: what had arrived, and what had not left. */
interface Flight {
  readonly source: number;
  readonly target: number;
  readonly watermark: number;
  readonly arrived: readonly Item[];
  readonly unsent: readonly Item[];
}

type Item = string | number;

function bytesOf(items: readonly Item[]): Uint8Array {
  const writer = new ByteWriter();
  for (const item of items)
    writeItem(
      typeof item === 'number'
        ? { kind: 'watermark', watermark: item }
        : { kind: 'batch', batch: { values: [item], timestamps: null } },
      CODEC,
      writer,
    );
  return writer.take();
}

const channelOf = (source: number, items: readonly Item[], watermark = MIN_WATERMARK) => ({
  edgeId: EDGE,
  source,
  schema: schemaMark(SCHEMA),
  time: { watermark, idle: false },
  items: bytesOf(items),
});

function recordOf(
  flights: readonly Flight[],
  partitioning: Partitioning,
  { sources, targets }: { readonly sources: number; readonly targets: number },
): CheckpointRecord {
  const received = Array.from({ length: targets }, (_, target): SubtaskSnapshot => {
    const channels = flights
      .filter((flight) => flight.target === target)
      .map(({ source, arrived, watermark }) => channelOf(source, arrived, watermark));
    const stages = [encodeChannels(channels)];
    return snapshotOf({ stages, edges: new Set([EDGE]), elements: 1 }, [], partitioning);
  });
  const unsent = Array.from({ length: sources }, (_, source): SubtaskSnapshot => {
    const outputs = flights
      .filter((flight) => flight.source === source && flight.unsent.length > 0)
      .map((flight) => ({
        edgeId: EDGE,
        target: flight.target,
        bytes: encodeChannels([channelOf(source, flight.unsent)]),
        elements: 1,
      }));
    return snapshotOf(undefined, outputs, partitioning);
  });
  const vertex = (id: string, subtasks: readonly SubtaskSnapshot[]) => ({
    id,
    operators: [{ id, name: id, parallelism: subtasks.length, maxParallelism: MAX_PARALLELISM }],
    subtasks,
  });
  return {
    version: CHECKPOINT_RECORD_VERSION,
    jobId: 'job',
    jobName: 'job',
    checkpointId: 1,
    generation: 1,
    triggeredAtMs: 0,
    completedAtMs: 0,
    fingerprint: '',
    vertices: [vertex('source', unsent), vertex('target', received)],
  };
}

function snapshotOf(
  inputs: Parameters<typeof layOut>[0],
  outputs: Parameters<typeof layOut>[1],
  partitioning: Partitioning,
): SubtaskSnapshot {
  const { bytes, contents } = layOut(inputs, outputs, () => partitioning);
  return {
    operators: {},
    channels: { data: inlineHandle(bytes), ...contents },
    sizeBytes: bytes.length,
  };
}

/** What a new subtask processes, watermarks as `w<time>`. */
async function restored(
  restore: InFlightRestore | undefined,
  place: {
    readonly partitioning: Partitioning;
    readonly subtaskIndex: number;
    readonly parallelism: number;
  },
): Promise<readonly string[]> {
  if (restore === undefined) return [];
  const seen: string[] = [];
  const input = await RestoredInput.open({
    restore,
    subtaskIndex: place.subtaskIndex,
    reader: new StoreSnapshotReader(new MemoryStore()),
    edgeOf: () => ({
      input: 1,
      schema: SCHEMA,
      codec: CODEC,
      partitioner: partitionerOf(place.partitioning, place.parallelism),
    }),
    time: { watermark: (watermark) => seen.push(`w${watermark}`), status: () => {} },
    onStage: () => {},
  });
  for (let next = input.poll(); next !== undefined; next = input.poll()) {
    if (next === 'time') continue;
    if (next.item.kind === 'watermark') input.onWatermark(next.index, next.item.watermark);
    else if (next.item.kind === 'batch') seen.push(...(next.item.batch.values as string[]));
  }
  return seen;
}

/** Every channel of an exchange with random records, numbered so that those of one key and source can be told in order. */
function flightsOf(
  partitioning: Partitioning,
  script: readonly { readonly source: number; readonly key: string; readonly unsent: boolean }[],
  { sources, targets }: { readonly sources: number; readonly targets: number },
): Flight[] {
  const flights = Array.from({ length: sources * targets }, (_, i) => ({
    source: Math.floor(i / targets),
    target: i % targets,
    watermark: 10 + i,
    arrived: [] as Item[],
    unsent: [] as Item[],
  }));
  for (const [number, { source, key, unsent }] of script.entries()) {
    const value = `${key}/${source % sources}/${number}`;
    const spread = partitioning === 'rebalance';
    const target = spread ? number % targets : ownerOf(partitioning, value, targets);
    const flight = flights[(source % sources) * targets + target]!;
    // What has not left comes after what has.
    if (unsent || flight.unsent.length > 0) flight.unsent.push(value);
    else flight.arrived.push(value, 100 + number);
  }
  return flights;
}

for (const partitioning of ['hash', 'custom', 'rebalance', 'global'] as const)
  test(`${partitioning}: each record comes once, where it belongs, and in the order of its channel`, async () => {
    const scenario = fc.record({
      script: fc.array(
        fc.record({
          source: fc.nat(3),
          key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
          unsent: fc.boolean(),
        }),
        { maxLength: 40 },
      ),
      sources: fc.integer({ min: 1, max: 4 }),
      targets: fc.integer({ min: 1, max: 5 }),
      parallelism: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ script, sources, targets, parallelism }) => {
        const old = { sources, targets };
        const flights = flightsOf(partitioning, script, old);
        const record = recordOf(flights, partitioning, old);
        const graph = graphOf(partitioning, parallelism);
        assert.deepEqual(inFlightRefusals(record, graph), []);
        const all: string[] = [];
        for (let subtaskIndex = 0; subtaskIndex < parallelism; subtaskIndex++) {
          const restore = assignInFlight(record, graph, graph.vertices[1]!, subtaskIndex);
          const place = { partitioning, subtaskIndex, parallelism };
          const seen = await restored(restore, place);
          const values = seen.filter((text) => !text.startsWith('w'));
          all.push(...values);
          if (partitioning !== 'rebalance')
            for (const value of values)
              assert.equal(ownerOf(partitioning, value, parallelism), subtaskIndex);
          for (const { source, arrived, unsent } of flights) {
            const own = [...arrived, ...unsent].filter((item) => values.includes(String(item)));
            const numbers = values.filter((value) => own.includes(value));
            assert.deepEqual(numbers, own, `records of source ${source} keep their order`);
          }
          if (partitioning === 'hash') checkTime(seen, flights, restore!);
        }
        const expected = flights.flatMap(({ arrived, unsent }) => [...arrived, ...unsent]);
        assert.deepEqual(
          all.toSorted(),
          expected.filter((item) => typeof item === 'string').toSorted(),
        );
      }),
      { numRuns: 150 },
    );
  });

/** No watermark comes before every channel that the subtask's records were in has told it. */
function checkTime(
  seen: readonly string[],
  flights: readonly Flight[],
  { stages, timed }: InFlightRestore,
): void {
  const targets = new Set(stages.flat().map(({ target }) => target));
  const least = Math.min(
    ...flights
      .filter(({ target }) => targets.has(target))
      .map(({ watermark, arrived }) =>
        Math.max(watermark, ...arrived.filter((item) => typeof item === 'number')),
      ),
  );
  const told = seen.filter((text) => text.startsWith('w')).map((text) => Number(text.slice(1)));
  assert.ok(timed, 'all old subtasks have told their time');
  assert.deepEqual(
    told.toSorted((a, b) => a - b),
    told,
  );
  assert.equal(told.at(-1), least);
}

describe('in-flight data that does not fit the program', () => {
  const flights: Flight[] = [
    { source: 0, target: 0, watermark: 1, arrived: ['a/0/0'], unsent: [] },
  ];
  const record = recordOf(flights, 'hash', { sources: 1, targets: 1 });
  const CASES: readonly { what: string; graph: JobGraph; reason: RegExp }[] = [
    {
      what: 'the exchange is gone',
      graph: { ...graphOf('hash', 1), edges: [] },
      reason: /not in the program/,
    },
    {
      what: 'it is partitioned otherwise',
      graph: graphOf('rebalance', 1),
      reason: /by rebalance now/,
    },
    {
      what: 'there are other key groups',
      graph: {
        ...graphOf('hash', 1),
        vertices: graphOf('hash', 1).vertices.map((vertex) => ({ ...vertex, maxParallelism: 32 })),
      },
      reason: /maxParallelism 16, which is 32 now/,
    },
  ];
  for (const { what, graph, reason } of CASES)
    test(`is refused where ${what}`, () => {
      const reasons = inFlightRefusals(record, graph);
      assert.equal(reasons.length, 1);
      assert.match(reasons[0]!, reason);
    });

  test('is refused where records have another schema', async () => {
    const restore = assignInFlight(record, graphOf('hash', 1), graphOf('hash', 1).vertices[1]!, 0)!;
    const edge = {
      input: 1,
      schema: t.int32(),
      codec: batchCodec(t.int32()),
      partitioner: partitionerOf('hash', 1),
    } as const;
    const opened = RestoredInput.open({
      restore,
      subtaskIndex: 0,
      reader: new StoreSnapshotReader(new MemoryStore()),
      edgeOf: () => edge,
      time: { watermark: () => {}, status: () => {} },
      onStage: () => {},
    });
    await assert.rejects(opened, { kind: 'data', code: 'CHANNEL_STATE_MISMATCH' });
  });
});
