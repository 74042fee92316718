/**
 * An object store in the simulated world: one bucket that outlives everything, and a handle for each node that uses it.
 *
 * A request travels, takes effect at one instant, and its answer travels back. What can go wrong, by seed, is in `sim-store-faults.ts`; and
 *   crash     the caller dies while the request is under way: it has its effect or not
 *   zombie    the caller freezes: what it had sent takes effect, what it sends after thawing takes effect then
 * Effects are atomic and durable at once: a put whose promise resolves survives everything.
 *
 * The bucket keeps an audit of every effect, for checkers, and draws its faults from streams of its own.
 */
import { checkKey, checkRange, objectNotFound } from '../storage/object-key.ts';
import type {
  ByteRange,
  ConditionalPut,
  ETag,
  ObjectMeta,
  ObjectStore,
} from '../storage/object-store.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimNode } from './sim-node.ts';
import type { SimScheduler } from './sim-scheduler.ts';
import {
  altered,
  CALM_STORE,
  drawVerdict,
  type StoreFaults,
  type StoreOperation,
  unanswered,
} from './sim-store-faults.ts';

/** One effect on the bucket. */
export interface StoreAudit {
  readonly atMs: number;
  readonly node: string;
  readonly operation: StoreOperation;
  readonly key: string;
  /** False: a conditional put whose condition did not hold, or a read of a missing object. */
  readonly applied: boolean;
}

interface Stored {
  readonly bytes: Uint8Array;
  readonly etag: ETag;
}

/** The last change of an object, for lists that do not know it. */
interface Change {
  readonly atMs: number;
  readonly before: Stored | undefined;
}

const AUDIT_MAX = 500_000;

/** The state all handles share. */
export class SimBucket {
  faults: StoreFaults;
  readonly scheduler: SimScheduler;
  readonly random: SeededRandom;
  readonly objects = new Map<string, Stored>();
  readonly audit: StoreAudit[] = [];
  /** Told of each effect right after it, before anybody else runs: for checkers that look at every state. */
  onEffect: ((effect: StoreAudit) => void) | undefined;
  onFault: ((what: string) => void) | undefined;
  readonly #changes = new Map<string, Change>();
  #versions = 0;

  constructor(scheduler: SimScheduler, faults: StoreFaults = CALM_STORE) {
    this.scheduler = scheduler;
    this.random = scheduler.random.fork('store');
    this.faults = faults;
  }

  /** The store as `node` uses it. */
  of(node: SimNode): ObjectStore {
    return new SimObjectStore(this, node);
  }

  /** What is stored now, without latency or faults: for checkers. */
  peek(key: string): Uint8Array | undefined {
    return this.objects.get(key)?.bytes;
  }

  keys(prefix = ''): readonly string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** Stores without latency or faults; the caller does not touch `bytes` again. */
  replace(key: string, bytes: Uint8Array): ETag {
    const etag = `v${++this.#versions}`;
    this.#changed(key);
    this.objects.set(key, { bytes, etag });
    return etag;
  }

  /** Changes what is stored behind everybody's back: the version stays. Undefined: it is gone. */
  spoil(key: string, bytes: Uint8Array | undefined): void {
    const stored = this.objects.get(key);
    if (bytes === undefined) this.objects.delete(key);
    else this.objects.set(key, { bytes, etag: stored?.etag ?? `v${++this.#versions}` });
  }

  remove(key: string): void {
    this.#changed(key);
    this.objects.delete(key);
  }

  /** What a list answers, with all that it may not know. */
  listed(prefix: string): readonly ObjectMeta[] {
    const { staleProbability, staleMs } = this.faults;
    const seen = new Map(this.objects);
    if (staleProbability > 0)
      for (const [key, { atMs, before }] of this.#changes) {
        if (atMs < this.scheduler.nowMs - staleMs || !this.random.chance(staleProbability))
          continue;
        this.met('stale');
        if (before === undefined) seen.delete(key);
        else seen.set(key, before);
      }
    return [...seen]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, stored]) => metaOf(key, stored));
  }

  #changed(key: string): void {
    if (this.faults.staleProbability === 0) return;
    this.#changes.set(key, { atMs: this.scheduler.nowMs, before: this.objects.get(key) });
  }

  /** Told what goes wrong. */
  met(what: string): void {
    this.onFault?.(what);
  }

  alters(size: number): boolean {
    const { alteredProbability } = this.faults;
    if (alteredProbability === 0 || size === 0 || !this.random.chance(alteredProbability))
      return false;
    this.met('altered');
    return true;
  }

  record(effect: StoreAudit): void {
    if (this.audit.length < AUDIT_MAX) this.audit.push(effect);
    this.onEffect?.(effect);
  }

  /** One way of a request, with a body of so many bytes. */
  travelMs(bytes: number): number {
    const { latencyLeastMs, latencyMostMs, stallProbability, stallMs, bytesPerMs } = this.faults;
    const stalls = this.random.chance(stallProbability);
    if (stalls || bytes / bytesPerMs > 100) this.met('slow');
    return (
      this.random.float(latencyLeastMs, stalls ? stallMs : latencyMostMs) / 2 + bytes / bytesPerMs
    );
  }
}

