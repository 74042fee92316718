/** forst that writes out between checkpoints: any history equals plain maps, and a barrier finds only the tail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Timer } from '../../base/world.ts';
import { MemoryStore } from '../../storage/memory-store.ts';
import type { ConditionalPut } from '../../storage/object-store.ts';
import { forstInMemory } from '../../testing/forst-testing.ts';
import { SeededRandom } from '../../testing/seeded-random.ts';
import { keyGroupRangeOf } from '../../types/key-group.ts';
import { hashKey, murmurHash } from '../../types/key-hash.ts';
import { t } from '../../types/t.ts';
import { StoreSnapshotReader, StoreSnapshotWriter } from '../checkpoint-storage.ts';
import { listState, mapState, reducingState, valueState } from '../descriptor.ts';
import type { KeyedStateBackend, StateBackend } from '../keyed-state-backend.ts';
import type { KeyedStateHandle } from '../snapshot.ts';

const SEEDS = 40;
const STEPS = 600;
const KEYS = 40;
const MAX_PARALLELISM = 16;

type Options = NonNullable<Parameters<typeof forstInMemory>[1]>;

let attempts = 0;

async function openSubtask(
  backend: StateBackend,
  store: MemoryStore,
  place: { index: number; parallelism: number; restore: readonly KeyedStateHandle[] },
) {
  const keyed = await backend.createKeyed({
    operatorId: 'operator',
    attemptId: `attempt${++attempts}`,
    keySchema: t.string(),
    keyGroupRange: keyGroupRangeOf(place.index, place.parallelism, MAX_PARALLELISM),
    maxParallelism: MAX_PARALLELISM,
    restore: place.restore,
    reader: new StoreSnapshotReader(store),
    wallMs: () => 0,
    yieldToLoop: async () => {},
    allowGenericTypes: false,
  });
  return {
    keyed,
    value: keyed.getState('value', valueState(t.string())),
    list: keyed.getState('list', listState(t.int32())),
    map: keyed.getState('map', mapState(t.int32(), t.int32())),
    sum: keyed.getState(
      'sum',
      reducingState(t.int32(), (a: number, b: number) => a + b),
    ),
  };
}

type Subtask = Awaited<ReturnType<typeof openSubtask>>;

/** What one key holds, plainly. */
interface Held {
  value: string | undefined;
  list: number[];
  map: Map<number, number>;
  sum: number | undefined;
}

type Model = Map<string, Held>;

const emptyHeld = (): Held => ({ value: undefined, list: [], map: new Map(), sum: undefined });

let checkpoints = 0;

const write = (keyed: KeyedStateBackend, store: MemoryStore): Promise<KeyedStateHandle> => {
  const checkpointId = ++checkpoints;
  const params = { jobId: 'job', checkpointId, attemptId: 'a' };
  return keyed.snapshot(checkpointId).write(new StoreSnapshotWriter(store, params));
};

/** Grace periods that end when the test says so: where nothing is being read. */
class GraceTimers {
  #due = new Set<() => void>();
  fired = 0;

