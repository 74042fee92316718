/**
 * What a checkpoint says of one forst backend: its states and the versions of its two trees. JSON, compressed where that lets it be part of
 * the checkpoint's record and spares a restore a request (docs/reference/forst.md).
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import type { JsonValue } from '../../base/json.ts';
import { MillraceError } from '../../base/errors.ts';
import type { TreeVersionJson } from '../../lsm/tree-version.ts';
import type { StateDescriptor } from '../descriptor.ts';
import type { HotTable } from './hot-blocks.ts';
import type { FileRef } from '../snapshot.ts';

const MANIFEST_VERSION = 2;
/** 1 was never compressed. */
const VERSIONS_READ: readonly unknown[] = [1, MANIFEST_VERSION];
/** Compressing this much takes about 3 ms; what is longer would be too large for the record all the same. */
const COMPRESSED_CHARS_MAX = 256 * 1024;
/** The first bytes of gzip (RFC 1952), which no JSON begins with. */
const GZIP_MAGIC = [0x1f, 0x8b];

export interface ManifestState {
  /** In the keys of the tree; odd for maps. */
  readonly number: number;
  readonly name: string;
  readonly kind: StateDescriptor['kind'] | 'event-timers' | 'processing-timers';
  /** Every schema its values were ever written with, the newest last; empty for timers. */
  readonly schemas: readonly JsonValue[];
  /** Null for none. */
  readonly namespaceSchema: JsonValue;
  /** Of maps; else null. */
  readonly userKeySchema: JsonValue;
}

export interface Manifest {
  readonly keySchema: JsonValue;
  readonly maxParallelism: number;
  readonly states: readonly ManifestState[];
  /** Of values. */
  readonly data: TreeVersionJson;
  readonly timers: TreeVersionJson;
  /** Of `data`, to warm up from; absent in manifests that were written before there was such a list. */
  readonly hot?: readonly HotTable[];
  /** Keys that are processed most, by samples; absent in manifests that were written before they were taken. */
  readonly hotKeys?: HotKeys;
}

export interface HotKeys {
  /** All samples, of whatever key. */
  readonly samples: number;
  /** The key's bytes as base64, most samples first. */
  readonly keys: readonly { readonly key: string; readonly samples: number }[];
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const text = JSON.stringify({ version: MANIFEST_VERSION, ...manifest });
  return text.length > COMPRESSED_CHARS_MAX ? Buffer.from(text) : gzipSync(text);
}

/** @throws `data` FORST_MANIFEST_CORRUPT, FORST_MANIFEST_VERSION */
export function decodeManifest(bytes: Uint8Array): Manifest {
  let parsed: { version?: unknown } & Manifest;
  try {
    parsed = JSON.parse(plain(bytes).toString('utf8')) as typeof parsed; // its checksum has been verified
  } catch (cause) {
    throw new MillraceError(
      'data',
      'FORST_MANIFEST_CORRUPT',
      'a manifest of forst state is not JSON. Nothing was deleted; restore from another retained checkpoint',
      { cause },
    );
  }
  if (!VERSIONS_READ.includes(parsed.version))
    throw new MillraceError(
      'data',
      'FORST_MANIFEST_VERSION',
      `a manifest of forst state has version ${String(parsed.version)}; this release reads ${VERSIONS_READ.join(' and ')}`,
    );
  return parsed;
}

function plain(bytes: Uint8Array): Buffer {
  if (!GZIP_MAGIC.every((byte, i) => bytes[i] === byte)) return Buffer.from(bytes);
  // UTF-8 takes at most three bytes for what JavaScript counts as one.
  return gunzipSync(bytes, { maxOutputLength: 3 * COMPRESSED_CHARS_MAX });
}

/** The ranges of objects that a manifest's trees refer to, each once. */
export function filesOf({ data, timers }: Manifest): readonly FileRef[] {
  const files = new Map<string, FileRef>();
  for (const { tables } of [...data, ...timers])
    for (const { object, offset, length } of tables)
      files.set(`${object}@${offset}`, { object, offset, length });
  return [...files.values()];
}
