/** Reads a snapshot of the hashmap backend by the schemas in it. */
import { ByteReader } from '../../base/bytes.ts';
import { internal } from '../../base/errors.ts';
import type { Codec } from '../../types/codec.ts';
import { keyCodec } from '../../types/key-codec.ts';
import { rowCodec } from '../../types/row-codec.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import type { KeyedStateHandle, SnapshotReader } from '../snapshot.ts';
import {
  type InspectedState,
  isTimers,
  type SnapshotEntry,
  type SnapshotInspector,
} from '../snapshot-inspector.ts';
import {
  covers,
  decodeFooter,
  type EntryCodecs,
  readAddress,
  type SnapshotHeader,
  type TableHeader,
} from './snapshot-format.ts';

interface Table {
  readonly state: InspectedState;
  readonly codecs: EntryCodecs;
  /** Undefined for timers. */
  readonly value: Codec<unknown> | undefined;
}

export async function inspectHashMap(
  handle: KeyedStateHandle,
  reader: SnapshotReader,
): Promise<SnapshotInspector> {
  const bytes = await reader.read(handle.data);
  const header = decodeFooter(bytes);
  const key = keyCodec(schemaFromJson(header.keySchema));
  const tables = header.tables.map((table) => tableOf(table, key));
  return {
    keySchema: header.keySchema,
    maxParallelism: header.maxParallelism,
    states: tables.map(({ state }) => state),
    entries: () => entriesOf(bytes, header, tables, handle),
  };
}

function tableOf(
  { name, kind, valueSchema, namespaceSchema }: TableHeader,
  key: Codec<unknown>,
): Table {
  const namespace =
    namespaceSchema === null ? undefined : keyCodec(schemaFromJson(namespaceSchema));
  const codecs = { key, namespace };
  const state = { name, kind, namespaceSchema };
  if (isTimers(kind))
    return {
      state: { ...state, valueSchema: null, userKeySchema: null },
      codecs,
      value: undefined,
    };
  const schema = schemaFromJson(valueSchema);
  const value = rowCodec(schema);
  if (kind !== 'map')
    return { state: { ...state, valueSchema, userKeySchema: null }, codecs, value };
  if (schema.kind !== 'map') throw internal('MAP_STATE_SCHEMA', `map state "${name}" is no map`);
  const [userKeySchema, entrySchema] = [schemaToJson(schema.key), schemaToJson(schema.value)];
  return { state: { ...state, valueSchema: entrySchema, userKeySchema }, codecs, value };
}

async function* entriesOf(
  bytes: Uint8Array,
  { sections }: SnapshotHeader,
  tables: readonly Table[],
  { keyGroups }: KeyedStateHandle,
): AsyncIterable<SnapshotEntry> {
  for (const { table: index, offset, length, entries } of sections) {
    const table = tables[index]!;
    const reader = new ByteReader(bytes, offset, offset + length);
    for (let i = 0; i < entries; i++) {
      const start = reader.position;
      const address = readAddress(reader, table.codecs);
      const rest = restOf(table, reader);
      if (!covers(keyGroups, address.keyGroup)) continue;
      const size = reader.position - start;
      const common = { state: table.state, ...address, userKey: undefined, timestamp: undefined };
      if (typeof rest === 'number') yield { ...common, timestamp: rest, values: [], bytes: size };
      else if (table.state.kind !== 'map') yield { ...common, values: [rest.value], bytes: size };
      else {
        const map = rest.value as ReadonlyMap<unknown, unknown>; // what map schemas decode to
        const each = Math.ceil(size / Math.max(1, map.size));
        for (const [userKey, value] of map)
          yield { ...common, userKey, values: [value], bytes: each };
      }
    }
  }
}

/** A timer's timestamp, or a value. */
function restOf({ value }: Table, reader: ByteReader): number | { readonly value: unknown } {
  if (value === undefined) return reader.f64();
  const end = reader.varint() + reader.position;
  const decoded = value.decode(new ByteReader(reader.buffer, reader.position, end));
  reader.position = end;
  return { value: decoded };
}