  after(_delayMs: number, callback: () => void): Timer {
    this.#due.add(callback);
    return { cancel: () => void this.#due.delete(callback) };
  }

  fire(): void {
    const due = this.#due;
    this.#due = new Set();
    this.fired += due.size;
    for (const callback of due) callback();
  }
}

class Job {
  readonly graceTimers = new GraceTimers();
  readonly #random: SeededRandom;
  readonly #store = new MemoryStore();
  readonly #options: Options;
  #subtasks: readonly Subtask[] = [];
  #model: Model = new Map();
  readonly #retained: { readonly handles: readonly KeyedStateHandle[]; readonly model: Model }[] =
    [];
  #writing: Promise<void> | undefined;

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#options = {
      tailBytesMax: random.pick([1, 500, 5000]),
      memtableBytes: random.pick([256, 4096]),
      cacheBytes: random.pick([0, 4000, 1 << 20]),
      local: random.chance(0.3),
      graceTimers: this.graceTimers,
    };
  }

  async run(): Promise<void> {
    await this.#restore([], new Map());
    for (let i = 0; i < STEPS; i++) await this.#step();
    await this.#check();
    for (const { handles, model } of this.#retained) {
      await this.#restore(handles, model);
      await this.#check();
    }
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const kind = random.int(100);
    if (random.chance(0.1)) this.graceTimers.fire();
    if (kind < 80) this.#change();
    else if (kind < 90) for (const { keyed } of this.#subtasks) keyed.residency!.trim();
    else if (kind < 95) for (let i = random.int(30); i > 0; i--) await Promise.resolve();
    else if (kind < 98) await this.#checkpoint();
    else if (kind < 99) await this.#check();
    else await this.#crash();
  }

  #change(): void {
    const random = this.#random;
    const key = `key${random.int(KEYS)}`;
    const { value, list, map, sum } = this.#at(key);
    const held = this.#model.get(key) ?? emptyHeld();
    this.#model.set(key, held);
    const n = random.int(1000);
    switch (random.int(8)) {
      case 0:
        value.value = held.value = 'x'.repeat(n / 10);
        return;
      case 1:
        value.clear();
        held.value = undefined;
        return;
      case 2:
        list.add(n);
        held.list.push(n);
        return;
      case 3:
        if (!random.chance(0.3)) return;
        list.clear();
        held.list = [];
        return;
      case 4:
        map.put(n % 5, n);
        held.map.set(n % 5, n);
        return;
      case 5:
        map.remove(n % 5);
        held.map.delete(n % 5);
        return;
      case 6:
        if (!random.chance(0.3)) return;
        map.clear();
        held.map.clear();
        return;
      default:
        sum.add(n);
        held.sum = (held.sum ?? 0) + n;
    }
  }

  /** Written in the background; the next one waits for it. */
  async #checkpoint(): Promise<void> {
    await this.#writing;
    const model = structuredClone(this.#model);
    const handles = this.#subtasks.map(({ keyed }) => write(keyed, this.#store));
    this.#writing = Promise.all(handles).then((written) => {
      this.#retained.push({ handles: written, model });
    });
  }

  /** Back to a retained checkpoint, not always the last. */
  async #crash(): Promise<void> {
    if (this.#random.chance(0.5)) await this.#writing;
    const retained = this.#retained.slice(-3);
    if (retained.length === 0) return;
    const { handles, model } = this.#random.pick(retained);
    await this.#restore(handles, model);
  }

  async #restore(restore: readonly KeyedStateHandle[], model: Model): Promise<void> {
    // What is being written belongs to nobody from here on.
    const given = this.#writing;
    await Promise.all(this.#subtasks.map(({ keyed }) => keyed.close()));
    await given;
    this.#writing = undefined;
    this.#model = structuredClone(model);
    const parallelism = this.#random.between(1, 3);
    const backend = forstInMemory(this.#store, this.#options);
    this.#subtasks = await Promise.all(
      Array.from({ length: parallelism }, (_, index) =>
        openSubtask(backend, this.#store, { index, parallelism, restore }),
      ),
    );
  }

  #at(key: string): Subtask {
    const group = murmurHash(hashKey(key)) % MAX_PARALLELISM;
    const subtask = this.#subtasks[Math.floor((group * this.#subtasks.length) / MAX_PARALLELISM)]!;
    subtask.keyed.setCurrentKey(key);
    return subtask;
  }

  async #check(): Promise<void> {
    for (let i = 0; i < KEYS; i++) {
      const key = `key${i}`;
      const { keyed, value, list, map, sum } = this.#at(key);
      while (!map.prepare()) await keyed.residency!.load(new AbortController().signal);
      const found: Held = {
        value: value.value,
        list: [...list.get()],
        map: new Map([...map.entries()].toSorted(([a], [b]) => a - b)),
        sum: sum.get(),
      };
      const { map: entries, ...held } = this.#model.get(key) ?? emptyHeld();
      const sorted = new Map([...entries].toSorted(([a], [b]) => a - b));
      assert.deepEqual(found, { ...held, map: sorted }, key);
    }
  }
}

