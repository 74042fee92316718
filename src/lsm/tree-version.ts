/**
 * A version of a tree: which tables hold its contents. Immutable; an edit makes the next one.
 *
 * Invariants
 *  V1  Runs are ordered newest first: what a run says of a key hides what later runs say, except that merge operands fold onto it.
 *  V2  Tables of one run do not overlap and are in key order. Where one ends with a range delete, whose end is exclusive, the next may
 *      begin at that very key: the key is the next one's.
 *  V3  `level` never decreases from one run to the next; at most one run has a given level > 0. Level 0 runs are flushes.
 */
import { internal } from '../base/errors.ts';
import { compareKeys } from './key-order.ts';
import {
  type TableMeta,
  type TableMetaJson,
  tableMetaFromJson,
  tableMetaToJson,
} from './table-meta.ts';

export interface SortedRun {
  readonly level: number;
  readonly tables: readonly TableMeta[];
}

export interface TreeVersion {
  readonly runs: readonly SortedRun[];
}

export type TreeVersionJson = readonly {
  readonly level: number;
  readonly tables: readonly TableMetaJson[];
}[];

export const EMPTY_VERSION: TreeVersion = { runs: [] };

/** What a flush or a compaction changes. */
export interface VersionEdit {
  /** Ids of tables that leave. */
  readonly removed: ReadonlySet<string>;
  /** Tables that come in, in key order, at that level. At level 0 they form a new, newest run. */
  readonly added: readonly TableMeta[];
  readonly level: number;
}

/** @throws `internal` TREE_VERSION_BROKEN when the edit does not fit: a removed table is not there, or an added one overlaps */
export function applyEdit(version: TreeVersion, edit: VersionEdit): TreeVersion {
  let left = edit.removed.size;
  const runs: SortedRun[] = [];
  for (const run of version.runs) {
    const tables = run.tables.filter(({ id }) => !edit.removed.has(id));
    left -= run.tables.length - tables.length;
    if (tables.length === 0) continue;
    runs.push(tables.length === run.tables.length ? run : { level: run.level, tables });
  }
  if (left !== 0)
    throw internal('TREE_VERSION_BROKEN', 'an edit removes a table that is not there');
  if (edit.added.length === 0) return { runs };
  return checked({ runs: edit.level === 0 ? inFront(runs, edit) : intoLevel(runs, edit) });
}

function inFront(runs: readonly SortedRun[], { added }: VersionEdit): readonly SortedRun[] {
  return [{ level: 0, tables: added }, ...runs];
}

function intoLevel(
  runs: readonly SortedRun[],
  { added, level }: VersionEdit,
): readonly SortedRun[] {
  const at = runs.findIndex((run) => run.level >= level);
  const there = at === -1 ? undefined : runs[at];
  if (there?.level !== level) {
    const before = at === -1 ? runs.length : at;
    return [...runs.slice(0, before), { level, tables: added }, ...runs.slice(before)];
  }
  const tables = [...there.tables, ...added].toSorted((a, b) =>
    compareKeys(a.smallest, b.smallest),
  );
  return [...runs.slice(0, at), { level, tables }, ...runs.slice(at + 1)];
}

/** V2, V3 */
function checked(version: TreeVersion): TreeVersion {
  let level = 0;
  for (const run of version.runs) {
    if (run.level < level || (run.level > 0 && run.level === level))
      throw internal('TREE_VERSION_BROKEN', `level ${run.level} follows level ${level}`);
    level = run.level;
    for (let i = 1; i < run.tables.length; i++) {
      if (compareKeys(run.tables[i - 1]!.largest, run.tables[i]!.smallest) > 0)
        throw internal('TREE_VERSION_BROKEN', `tables of level ${run.level} overlap`);
    }
  }
  return version;
}

export function versionToJson(version: TreeVersion): TreeVersionJson {
  return version.runs.map(({ level, tables }) => ({ level, tables: tables.map(tableMetaToJson) }));
}

export function versionFromJson(json: TreeVersionJson): TreeVersion {
  return checked({
    runs: json.map(({ level, tables }) => ({ level, tables: tables.map(tableMetaFromJson) })),
  });
}

/** The part of a version between two keys, inclusive: tables outside go, the others are clipped. */
export function clipVersion(
  version: TreeVersion,
  smallest: Uint8Array,
  largest: Uint8Array,
): TreeVersion {
  const runs: SortedRun[] = [];
  for (const { level, tables } of version.runs) {
    const kept = tables.flatMap((table) => clipTable(table, smallest, largest) ?? []);
    if (kept.length > 0) runs.push({ level, tables: kept });
  }
  return { runs };
}

function clipTable(
  table: TableMeta,
  smallest: Uint8Array,
  largest: Uint8Array,
): TableMeta | undefined {
  const cutLow = compareKeys(table.smallest, smallest) < 0;
  const cutHigh = compareKeys(table.largest, largest) > 0;
  if (!cutLow && !cutHigh) return table;
  const low = cutLow ? smallest : table.smallest;
  const high = cutHigh ? largest : table.largest;
  if (compareKeys(low, high) > 0) return undefined;
  return { ...table, smallest: low, largest: high, clipped: true };
}

/** One version of several whose key ranges do not overlap. Views of one file become distinct by their ids. */
export function joinVersions(parts: readonly TreeVersion[]): TreeVersion {
  const versions = distinct(parts);
  const flushed = versions.flatMap(({ runs }) => runs.filter(({ level }) => level === 0));
  const levels = new Map<number, TableMeta[]>();
  for (const { runs } of versions)
    for (const { level, tables } of runs)
      if (level > 0) levels.set(level, [...(levels.get(level) ?? []), ...tables]);
  const deeper = [...levels]
    .toSorted(([a], [b]) => a - b)
    .map(([level, tables]) => ({
      level,
      tables: tables.toSorted((a, b) => compareKeys(a.smallest, b.smallest)),
    }));
  return checked({ runs: [...flushed, ...deeper] });
}

function distinct(versions: readonly TreeVersion[]): readonly TreeVersion[] {
  const seen = new Set<string>();
  const name = (table: TableMeta): TableMeta => {
    let { id } = table;
    for (let n = 2; seen.has(id); n++) id = `${table.id}~${n}`;
    seen.add(id);
    return id === table.id ? table : { ...table, id };
  };
  return versions.map(({ runs }) => ({
    runs: runs.map(({ level, tables }) => ({ level, tables: tables.map(name) })),
  }));
}
