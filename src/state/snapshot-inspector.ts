/**
 * Reading keyed state of a snapshot without the job's code: by the schemas that are stored with it. Each backend has one of these.
 */
import type { JsonValue } from '../base/json.ts';
import type { StateDescriptor } from './descriptor.ts';

export type StoredKind = StateDescriptor['kind'] | 'event-timers' | 'processing-timers';

export const isTimers = (kind: StoredKind): kind is 'event-timers' | 'processing-timers' =>
  kind === 'event-timers' || kind === 'processing-timers';

/** A state as the snapshot describes it; schemas as JSON. */
export interface InspectedState {
  readonly name: string;
  readonly kind: StoredKind;
  /** Of lists the whole list; of maps one entry's value; null for timers. */
  readonly valueSchema: JsonValue;
  /** Null for none. */
  readonly namespaceSchema: JsonValue;
  /** Of maps; else null. */
  readonly userKeySchema: JsonValue;
}

/** One value, one entry of a map, or one timer. */
export interface SnapshotEntry {
  readonly state: InspectedState;
  readonly keyGroup: number;
  readonly key: unknown;
  /** Undefined for none. */
  readonly namespace: unknown;
  /** Of maps. */
  readonly userKey: unknown;
  /** Of timers; else undefined. */
  readonly timestamp: number | undefined;
  /**
   * Oldest first. One value; more when what was added has not been folded yet: for lists they are concatenated, for reducing and aggregating
   * state the job's own function folds them. Empty for timers.
   */
  readonly values: readonly unknown[];
  /** Stored bytes of key and value. */
  readonly bytes: number;
}

export interface SnapshotInspector {
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  readonly states: readonly InspectedState[];
  /** Keys that are processed most, where the backend samples them. */
  readonly hotKeys?: {
    readonly samples: number;
    readonly keys: readonly { readonly key: unknown; readonly samples: number }[];
  };
  /** All entries of the handle's key groups. Cost: reads the whole snapshot; memory for a part of it. @throws `data` where it is corrupt */
  entries(signal?: AbortSignal): AsyncIterable<SnapshotEntry>;
}
