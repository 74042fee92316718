import { internal, type MillraceError } from '../../base/errors.ts';

/** What a read of state throws that nobody has prepared. */
export const notResident = (name: string): MillraceError =>
  internal(
    'STATE_NOT_RESIDENT',
    `state "${name}" of the current key is not in memory and was not prepared before it was read; await it, or declare it to be prefetched`,
  );
