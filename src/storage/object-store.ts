/**
 * The object-store contract: the only durable storage Millrace knows.
 *
 * Implementations: `local-store.ts` (a folder), `memory-store.ts`, S3; wrappers of the same interface retry, meter,
 * cache and inject faults. All run the contract suite `testing/object-store-contract.ts`.
 *
 * Keys are `/`-separated relative paths of [A-Za-z0-9._=-] segments, at most 1,024 bytes; no empty, `.` or `..`
 * segment. Objects are immutable bytes replaced only as a whole.
 *
 * Durability: when a put of any kind resolves, the object survives the death of the process and the machine, and
 * every later get sees it. A put that rejects with `unavailable` may or may not have happened.
 * Correctness never depends on `list`, which may be stale on some stores.
 *
 * Bytes given to a put may be used again by the caller once it has settled; bytes from a get are the caller's.
 *
 * Errors: `unavailable` (retry), `data` code OBJECT_NOT_FOUND for a missing object, `invalid` for a bad key or range.
 */

/** Opaque version of one object, for compare-and-set. */
export type ETag = string;

export interface ObjectMeta {
  readonly key: string;
  readonly size: number;
  readonly etag: ETag;
}

export type ConditionalPut =
  /** This call created or replaced the object. */
  | { readonly outcome: 'stored'; readonly etag: ETag }
  /** The condition did not hold: somebody else's object is there (or is gone). Nothing was changed. */
  | { readonly outcome: 'conflict' };

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface ObjectStore {
  /** Whole object, or exactly `range.length` bytes of it; a range beyond the end is `invalid`. */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<Uint8Array>;
  head(key: string, signal?: AbortSignal): Promise<ObjectMeta | undefined>;
  /** Unconditional put. */
  put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ETag>;
  /** Creates the object if there is none. Of any number of racing callers exactly one gets `stored`. */
  putIfAbsent(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<ConditionalPut>;
  /** Replaces the object if its version is still `etag`. Exactly one of racing callers wins. */
  putIfMatch(
    key: string,
    bytes: Uint8Array,
    etag: ETag,
    signal?: AbortSignal,
  ): Promise<ConditionalPut>;
  /** Idempotent: deleting what is not there succeeds. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** Objects whose key starts with `prefix`, in key order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectMeta>;
  close(): Promise<void>;
}
