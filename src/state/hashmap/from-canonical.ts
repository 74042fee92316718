/**
 * A canonical file as a snapshot of the hashmap backend, in memory: what restores these restores it, evolution of schemas included.
 *
 * Rows of one cell are adjacent: entries of a map become one value; parts of a fold stay entries of their own, and the restore folds them.
 */
import { ByteWriter } from '../../base/bytes.ts';
import type { JsonValue } from '../../base/json.ts';
import { printable } from '../../base/printable.ts';
import { keyCodec } from '../../types/key-codec.ts';
import { rowCodec } from '../../types/row-codec.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import { t } from '../../types/t.ts';
import { isTimers, type SnapshotEntry, type SnapshotInspector } from '../snapshot-inspector.ts';
import { type SnapshotHeader, writeAddress, writeValueEntry } from './snapshot-format.ts';

export interface HashMapFile extends Pick<SnapshotHeader, 'keySchema' | 'tables' | 'sections'> {
  readonly bytes: Uint8Array;
}

/** Of an inspector with one state. */
export async function fromCanonical(inspector: SnapshotInspector): Promise<HashMapFile> {
  const [state] = inspector.states;
  const { keySchema } = inspector;
  if (state === undefined) return { bytes: new Uint8Array(0), keySchema, tables: [], sections: [] };
  const { name, kind, namespaceSchema, userKeySchema } = state;
  const valueSchema: JsonValue =
    userKeySchema === null
      ? state.valueSchema
      : schemaToJson(t.map(schemaFromJson(userKeySchema), schemaFromJson(state.valueSchema)));
  const codecs = {
    key: keyCodec(schemaFromJson(keySchema)),
    namespace: namespaceSchema === null ? undefined : keyCodec(schemaFromJson(namespaceSchema)),
  };
  const value = valueSchema === null ? undefined : rowCodec(schemaFromJson(valueSchema));
  const writer = new ByteWriter(64 * 1024);
  let entries = 0;
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for await (const entry of cellsOf(inspector.entries())) {
    if (isTimers(kind)) {
      writeAddress(writer, codecs, entry);
      writer.f64(entry.timestamp!);
      entries++;
    } else
      for (const each of entry.values) {
        writeValueEntry(writer, codecs, { ...entry, value: each }, value!);
        entries++;
      }
    start = Math.min(start, entry.keyGroup);
    end = Math.max(end, entry.keyGroup);
  }
  const bytes = writer.take();
  const tables = [{ name, kind, valueSchema, namespaceSchema }];
  const section = { table: 0, start, end, offset: 0, length: bytes.length, entries };
  return { bytes, keySchema, tables, sections: entries === 0 ? [] : [section] };
}

/** Entries of one map as one entry with the map. */
async function* cellsOf(entries: AsyncIterable<SnapshotEntry>): AsyncIterable<SnapshotEntry> {
  let open:
    | { readonly first: SnapshotEntry; readonly id: string; readonly map: Map<unknown, unknown> }
    | undefined;
  for await (const entry of entries) {
    if (entry.state.kind !== 'map') {
      yield entry;
      continue;
    }
    const id = cellId(entry);
    if (open !== undefined && open.id !== id) {
      yield { ...open.first, values: [open.map] };
      open = undefined;
    }
    open ??= { first: entry, id, map: new Map() };
    open.map.set(entry.userKey, entry.values[0]);
  }
  if (open !== undefined) yield { ...open.first, values: [open.map] };
}

const cellId = ({ keyGroup, key, namespace }: SnapshotEntry): string =>
  JSON.stringify([keyGroup, printable(key), printable(namespace)]);
