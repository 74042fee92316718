/**
 * Keyed state as a Parquet file that any tool reads: one state of one operator, some of its key groups (docs/reference/savepoint-format.md).
 *
 * Each value is there twice: as JSON, for people and other tools, and as the exact bytes of the row and key formats, for restores. The
 * schemas are in the file's metadata under `millrace.state`, so that the file alone says what it holds.
 *
 * Rows of one key and namespace are adjacent, and never in two files.
 */
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { MillraceError } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import { printable } from '../../base/printable.ts';
import type { Codec } from '../../types/codec.ts';
import { keyCodec } from '../../types/key-codec.ts';
import { rowCodec } from '../../types/row-codec.ts';
import { schemaFromJson } from '../../types/schema-json.ts';
import type { KeyedStateHandle, SnapshotReader } from '../snapshot.ts';
import type { InspectedState, SnapshotEntry, SnapshotInspector } from '../snapshot-inspector.ts';

const VERSION = 1;
const METADATA_KEY = 'millrace.state';

export interface CanonicalHeader {
  readonly version: typeof VERSION;
  readonly operatorId: string;
  /** Of the state within its operator, from 1; the same in all files. */
  readonly ordinal: number;
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  readonly state: InspectedState;
}

interface Codecs {
  readonly key: Codec<unknown>;
  readonly namespace: Codec<unknown> | undefined;
  readonly userKey: Codec<unknown> | undefined;
  readonly value: Codec<unknown> | undefined;
}

const codecsOf = ({ keySchema, state }: Pick<CanonicalHeader, 'keySchema' | 'state'>): Codecs => {
  const { namespaceSchema, userKeySchema, valueSchema } = state;
  return {
    key: keyCodec(schemaFromJson(keySchema)),
    namespace: namespaceSchema === null ? undefined : keyCodec(schemaFromJson(namespaceSchema)),
    userKey: userKeySchema === null ? undefined : keyCodec(schemaFromJson(userKeySchema)),
    value: valueSchema === null ? undefined : rowCodec(schemaFromJson(valueSchema)),
  };
};

function bytesOf(codec: Codec<unknown>, value: unknown): Uint8Array {
  const writer = new ByteWriter(64);
  codec.encode(value, writer);
  return writer.take();
}

const jsonOf = (value: unknown): string => JSON.stringify(printable(value));

export function encodeCanonical(
  header: Omit<CanonicalHeader, 'version'>,
  entries: readonly SnapshotEntry[],
): Uint8Array {
  const codecs = codecsOf(header);
  const rows = entries.flatMap((entry) => rowsOf(entry));
  const text = (name: string, of: (row: Row) => string | null) =>
    ({ name, type: 'STRING', data: rows.map(of), nullable: true }) as const;
  const binary = (name: string, of: (row: Row) => Uint8Array | null) =>
    ({ name, type: 'BYTE_ARRAY', data: rows.map(of), nullable: true }) as const;
  const optional = (codec: Codec<unknown> | undefined, value: unknown): Uint8Array | null =>
    codec === undefined ? null : bytesOf(codec, value);
  const buffer = parquetWriteBuffer({
    columnData: [
      { name: 'key_group', type: 'INT32', data: rows.map(({ entry }) => entry.keyGroup) },
      text('key', ({ entry }) => jsonOf(entry.key)),
      text('namespace', ({ entry }) =>
        codecs.namespace === undefined ? null : jsonOf(entry.namespace),
      ),
      text('map_key', ({ entry }) => (codecs.userKey === undefined ? null : jsonOf(entry.userKey))),
      {
        name: 'timestamp',
        type: 'DOUBLE',
        data: rows.map(({ entry }) => entry.timestamp ?? null),
        nullable: true,
      },
      text('value', ({ value }) => (codecs.value === undefined ? null : jsonOf(value))),
      binary('key_bytes', ({ entry }) => bytesOf(codecs.key, entry.key)),
      binary('namespace_bytes', ({ entry }) => optional(codecs.namespace, entry.namespace)),
      binary('map_key_bytes', ({ entry }) => optional(codecs.userKey, entry.userKey)),
      binary('value_bytes', ({ value }) => optional(codecs.value, value)),
    ],
    kvMetadata: [{ key: METADATA_KEY, value: JSON.stringify({ version: VERSION, ...header }) }],
  });
  return new Uint8Array(buffer);
}