const metaOf = (key: string, { bytes, etag }: Stored): ObjectMeta => ({
  key,
  size: bytes.length,
  etag,
});

interface RequestOptions<T> {
  readonly signal: AbortSignal | undefined;
  /** Bytes of its body. */
  readonly sent?: number;
  applied?(result: T): boolean;
}

class SimObjectStore implements ObjectStore {
  readonly #bucket: SimBucket;
  readonly #node: SimNode;

  constructor(bucket: SimBucket, node: SimNode) {
    this.#bucket = bucket;
    this.#node = node;
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array> {
    checkKey(key);
    return this.#request('get', key, { signal }, () => {
      const stored = this.#bucket.objects.get(key);
      if (stored === undefined) throw objectNotFound(key);
      const { length } = stored.bytes;
      const { offset: from, length: size } = range ?? { offset: 0, length };
      checkRange(key, { offset: from, length: size }, length);
      return this.#bucket.alters(size)
        ? altered({ all: stored.bytes, from, to: from + size }, this.#bucket.random)
        : stored.bytes.slice(from, from + size);
    });
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    checkKey(key);
    return this.#request('head', key, { signal }, () => {
      const stored = this.#bucket.objects.get(key);
      return stored === undefined ? undefined : metaOf(key, stored);
    });
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    const copy = new Uint8Array(bytes);
    return this.#request('put', key, { signal, sent: copy.length }, () =>
      this.#bucket.replace(key, copy),
    );
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    const copy = new Uint8Array(bytes);
    return this.#request(
      'put-if-absent',
      key,
      { signal, sent: copy.length, applied: ({ outcome }) => outcome === 'stored' },
      () =>
        this.#bucket.objects.has(key)
          ? { outcome: 'conflict' }
          : { outcome: 'stored', etag: this.#bucket.replace(key, copy) },
    );
  }

  async putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut> {
    checkKey(key);
    const copy = new Uint8Array(bytes);
    return this.#request(
      'put-if-match',
      key,
      { signal, sent: copy.length, applied: ({ outcome }) => outcome === 'stored' },
      () =>
        this.#bucket.objects.get(key)?.etag === etag
          ? { outcome: 'stored', etag: this.#bucket.replace(key, copy) }
          : { outcome: 'conflict' },
    );
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    checkKey(key);
    return this.#request('delete', key, { signal }, () => {
      this.#bucket.remove(key);
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const { random, faults } = this.#bucket;
    const metas = await this.#request('list', prefix, { signal }, () =>
      this.#bucket.listed(prefix),
    );
    const isTorn = faults.tornListProbability > 0 && random.chance(faults.tornListProbability);
    const given = isTorn ? metas.slice(0, random.int(metas.length + 1)) : metas;
    for (const meta of given) yield meta;
    if (isTorn) throw unanswered({ operation: 'list', key: prefix });
  }

  async close(): Promise<void> {}

  #request<T>(
    operation: StoreOperation,
    key: string,
    options: RequestOptions<T>,
    effect: () => T,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    const bucket = this.#bucket;
    const node = this.#node;
    const step = `${operation} ${kindOf(key)}`;
    if (!node.alive || !node.step(`before ${step}`)) return new Promise(() => {});
    const { failure, lost, survivesCrash } = drawVerdict(bucket.faults, bucket.random, {
      request: { operation, key },
      met: (what) => bucket.met(what),
    });
    return new Promise((resolve, reject) => {
      const answer = (bytes: number, settle: () => void): void => {
        node.after(bucket.travelMs(bytes), `answer ${operation} ${key}`, settle);
      };
      const arrive = (): void => {
        if (!node.alive && !survivesCrash) return;
        if (failure !== undefined) {
          answer(0, () => reject(failure));
          return;
        }
        try {
          const result = effect();
          const applied = options.applied?.(result) ?? true;
          if (!applied) bucket.met('conflict');
          this.#record(operation, key, applied);
          if (node.alive && !node.step(`after ${step}`)) return;
          const received = result instanceof Uint8Array ? result.length : 0;
          answer(received, () => (lost ? reject(unanswered({ operation, key })) : resolve(result)));
        } catch (error) {
          this.#record(operation, key, false);
          answer(0, () => reject(error as Error)); // effects throw MillraceErrors only
        }
      };
      const travelMs = bucket.travelMs(options.sent ?? 0);
      bucket.scheduler.after(travelMs, `${node.name} ${operation} ${key}`, arrive);
    });
  }

  #record(operation: StoreOperation, key: string, applied: boolean): void {
    const { scheduler } = this.#bucket;
    this.#bucket.record({
      atMs: scheduler.nowMs,
      node: this.#node.name,
      operation,
      key,
      applied,
    });
  }
}

/** What kind of object it is, of those that jobs have. */
function kindOf(key: string): string {
  if (key.endsWith('/head')) return 'head';
  if (key.endsWith('/_metadata')) return 'record';
  if (key.includes('/chk-')) return 'snapshot';
  return key.includes('/shared/') ? 'file' : 'other';
}
