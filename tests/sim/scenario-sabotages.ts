/** Faults planted in named scenarios: what their checkers are for. */
import { decodeRecord } from '../../src/state/checkpoint-record.ts';
import { decodeHead, encodeHead } from '../../src/state/job-head.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { delegate, neverFence } from './sabotages.ts';
import type { Sabotage } from './scenario.ts';

/** Heads of two coordinators cannot be told apart: none has an id in it, and each sees its own. */
function withoutIds(store: ObjectStore): ObjectStore {
  let own: string | undefined;
  const stripped = (key: string, bytes: Uint8Array): Uint8Array => {
    if (!key.endsWith('/head')) return bytes;
    const { coordinator, ...head } = decodeHead(bytes, key);
    own = coordinator;
    return encodeHead(head);
  };
  return {
    ...delegate(store),
    async get(key, range, signal) {
      const bytes = await store.get(key, range, signal);
      if (!key.endsWith('/head') || own === undefined) return bytes;
      return encodeHead({ ...decodeHead(bytes, key), coordinator: own });
    },
    putIfAbsent: (key, bytes, signal) => store.putIfAbsent(key, stripped(key, bytes), signal),
    putIfMatch: (key, bytes, etag, signal) =>
      store.putIfMatch(key, stripped(key, bytes), etag, signal),
  };
}

/** Deletions of shared files do nothing. */
const keepGarbage = (store: ObjectStore): ObjectStore => ({
  ...delegate(store),
  delete: (key, signal) =>
    key.includes('/shared/') ? Promise.resolve() : store.delete(key, signal),
});

/** Deleting an object takes the newest one of the job along. */
const deleteTooMuch = (store: ObjectStore): ObjectStore => ({
  ...delegate(store),
  async delete(key, signal) {
    await store.delete(key, signal);
    const folder = key.slice(0, key.indexOf('/'));
    let last: string | undefined;
    for await (const meta of store.list(`${folder}/chk-`)) last = meta.key;
    if (last !== undefined) await store.delete(last);
  },
});

/** All records of a history, oldest first. */
const records = new WeakMap<object, Uint8Array[]>();

/** A record that is corrupt is passed over for the one before. */
function takeOlder(store: ObjectStore, { scheduler }: SimNode): ObjectStore {
  const all = records.get(scheduler) ?? [];
  records.set(scheduler, all);
  return {
    ...delegate(store),
    put(key, bytes, signal) {
      if (key.endsWith('/_metadata')) all.push(bytes.slice());
      return store.put(key, bytes, signal);
    },
    async get(key, range, signal) {
      const bytes = await store.get(key, range, signal);
      if (!key.endsWith('/_metadata')) return bytes;
      try {
        decodeRecord(bytes, key);
        return bytes;
      } catch {
        return all.at(-2) ?? bytes;
      }
    },
  };
}

export const SCENARIO_SABOTAGES: readonly (Sabotage & { readonly scenario: string })[] = [
  { scenario: 'F9', name: 'zombies are not fenced', storeOf: neverFence },
  { scenario: 'F15', name: 'two coordinators take one generation', storeOf: withoutIds },
  { scenario: 'F19', name: 'garbage is not deleted', storeOf: keepGarbage },
  { scenario: 'F19', name: 'what a checkpoint names is deleted', storeOf: deleteTooMuch },
  { scenario: 'F22', name: 'an older checkpoint is taken silently', storeOf: takeOlder },
];
