/** Faults planted on purpose: a checker that does not find them is not believed. */
import type { CollectTarget } from '../../src/testing/collect-sink.ts';
import type { Sink } from '../../src/connector/sink.ts';
import { decodeRecord, encodeRecord } from '../../src/state/checkpoint-record.ts';
import type { SubtaskSnapshot } from '../../src/state/snapshot.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { Settings } from './settings.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { Sabotage } from './scenario.ts';

const UPLOAD_DELAY_MS = 300;

/** Snapshots are acknowledged first and uploaded later, if the process lives that long. */
function acknowledgeEarly(store: ObjectStore, node: SimNode): ObjectStore {
  return {
    ...delegate(store),
    put(key, bytes) {
      if (!key.includes('/chk-') || key.endsWith('_metadata')) return store.put(key, bytes);
      node.after(UPLOAD_DELAY_MS, 'late upload', () => {
        store.put(key, bytes).catch(() => {});
      });
      return Promise.resolve('promised');
    },
  };
}

/** Compare-and-set that does not compare. */
export function neverFence(store: ObjectStore): ObjectStore {
  return {
    ...delegate(store),
    putIfMatch: async (key, bytes) => ({ outcome: 'stored', etag: await store.put(key, bytes) }),
  };
}

/** Makes results visible when they are staged, not when the checkpoint is complete. */
function commitEarly<T>(target: CollectTarget<T>, sink: Sink<T>): Sink<T> {
  return {
    ...sink,
    async createWriter(context) {
      const writer = await sink.createWriter(context);
      return {
        write: (batch) => writer.write(batch),
        flush: (endOfInput) => writer.flush(endOfInput),
        close: () => writer.close(),
        async prepareCommit(checkpointId) {
          const committables = (await writer.prepareCommit?.(checkpointId)) ?? [];
          for (const committable of committables)
            target.commit(committable as unknown as Parameters<CollectTarget<T>['commit']>[0]); // made by the same sink
          return committables;
        },
      };
    },
  };
}

/** Leaves out every third commit. */
function forgetCommits<T>(_target: CollectTarget<T>, sink: Sink<T>): Sink<T> {
  let commits = 0;
  return {
    ...sink,
    async createCommitter(context) {
      const committer = (await sink.createCommitter?.(context))!; // collectSink has one
      return {
        commit: async (committables) => {
          if (++commits % 3 !== 0) await committer.commit(committables);
        },
        close: () => committer.close(),
      };
    },
  };
}

/** Records wait in channels, also where they leave: batches of few records, and operators that are slower than the source. */
const congested = (settings: Settings): Settings => ({
  ...settings,
  workersMax: 3,
  parallelisms: [2],
  delivery: 'exactly-once',
  slowMs: 10,
  slowShare: 1,
  config: {
    ...settings.config,
    'execution.checkpointing.mode': 'exactly-once',
    'execution.checkpointing.unaligned.enabled': true,
    'execution.checkpointing.aligned-checkpoint-timeout': 0,
    'taskmanager.network.memory.buffer-debloat.enabled': true,
    'taskmanager.network.memory.buffer-debloat.target': 1,
    'taskmanager.network.memory.buffer-debloat.period': 5,
    'taskmanager.network.memory.buffer-debloat.samples': 1,
  },
});

/** Checkpoint records on their way to the store, changed. */
const changingRecords =
  (change: (snapshot: SubtaskSnapshot) => SubtaskSnapshot) =>
  (store: ObjectStore): ObjectStore => ({
    ...delegate(store),
    put(key, bytes) {
      if (!key.endsWith('_metadata')) return store.put(key, bytes);
      const record = decodeRecord(bytes, key);
      const vertices = record.vertices.map((vertex) => ({
        ...vertex,
        subtasks: vertex.subtasks.map(change),
      }));
      return store.put(key, encodeRecord({ ...record, vertices }));
    },
  });

const withoutReceived = changingRecords(({ channels, ...rest }) =>
  channels === undefined ? rest : { ...rest, channels: { ...channels, inputs: [] } },
);

const withoutUnsent = changingRecords(({ channels, ...rest }) =>
  channels === undefined ? rest : { ...rest, channels: { ...channels, outputs: {} } },
);

export const delegate = (store: ObjectStore): ObjectStore => ({
  get: (key, range, signal) => store.get(key, range, signal),
  head: (key, signal) => store.head(key, signal),
  put: (key, bytes, signal) => store.put(key, bytes, signal),
  putIfAbsent: (key, bytes, signal) => store.putIfAbsent(key, bytes, signal),
  putIfMatch: (key, bytes, etag, signal) => store.putIfMatch(key, bytes, etag, signal),
  delete: (key, signal) => store.delete(key, signal),
  list: (prefix, signal) => store.list(prefix, signal),
  close: () => store.close(),
});

export const SABOTAGES: readonly Sabotage[] = [
  { name: 'snapshots are acknowledged before they are durable', storeOf: acknowledgeEarly },
  { name: 'a stale coordinator is not fenced', storeOf: neverFence },
  {
    name: 'results are committed before the checkpoint is complete',
    sinkOf: commitEarly,
    settingsOf: (settings) => ({ ...settings, sink: 'collect' }),
  },
  {
    name: 'commits are forgotten',
    sinkOf: forgetCommits,
    settingsOf: (settings) => ({ ...settings, sink: 'collect' }),
  },
  {
    name: 'barriers overtake and what had arrived is not saved',
    storeOf: withoutReceived,
    settingsOf: congested,
  },
  {
    name: 'barriers overtake and what had not left is not saved',
    storeOf: withoutUnsent,
    settingsOf: congested,
  },
  {
    name: 'barriers are not aligned',
    settingsOf: (settings) => ({
      ...settings,
      config: {
        ...settings.config,
        'execution.checkpointing.mode': 'at-least-once',
        'execution.checkpointing.unaligned.enabled': false,
      },
    }),
  },
];