test('any history of changes, checkpoints, compactions, crashes and rescales equals plain maps', async () => {
  let deleted = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const job = new Job(seed);
    await job.run().catch((cause: unknown) => {
      throw new Error(`seed ${seed}`, { cause });
    });
    deleted += job.graceTimers.fired;
  }
  assert.ok(deleted > SEEDS, `${deleted} files that no checkpoint named`);
});

/** Counts what reaches it. */
class CountingStore extends MemoryStore {
  bytes = 0;

  override putIfAbsent(key: string, bytes: Uint8Array): Promise<ConditionalPut> {
    this.bytes += bytes.length;
    return super.putIfAbsent(key, bytes);
  }
}

/** Bytes of files stored before the barrier and after it, for changes of `keys` keys, `rounds` times. */
async function storedAround(
  options: Options,
  { keys, rounds }: { readonly keys: number; readonly rounds: number },
  atTurn: () => void = () => {},
): Promise<{ readonly before: number; readonly after: number; readonly unnamed: number }> {
  const store = new CountingStore();
  const backend = forstInMemory(store, { cacheBytes: 1 << 26, memtableBytes: 1 << 20, ...options });
  const { keyed, value, list } = await openSubtask(backend, store, {
    index: 0,
    parallelism: 1,
    restore: [],
  });
  for (let i = 0; i < keys * rounds; i++) {
    keyed.setCurrentKey(`key${i % keys}`);
    value.value = `value ${i} ${'x'.repeat(50)}`;
    list.add(i);
    if (i % 100 < 99) continue;
    keyed.residency!.trim();
    await new Promise((resolve) => setImmediate(resolve));
    atTurn();
  }
  const before = store.bytes;
  const { files } = await write(keyed, store);
  const named = new Set(files!.map(({ object }) => object));
  let unnamed = 0;
  for await (const { key } of store.list('job/shared/')) if (!named.has(key)) unnamed++;
  return { before, after: store.bytes - before, unnamed };
}

for (const local of [false, true]) {
  const place = local ? 'files on local disk' : 'files in the store';
  test(`${place}: a barrier finds only the tail, however much has changed`, async () => {
    const tailBytesMax = 20_000;
    for (const keys of [1000, 4000]) {
      const without = await storedAround({ local }, { keys, rounds: 1 });
      assert.ok(without.after > 80 * keys, `${without.after} bytes without`);
      const { before, after } = await storedAround({ local, tailBytesMax }, { keys, rounds: 1 });
      assert.ok(before > 80 * keys - 2 * tailBytesMax, `${before} bytes before the barrier`);
      assert.ok(after <= tailBytesMax, `${after} bytes at the barrier`);
    }
  });
}

test('what is hot enough to stay in the tail is written once, at the barrier', async () => {
  const { before, after } = await storedAround(
    { tailBytesMax: 200_000 },
    { keys: 100, rounds: 50 },
  );
  assert.equal(before, 0);
  assert.ok(after > 0);
});

test('what is merged away between two checkpoints is deleted, without a checkpoint that names it', async () => {
  const graceTimers = new GraceTimers();
  // Files of their own: packs are left alone.
  const options = { tailBytesMax: 4000, graceTimers };
  const amount = { keys: 1000, rounds: 3 };
  const left = await storedAround(options, amount);
  assert.ok(left.unnamed > 20, `${left.unnamed} files left`);
  const { unnamed } = await storedAround(options, amount, () => graceTimers.fire());
  assert.ok(unnamed < left.unnamed / 4, `${unnamed} of ${left.unnamed} files left`);
});