interface Row {
  readonly entry: SnapshotEntry;
  readonly value: unknown;
}

/** A list is one row; what else was not folded yet is a row for each part, oldest first. */
function rowsOf(entry: SnapshotEntry): readonly Row[] {
  if (entry.timestamp !== undefined) return [{ entry, value: undefined }];
  if (entry.state.kind === 'list') return [{ entry, value: (entry.values as unknown[][]).flat() }]; // lists hold arrays
  return entry.values.map((value) => ({ entry, value }));
}

/** A row as Parquet readers give it. */
interface StoredRow {
  readonly key_group: number;
  readonly timestamp: number | null;
  readonly key_bytes: Uint8Array;
  readonly namespace_bytes: Uint8Array | null;
  readonly map_key_bytes: Uint8Array | null;
  readonly value_bytes: Uint8Array | null;
}

export interface CanonicalInspector extends SnapshotInspector {
  readonly ordinal: number;
}

/** @throws `data` SAVEPOINT_CORRUPT, SAVEPOINT_VERSION */
export async function inspectCanonical(
  handle: KeyedStateHandle,
  reader: SnapshotReader,
): Promise<CanonicalInspector> {
  const bytes = (await reader.read(handle.data)).slice();
  const header = headerOf(bytes);
  const { keySchema, maxParallelism, state, ordinal } = header;
  return {
    ordinal,
    keySchema,
    maxParallelism,
    states: [state],
    async *entries() {
      const codecs = codecsOf(header);
      const { start, end } = handle.keyGroups;
      const rows = (await parquetReadObjects({
        file: bytes.buffer,
        utf8: false,
        columns: [
          'key_group',
          'timestamp',
          'key_bytes',
          'namespace_bytes',
          'map_key_bytes',
          'value_bytes',
        ],
      })) as unknown as readonly StoredRow[]; // written by encodeCanonical, guarded by the handle's checksum
      for (const row of rows)
        if (row.key_group >= start && row.key_group <= end) yield entryOf(row, state, codecs);
    },
  };
}

function headerOf(bytes: Uint8Array<ArrayBuffer>): CanonicalHeader {
  let header: CanonicalHeader;
  try {
    const { key_value_metadata: pairs = [] } = parquetMetadata(bytes.buffer);
    header = JSON.parse(
      pairs.find(({ key }) => key === METADATA_KEY)?.value ?? '',
    ) as CanonicalHeader; // checked below
  } catch (cause) {
    throw new MillraceError(
      'data',
      'SAVEPOINT_CORRUPT',
      'a file of a savepoint is no Parquet file of state',
      { cause },
    );
  }
  if (header.version !== VERSION)
    throw new MillraceError(
      'data',
      'SAVEPOINT_VERSION',
      `a file of a savepoint has version ${String(header.version)}; this release reads ${VERSION}`,
    );
  return header;
}

function entryOf(row: StoredRow, state: InspectedState, codecs: Codecs): SnapshotEntry {
  const decode = (codec: Codec<unknown> | undefined, bytes: Uint8Array | null): unknown =>
    codec === undefined || bytes === null ? undefined : codec.decode(new ByteReader(bytes));
  return {
    state,
    keyGroup: row.key_group,
    key: decode(codecs.key, row.key_bytes),
    namespace: decode(codecs.namespace, row.namespace_bytes),
    userKey: decode(codecs.userKey, row.map_key_bytes),
    timestamp: row.timestamp ?? undefined,
    values: codecs.value === undefined ? [] : [decode(codecs.value, row.value_bytes)],
    bytes: row.key_bytes.length + (row.value_bytes?.length ?? 0) + (row.map_key_bytes?.length ?? 0),
  };
}
