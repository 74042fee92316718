/** A split is a stream, or the messages of one of its subjects; a position is a sequence number of the stream. Plain JSON. */
import { MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';

export interface NatsSplit {
  readonly stream: string;
  /** When the stream was made: another one of the same name has other numbers. */
  readonly created: string;
  /** Null: all. */
  readonly subject: string | null;
  /** Sequence number of the first message, or null for `startTimeMs`. */
  readonly startSequence: number | null;
  readonly startTimeMs: number | null;
  /** The split ends after this sequence number; null: never. */
  readonly stopSequence: number | null;
}

export const splitIdOf = ({ stream, subject }: Pick<NatsSplit, 'stream' | 'subject'>): string =>
  subject === null ? stream : `${stream}/${subject}`;

/** @throws `data` NATS_BAD_SPLIT */
export function natsSplitOf(data: JsonValue): NatsSplit {
  if (typeof data === 'object' && data !== null && 'stream' in data && 'created' in data)
    return data as unknown as NatsSplit; // written by the enumerator
  throw badState('split', data);
}

/** The sequence number of the last message that was read; undefined before the first. @throws `data` NATS_BAD_SPLIT */
export function natsPositionOf(position: JsonValue | undefined): number | undefined {
  if (position === undefined || position === null) return undefined;
  if (Number.isSafeInteger(position)) return position as number;
  throw badState('position', position);
}

const badState = (what: string, value: JsonValue): MillraceError =>
  new MillraceError(
    'data',
    'NATS_BAD_SPLIT',
    `the restored ${what} of a NATS source is ${JSON.stringify(value).slice(0, 200)}; restore with the source that wrote it, or start this one under another uid`,
  );
