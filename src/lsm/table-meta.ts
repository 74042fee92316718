/**
 * What a tree knows of one table (a sorted, immutable file) without opening it; plain data, part of the manifest.
 *
 * A table holds each key at most once. Bounds are inclusive and already clipped: a tree that took over part of another's range refers to
 * the same file with narrower bounds, and nothing outside them is read.
 */

/** Kinds of entries. Numbers are part of the format. */
export const ENTRY = {
  /** Nothing is there, whatever older tables say. */
  delete: 0,
  /** The value. */
  put: 1,
  /** Operands to be folded onto what older tables say, oldest first. */
  merge: 2,
  /** A value with operands on top of it: the operand list begins with the value; older tables do not matter. */
  putMerge: 3,
} as const;

/** Set in an entry's kind byte when an expiry (float64, epoch milliseconds) precedes its value. */
export const ENTRY_EXPIRES = 0x10;

export interface TableMeta {
  /** Unique for ever: the attempt that wrote it is in it. */
  readonly id: string;
  /** Object and range that hold the file. */
  readonly object: string;
  readonly offset: number;
  readonly length: number;
  /** Clipped key bounds, inclusive. */
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  readonly entries: number;
  /** Of them deletes and range deletes. */
  readonly deletes: number;
  /** Range deletes in the file, which reach beyond its entries. */
  readonly rangeDeletes: number;
  /** Of them merge operands without a value. */
  readonly merges: number;
  /** The first and last epoch whose writes are in it. */
  readonly minEpoch: number;
  readonly maxEpoch: number;
  /** When its last entry expires, epoch milliseconds; +Infinity if one never does. The whole file may go then. */
  readonly maxExpiryMs: number;
  /** Where index and filter start in the file: everything from here to the end is read in one request to open it. */
  readonly metaOffset: number;
  /** True if the bounds are narrower than the file. */
  readonly clipped: boolean;
}

/** As JSON in manifests. */
export type TableMetaJson = Omit<TableMeta, 'smallest' | 'largest' | 'maxExpiryMs'> & {
  readonly smallest: string;
  readonly largest: string;
  /** Null for never. */
  readonly maxExpiryMs: number | null;
};

export function tableMetaToJson(meta: TableMeta): TableMetaJson {
  return {
    ...meta,
    smallest: Buffer.from(meta.smallest).toString('base64'),
    largest: Buffer.from(meta.largest).toString('base64'),
    maxExpiryMs: Number.isFinite(meta.maxExpiryMs) ? meta.maxExpiryMs : null,
  };
}

export function tableMetaFromJson(json: TableMetaJson): TableMeta {
  return {
    ...json,
    smallest: Buffer.from(json.smallest, 'base64'),
    largest: Buffer.from(json.largest, 'base64'),
    maxExpiryMs: json.maxExpiryMs ?? Number.POSITIVE_INFINITY,
  };
}
