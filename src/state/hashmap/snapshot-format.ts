/**
 * The hashmap backend's snapshot, version 1 (docs/reference/hashmap-snapshot.md). A footer-last file of one subtask's range:
 *
 *   section*   one per (bucket, table) that holds entries
 *   header     JSON, see `SnapshotHeader`: schemas, and where each section is and which key groups it covers
 *   u32 header length | u32 version | u32 magic
 *
 *   state entry  u16 key group | key (ordered) | namespace (ordered, if any) | varint value length | value (row)
 *   timer entry  u16 key group | key | namespace | f64 timestamp
 *
 * Values are length-prefixed so that one can be skipped, or decoded later, without its schema.
 */
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { JsonValue } from '../../base/json.ts';
import { MillraceError } from '../../base/errors.ts';
import type { Codec } from '../../types/codec.ts';
import type { KeyGroupRange } from '../../types/key-group.ts';
import type { StateDescriptor } from '../descriptor.ts';

const MAGIC = 0x3148524d; // "MRH1"
const VERSION = 1;
const FOOTER_BYTES = 12;

export interface TableHeader {
  readonly name: string;
  readonly kind: StateDescriptor['kind'] | 'event-timers' | 'processing-timers';
  /** Schema JSON of the stored value; null for timers. */
  readonly valueSchema: JsonValue;
  /** Schema JSON of the namespace; null for none. */
  readonly namespaceSchema: JsonValue;
}

export interface SectionHeader {
  readonly table: number;
  readonly start: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
  readonly entries: number;
}

export interface SnapshotHeader {
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  readonly tables: readonly TableHeader[];
  readonly sections: readonly SectionHeader[];
}

export function encodeFooter(header: SnapshotHeader): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const writer = new ByteWriter(json.length + FOOTER_BYTES);
  writer.raw(json);
  writer.u32(json.length);
  writer.u32(VERSION);
  writer.u32(MAGIC);
  return writer.take();
}

const corrupt = (what: string): MillraceError =>
  new MillraceError('data', 'SNAPSHOT_CORRUPT', `a hashmap snapshot ${what}`);

/** @throws `data` SNAPSHOT_CORRUPT, or SNAPSHOT_VERSION for a format this release does not read. */
export function decodeFooter(bytes: Uint8Array): SnapshotHeader {
  if (bytes.length < FOOTER_BYTES) throw corrupt('is too short');
  const footer = new ByteReader(bytes, bytes.length - FOOTER_BYTES);
  const length = footer.u32();
  const version = footer.u32();
  if (footer.u32() !== MAGIC) throw corrupt('does not end with its magic number');
  if (version !== VERSION) {
    throw new MillraceError(
      'data',
      'SNAPSHOT_VERSION',
      `a hashmap snapshot has version ${version}; this release reads ${VERSION}`,
    );
  }
  const start = bytes.length - FOOTER_BYTES - length;
  if (start < 0) throw corrupt('has a header longer than itself');
  try {
    return JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('utf8'),
    ) as SnapshotHeader; // written by encodeFooter, guarded by magic and checksum
  } catch {
    throw corrupt('has an unreadable header');
  }
}

export interface EntryCodecs {
  readonly key: Codec<unknown>;
  readonly namespace: Codec<unknown> | undefined;
}

/** @hot bench/state.ts */
export function writeValueEntry(
  writer: ByteWriter,
  codecs: EntryCodecs,
  entry: {
    readonly key: unknown;
    readonly keyGroup: number;
    readonly namespace: unknown;
    readonly value: unknown;
  },
  codec: Codec<unknown>,
): void {
  writeAddress(writer, codecs, entry);
  // Length after the fact: one byte is kept for it, and longer values are moved.
  const at = writer.position;
  writer.u8(0);
  codec.encode(entry.value, writer);
  const length = writer.position - at - 1;
  if (length < 0x80) {
    writer.buffer[at] = length;
    return;
  }
  const value = Buffer.from(writer.buffer.subarray(at + 1, writer.position));
  writer.position = at;
  writer.bytes(value);
}

export function writeAddress(
  writer: ByteWriter,
  codecs: EntryCodecs,
  entry: { readonly key: unknown; readonly keyGroup: number; readonly namespace: unknown },
): void {
  writer.u16(entry.keyGroup);
  codecs.key.encode(entry.key, writer);
  codecs.namespace?.encode(entry.namespace, writer);
}

export interface Address {
  readonly keyGroup: number;
  readonly key: unknown;
  readonly namespace: unknown;
}

export function readAddress(reader: ByteReader, codecs: EntryCodecs): Address {
  const keyGroup = reader.u16();
  const key = codecs.key.decode(reader);
  const namespace = codecs.namespace?.decode(reader);
  return { keyGroup, key, namespace };
}

export const covers = (range: KeyGroupRange, keyGroup: number): boolean =>
  keyGroup >= range.start && keyGroup <= range.end;
