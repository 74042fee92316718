/**
 * Messages of the replication protocol and of the output plugin `pgoutput`, version 1.
 *
 *   server   'w' start lsn, end lsn, time, message     'k' end lsn, time, reply wanted
 *   client   'r' written lsn, flushed lsn, applied lsn, time, reply wanted
 *
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
import { MillraceError } from '../../src/base/errors.ts';

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  /** Part of what identifies a row. */
  readonly key: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly RelationColumn[];
}

/** By column: text, null, or undefined for a value out of line that was not changed. */
export type Tuple = readonly (string | null | undefined)[];

/** What there is of a row as it was: all of it, or the columns that identify it. */
export interface OldTuple {
  readonly whole: boolean;
  readonly values: Tuple;
}

export type PgMessage =
  | {
      readonly type: 'begin';
      readonly commitLsn: bigint;
      readonly xid: number;
      readonly timeMs: number;
    }
  | { readonly type: 'commit'; readonly endLsn: bigint }
  | { readonly type: 'relation'; readonly relation: Relation }
  | { readonly type: 'insert'; readonly oid: number; readonly after: Tuple }
  | {
      readonly type: 'update';
      readonly oid: number;
      readonly before: OldTuple | undefined;
      readonly after: Tuple;
    }
  | { readonly type: 'delete'; readonly oid: number; readonly before: OldTuple }
  | { readonly type: 'truncate'; readonly oids: readonly number[] }
  | { readonly type: 'other' };

export type WalMessage =
  | { readonly type: 'data'; readonly message: Buffer }
  | { readonly type: 'keep-alive'; readonly endLsn: bigint; readonly replyWanted: boolean };

/** Milliseconds from 1970 to 2000, where the server's clock begins. */
const EPOCH_MS = 946_684_800_000;

export function decodeWal(bytes: Buffer): WalMessage {
  const tag = bytes[0];
  if (tag === 0x77 && bytes.length >= 25) return { type: 'data', message: bytes.subarray(25) };
  if (tag === 0x6b && bytes.length >= 18)
    return { type: 'keep-alive', endLsn: bytes.readBigUInt64BE(1), replyWanted: bytes[17] === 1 };
  throw corrupt(`a message that begins with ${tag}`);
}

/** Tells the server what is safe with us: it keeps the log from there on. */
export function encodeStatus({
  received,
  confirmed,
  wallMs,
  replyWanted,
}: {
  readonly received: bigint;
  readonly confirmed: bigint;
  readonly wallMs: number;
  readonly replyWanted: boolean;
}): Buffer {
  const bytes = Buffer.alloc(34);
  bytes[0] = 0x72;
  bytes.writeBigUInt64BE(received, 1);
  bytes.writeBigUInt64BE(confirmed, 9);
  bytes.writeBigUInt64BE(confirmed, 17);
  bytes.writeBigInt64BE(BigInt(Math.trunc(wallMs) - EPOCH_MS) * 1000n, 25);
  bytes[33] = replyWanted ? 1 : 0;
  return bytes;
}

/** @throws `data` PG_CORRUPT_MESSAGE */
export function decodePgoutput(bytes: Buffer): PgMessage {
  try {
    return new MessageReader(bytes).read();
  } catch (error) {
    throw corrupt(String(error), error);
  }
}

function corrupt(what: string, cause?: unknown): MillraceError {
  return new MillraceError(
    'data',
    'PG_CORRUPT_MESSAGE',
    `the server sent what is no message of logical replication: ${what}`,
    { cause },
  );
}

class MessageReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(): PgMessage {
    switch (String.fromCharCode(this.#byte())) {
      case 'B':
        return this.#begin();
      case 'C':
        this.#at += 1 + 8; // flags, commit lsn
        return { type: 'commit', endLsn: this.#lsn() };
      case 'R':
        return { type: 'relation', relation: this.#relation() };
      case 'I': {
        const oid = this.#int32();
        this.#at++; // 'N'
        return { type: 'insert', oid, after: this.#tuple() };
      }
      case 'U':
        return this.#update();
      case 'D': {
        const oid = this.#int32();
        return { type: 'delete', oid, before: this.#old(this.#byte()) };
      }
      case 'T':
        return this.#truncate();
      default:
        return { type: 'other' }; // types, origins and messages of applications
    }
  }

  #begin(): PgMessage {
    const commitLsn = this.#lsn();
    const micros = this.#bytes.readBigInt64BE(this.#at);
    this.#at += 8;
    const xid = this.#bytes.readUInt32BE(this.#at);
    return { type: 'begin', commitLsn, xid, timeMs: Number(micros / 1000n) + EPOCH_MS };
  }

  #relation(): Relation {
    const oid = this.#int32();
    const schema = this.#text() || 'pg_catalog';
    const table = this.#text();
    this.#at++; // replica identity
    const columns = Array.from({ length: this.#int16() }, (): RelationColumn => {
      const key = (this.#byte() & 1) === 1;
      const name = this.#text();
      const typeOid = this.#int32();
      this.#at += 4; // modifier
      return { name, typeOid, key };
    });
    return { oid, schema, table, columns };
  }

  #update(): PgMessage {
    const oid = this.#int32();
    const tag = this.#byte();
    if (tag === 0x4e) return { type: 'update', oid, before: undefined, after: this.#tuple() };
    const before = this.#old(tag);
    this.#at++; // 'N'
    return { type: 'update', oid, before, after: this.#tuple() };
  }

  #old(tag: number): OldTuple {
    return { whole: tag === 0x4f, values: this.#tuple() };
  }

  #truncate(): PgMessage {
    const count = this.#int32();
    this.#at++; // options
    return { type: 'truncate', oids: Array.from({ length: count }, () => this.#int32()) };
  }

  #tuple(): Tuple {
    return Array.from({ length: this.#int16() }, () => {
      switch (String.fromCharCode(this.#byte())) {
        case 'n':
          return null;
        case 'u':
          return undefined;
        default: {
          const length = this.#int32();
          const value = this.#bytes.toString('utf8', this.#at, this.#at + length);
          this.#at += length;
          return value;
        }
      }
    });
  }

  #byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  #int16(): number {
    this.#at += 2;
    return this.#bytes.readUInt16BE(this.#at - 2);
  }

  #int32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  #lsn(): bigint {
    this.#at += 8;
    return this.#bytes.readBigUInt64BE(this.#at - 8);
  }

  #text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw corrupt('text without an end');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }
}
