/**
 * Messages of a slot as changes: what transaction they are of, which tables, and whether the first reading has seen them.
 *
 * Invariants
 *  S1  `place` is right after the last change that was returned. Opened there, the stream yields exactly those that follow: whole transactions up to
 *      `lsn` are not sent again by the server, and of the one in which it stands as many changes are passed over.
 *  S2  A change that moves a row to another key is what it is to those who have read one side of it: an insert, a deletion, or nothing.
 */
import { isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { Decoded } from '../../src/connector/format.ts';
import type { Schema } from '../../src/types/schema.ts';
import type { Change } from './change.ts';
import { tableText } from './identifiers.ts';
import { lsnText } from './lsn.ts';
import {
  decodePgoutput,
  type PgMessage,
  type Relation,
  type Tuple,
  type WalMessage,
} from './replication-messages.ts';
import { RowDecoder } from './row-decoder.ts';
import type { SeenRows } from './seen-rows.ts';
import type { SourceTable } from './source-table.ts';

export interface StreamPlace {
  readonly lsn: bigint;
  readonly within: { readonly commitLsn: bigint; readonly changes: number } | undefined;
}

interface KnownRelation<T> {
  readonly table: number;
  readonly name: string;
  readonly decoder: RowDecoder<T>;
}

interface OpenTransaction {
  readonly commitLsn: bigint;
  readonly xid: number;
  readonly timeMs: number;
  /** Taken, those that are passed over included. */
  changes: number;
  /** The first so many were delivered before. */
  readonly skip: number;
}

type RowMessage = PgMessage & { readonly type: 'insert' | 'update' | 'delete' | 'truncate' };

/** A change of one table that has not been looked at. */
interface Unit<T> {
  readonly message: RowMessage;
  readonly relation: KnownRelation<T>;
}

/** A change, or why it cannot be read. */
export type Delivered<T> = Decoded<Change<T>> & { readonly timeMs: number; readonly table: string };

export class ChangeStream<T> {
  readonly #tables: readonly SourceTable[];
  readonly #schema: Schema<T> | undefined;
  readonly #relations = new Map<number, KnownRelation<T> | undefined>();
  #seen: SeenRows | undefined;
  #lsn: bigint;
  #resume: StreamPlace['within'];
  #transaction: OpenTransaction | undefined;
  /** Read and not taken. */
  #units: Unit<T>[] = [];

  constructor(
    tables: readonly SourceTable[],
    schema: Schema<T> | undefined,
    place: StreamPlace,
    seen: SeenRows | undefined,
  ) {
    this.#tables = tables;
    this.#schema = schema;
    this.#lsn = place.lsn;
    this.#resume = place.within;
    this.#seen = seen;
  }

  get place(): StreamPlace {
    const open = this.#transaction;
    if (open === undefined) return { lsn: this.#lsn, within: this.#resume };
    const changes = Math.max(open.changes, open.skip);
    return {
      lsn: this.#lsn,
      within: changes === 0 ? undefined : { commitLsn: open.commitLsn, changes },
    };
  }

  /** False once nothing is left out any more. */
  get leavesOut(): boolean {
    return this.#seen !== undefined;
  }

  /** The connection broke: the server sends again what follows `place`. */
  restart(): void {
    this.#resume = this.place.within;
    this.#transaction = undefined;
    this.#units = [];
    this.#relations.clear();
  }

  /** Where the transaction commits that has begun, if nothing of it was taken. */
  get nextCommitLsn(): bigint | undefined {
    return this.#transaction?.changes === 0 ? this.#transaction.commitLsn : undefined;
  }

  /** Takes in one message; what was read before has to be taken first. */
  read(message: WalMessage): void {
    if (message.type === 'keep-alive') {
      if (this.#transaction === undefined && this.#resume === undefined)
        this.#reach(message.endLsn);
      return;
    }
    const decoded = decodePgoutput(message.message);
    switch (decoded.type) {
      case 'begin':
        this.#begin(decoded);
        break;
      case 'commit':
        this.#transaction = undefined;
        this.#reach(decoded.endLsn);
        break;
      case 'relation':
        this.#learn(decoded.relation);
        break;
      case 'other':
        break;
      default:
        this.#addUnits(decoded);
    }
  }

  /** The next change of what was read; one that is passed over is null, and undefined says that nothing is left. */
  take(): Delivered<T> | null | undefined {
    const unit = this.#units.shift();
    if (unit === undefined) return undefined;
    const transaction = this.#transaction;
    if (transaction === undefined)
      throw new MillraceError('data', 'PG_CORRUPT_MESSAGE', 'a change without a transaction');
    if (++transaction.changes <= transaction.skip) return null;
    const decoded = this.#decode(unit, transaction);
    return decoded === undefined
      ? null
      : { ...decoded, timeMs: transaction.timeMs, table: unit.relation.name };
  }

  #reach(lsn: bigint): void {
    if (lsn > this.#lsn) this.#lsn = lsn;
    if (this.#seen?.isPast(this.#lsn) === true) this.#seen = undefined;
  }

  #begin({ commitLsn, xid, timeMs }: PgMessage & { type: 'begin' }): void {
    const resume = this.#resume;
    this.#resume = undefined;
    if (resume !== undefined && resume.commitLsn !== commitLsn)
      throw new MillraceError(
        'data',
        'PG_TRANSACTION_MISSING',
        `the transaction that commits at ${lsnText(resume.commitLsn)} was delivered in part, and the slot does not send it again; start the source without its state`,
        { details: { permanent: true } },
      );
    this.#transaction = { commitLsn, xid, timeMs, changes: 0, skip: resume?.changes ?? 0 };
  }

  #learn({ oid, schema, table, columns }: Relation): void {
    const name = tableText({ schema, table });
    const index = this.#tables.findIndex((known) => tableText(known.name) === name);
    const known = this.#tables[index];
    this.#relations.set(
      oid,
      known && { table: index, name, decoder: new RowDecoder(columns, known.key, this.#schema) },
    );
  }

  #addUnits(message: RowMessage): void {
    const oids = message.type === 'truncate' ? message.oids : [message.oid];
    for (const oid of oids) {
      const relation = this.#relations.get(oid);
      if (relation !== undefined) this.#units.push({ message, relation }); // others are published, and not ours
    }
  }

  #decode(unit: Unit<T>, transaction: OpenTransaction): Decoded<Change<T>> | undefined {
    try {
      return this.#judge(unit, transaction);
    } catch (error) {
      if (isMillraceError(error)) throw error;
      return { ok: false, reason: String(error) };
    }
  }

  #judge(
    { message, relation: { table, name, decoder } }: Unit<T>,
    { xid, commitLsn }: OpenTransaction,
  ): Decoded<Change<T>> | undefined {
    const facts = { table: name, snapshot: false, lsn: lsnText(commitLsn) } as const;
    const isSeen = (tuple: Tuple): boolean =>
      this.#seen?.hasSeen(table, decoder.keyOf(tuple), xid) === true;
    if (message.type === 'truncate')
      return this.#seen?.hasSeenAll(table, xid) === true
        ? undefined
        : { ok: true, value: { ...facts, kind: 'truncate' } };
    if (message.type === 'delete') {
      if (isSeen(message.before.values)) return undefined;
      return {
        ok: true,
        value: { ...facts, kind: 'delete', before: decoder.decodeKnown(message.before.values) },
      };
    }
    const before = message.type === 'update' ? message.before : undefined;
    // Out-of-line values that have not changed are in the whole row as it was.
    const tuple =
      before?.whole === true
        ? message.after.map((text, i) => (text === undefined ? before.values[i] : text))
        : message.after;
    const seenAfter = isSeen(tuple);
    const seenBefore = before === undefined ? seenAfter : isSeen(before.values);
    if (seenAfter && seenBefore) return undefined; // S2
    if (seenAfter && before !== undefined)
      return {
        ok: true,
        value: { ...facts, kind: 'delete', before: decoder.decodeKnown(before.values) },
      };
    const row = decoder.decode(tuple);
    if (!row.ok) return row;
    if (message.type === 'insert' || seenBefore)
      return { ok: true, value: { ...facts, kind: 'insert', after: row.value } };
    const known = before === undefined ? {} : { before: decoder.decodeKnown(before.values) };
    return { ok: true, value: { ...facts, kind: 'update', after: row.value, ...known } };
  }
}
