/** Places in the write-ahead log: `16/B374D848`, as a number of 64 bits to be compared. */
import { MillraceError } from '../../src/base/errors.ts';

export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null)
    throw new MillraceError('data', 'PG_BAD_LSN', `${JSON.stringify(text)} is no place in the log`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export const lsnText = (lsn: bigint): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
