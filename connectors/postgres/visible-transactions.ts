/**
 * Which transactions a snapshot of the server has seen: those that were over when it was taken.
 *
 * A table is read in snapshots that are newer than the slot, so changes of transactions that a snapshot has seen come in the stream once more; they are
 * left out. `xmin:xmax:a,b`: everything before xmin was over, nothing from xmax on, and in between all but those listed.
 */
import { MillraceError } from '../../src/base/errors.ts';

export interface Visibility {
  readonly xmin: bigint;
  readonly xmax: bigint;
  readonly running: ReadonlySet<bigint>;
}

export function parseSnapshot(text: string): Visibility {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
  if (match === null)
    throw new MillraceError('data', 'PG_BAD_SNAPSHOT', `${JSON.stringify(text)} is no snapshot`);
  return {
    xmin: BigInt(match[1]!),
    xmax: BigInt(match[2]!),
    running: new Set(match[3] === '' ? [] : match[3]!.split(',').map(BigInt)),
  };
}

const EPOCH = 1n << 32n;

/** The stream has the lower 32 bits of a transaction's number: it is the one nearest to the snapshot. */
export function sees({ xmin, xmax, running }: Visibility, xid: number): boolean {
  const near = (xmax & ~(EPOCH - 1n)) | BigInt(xid >>> 0);
  const full =
    near - xmax > EPOCH / 2n ? near - EPOCH : xmax - near > EPOCH / 2n ? near + EPOCH : near;
  return full < xmin || (full < xmax && !running.has(full));
}
