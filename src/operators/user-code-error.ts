/** Failures of user code, with the operator and the record they happened at. */
import { MillraceError } from '../base/errors.ts';
import type { OperatorContext } from './contract.ts';

export interface Culprit {
  readonly operator: string;
  readonly operatorId: string;
  readonly subtask: number;
}

export function culpritOf(context: OperatorContext): Culprit {
  return {
    operator: context.operatorName,
    operatorId: context.operatorId,
    subtask: context.subtaskIndex,
  };
}

/** Wraps what user code threw; a failure that already carries its place is passed on as it is. */
export function userCodeError(
  cause: unknown,
  culprit: Culprit,
  place: { readonly recordIndex?: number; readonly timestamp?: number; readonly timer?: number },
): unknown {
  if ((cause as { name?: unknown } | null)?.name === 'MillraceError') return cause;
  const what = (cause as { message?: unknown } | null)?.message ?? String(cause);
  const where =
    place.timer === undefined
      ? `record ${place.recordIndex ?? 0} of its batch`
      : `a timer at ${place.timer}`;
  return new MillraceError(
    'invalid',
    'USER_CODE_FAILED',
    `operator "${culprit.operator}", subtask ${culprit.subtask}, ${where}: ${String(what)}`,
    {
      details: { ...culprit, ...place },
      cause,
    },
  );
}
