/** A failure with the place where it happened, for whoever reads the job's log. */
import { asError, isMillraceError, MillraceError } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';

export interface TaskPlace {
  /** Name of the vertex. */
  readonly task: string;
  readonly subtask: number;
  /** Of a source: the batch that was being read began at `position` of the split. */
  readonly source?: { readonly splitId: string; readonly position: JsonValue } | undefined;
}

/** The same failure (kind, code, cause and stack) with task, subtask and position of the input. */
export function locateFailure(thrown: unknown, { task, subtask, source }: TaskPlace): Error {
  const error = asError(thrown);
  const known = isMillraceError(error);
  const details = known ? error.details : { name: error.name };
  const where = [
    'subtask' in details ? undefined : `task "${task}", subtask ${subtask}`,
    source === undefined
      ? undefined
      : `in the records of split ${source.splitId} from position ${JSON.stringify(source.position)} on`,
  ].filter((part) => part !== undefined);
  const located = new MillraceError(
    known ? error.kind : 'internal',
    known ? error.code : 'USER_CODE_FAILED',
    where.length === 0 ? error.message : `${error.message} (${where.join(', ')})`,
    {
      details: { task, subtask, ...source, ...details },
      ...(error.cause === undefined ? {} : { cause: error.cause }),
    },
  );
  if (error.stack !== undefined) located.stack = error.stack;
  return located;
}
