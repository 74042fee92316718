/**
 * An object store in the simulated world: one bucket that outlives everything, and a handle for each node that uses it.
 *
 * A request travels, takes effect at one instant, and its answer travels back. What can go wrong, by seed:
 *   refused   it fails before it has an effect (`unavailable`)
 *   lost      it has its effect, and the caller gets `unavailable`
 *   slow      either way takes up to `stallMs`
 *   crash     the caller dies while the request is under way: it has its effect or not
 *   zombie    the caller freezes: what it had sent takes effect, what it sends after thawing takes effect then
 * Effects are atomic and durable at once: a put whose promise resolves survives everything.
 *
 * The bucket keeps an audit of every effect, for checkers, and draws its faults from streams of its own.
 */
import { MillraceError } from '../base/errors.ts';
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

export interface StoreFaults {
  readonly latencyLeastMs: number;
  readonly latencyMostMs: number;
  readonly refusedProbability: number;
  readonly lostAnswerProbability: number;
  readonly stallProbability: number;
  readonly stallMs: number;
}

export const CALM_STORE: StoreFaults = {
  latencyLeastMs: 0.2,
  latencyMostMs: 5,
  refusedProbability: 0,
  lostAnswerProbability: 0,
  stallProbability: 0,
  stallMs: 0,
};

export type StoreOperation = 'get' | 'head' | 'put' | 'put-if-absent' | 'put-if-match' | 'delete';

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
    this.objects.set(key, { bytes, etag });
    return etag;
  }

  record(effect: StoreAudit): void {
    if (this.audit.length < AUDIT_MAX) this.audit.push(effect);
    this.onEffect?.(effect);
  }

  /** One way of a request. */
  travelMs(): number {
    const { latencyLeastMs, latencyMostMs, stallProbability, stallMs } = this.faults;
    return (
      this.random.float(
        latencyLeastMs,
        this.random.chance(stallProbability) ? stallMs : latencyMostMs,
      ) / 2
    );
  }
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
      if (range === undefined) return stored.bytes.slice();
      checkRange(key, range, stored.bytes.length);
      return stored.bytes.slice(range.offset, range.offset + range.length);
    });
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined> {
    checkKey(key);
    return this.#request('head', key, { signal }, () => this.#meta(key));
  }

  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag> {
    checkKey(key);
    const copy = new Uint8Array(bytes);
    return this.#request('put', key, { signal }, () => this.#bucket.replace(key, copy));
  }

  async putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut> {
    checkKey(key);
    const copy = new Uint8Array(bytes);
    return this.#request(
      'put-if-absent',
      key,
      { signal, applied: ({ outcome }) => outcome === 'stored' },
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
      { signal, applied: ({ outcome }) => outcome === 'stored' },
      () =>
        this.#bucket.objects.get(key)?.etag === etag
          ? { outcome: 'stored', etag: this.#bucket.replace(key, copy) }
          : { outcome: 'conflict' },
    );
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    checkKey(key);
    return this.#request('delete', key, { signal }, () => {
      this.#bucket.objects.delete(key);
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta> {
    const metas = await this.#request('head', prefix, { signal }, () =>
      this.#bucket.keys(prefix).map((key) => this.#meta(key)!),
    );
    for (const meta of metas) yield meta;
  }

  async close(): Promise<void> {}

  #meta(key: string): ObjectMeta | undefined {
    const stored = this.#bucket.objects.get(key);
    return stored === undefined ? undefined : { key, size: stored.bytes.length, etag: stored.etag };
  }

  #request<T>(
    operation: StoreOperation,
    key: string,
    options: { readonly signal: AbortSignal | undefined; applied?(result: T): boolean },
    effect: () => T,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    const bucket = this.#bucket;
    const node = this.#node;
    const { random, faults } = bucket;
    const refused = random.chance(faults.refusedProbability);
    const lost = random.chance(faults.lostAnswerProbability);
    const survivesCrash = random.chance(0.5);
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void): void => {
        node.after(bucket.travelMs(), `answer ${operation} ${key}`, settle);
      };
      const arrive = (): void => {
        if (!node.alive && !survivesCrash) return;
        if (refused) {
          answer(() => reject(unanswered(operation, key)));
          return;
        }
        try {
          const result = effect();
          this.#record(operation, key, options.applied?.(result) ?? true);
          answer(() => (lost ? reject(unanswered(operation, key)) : resolve(result)));
        } catch (error) {
          this.#record(operation, key, false);
          answer(() => reject(error as Error)); // effects throw MillraceErrors only
        }
      };
      bucket.scheduler.after(bucket.travelMs(), `${node.name} ${operation} ${key}`, arrive);
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

function unanswered(operation: StoreOperation, key: string): MillraceError {
  return new MillraceError(
    'unavailable',
    'STORE_UNAVAILABLE',
    `${operation} of ${key}: the store did not answer`,
    { details: { key } },
  );
}
