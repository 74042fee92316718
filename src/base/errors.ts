/**
 * The one error class of Millrace.
 *
 * `kind` says what the caller should do, `code` is stable and documented in `docs/reference/errors.md`, `details`
 * carries the facts; `details.permanent` true says that a restart would only meet the same again. Errors cross threads
 * and processes and lose their class on the way, so they are classified by `kind` and `code` (`isMillraceError`), never
 * by `instanceof` or message text.
 */

/**
 * What the caller should do:
 * - `invalid`: fix the program, the settings or the request;
 * - `unavailable`: something outside did not answer; retry with backoff;
 * - `data`: stored or received bytes are corrupt or incompatible;
 * - `fenced`: ownership was lost to a newer attempt; stop, never retry;
 * - `cancelled`: the caller asked for it;
 * - `internal`: a bug in Millrace; the task stops.
 */
export type ErrorKind = 'invalid' | 'unavailable' | 'data' | 'fenced' | 'cancelled' | 'internal';

export type ErrorDetails = Readonly<Record<string, unknown>>;

export class MillraceError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly details: ErrorDetails;

  constructor(
    kind: ErrorKind,
    code: string,
    message: string,
    options: { details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MillraceError';
    this.kind = kind;
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** An error as plain data, for messages between threads and processes. */
export interface WireError {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly stack?: string;
  readonly cause?: WireError;
}

/** True for a MillraceError of this or another realm; classify further by `kind` and `code`. */
export function isMillraceError(error: unknown): error is MillraceError {
  return (
    typeof error === 'object' &&
    error !== null &&
    'kind' in error &&
    'code' in error &&
    (error as { name?: unknown }).name === 'MillraceError'
  );
}

/** Anything thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new MillraceError('internal', 'NON_ERROR_THROWN', String(thrown));
}

const CAUSE_DEPTH_MAX = 8;

export function toWireError(thrown: unknown, depth = 0): WireError {
  const error = asError(thrown);
  const known = isMillraceError(error);
  const cause =
    error.cause === undefined || depth >= CAUSE_DEPTH_MAX
      ? undefined
      : toWireError(error.cause, depth + 1);
  return {
    kind: known ? error.kind : 'internal',
    code: known ? error.code : 'USER_CODE_FAILED',
    message: error.message,
    details: known ? plainDetails(error.details) : { name: error.name },
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(cause === undefined ? {} : { cause }),
  };
}

/** Details are anything a thrower put there; what cannot travel goes as text, so that the failure itself always arrives. */
function plainDetails(details: ErrorDetails): ErrorDetails {
  return Object.fromEntries(
    Object.entries(details).map(([name, value]) => {
      try {
        return [name, structuredClone(value)];
      } catch {
        return [name, String(value)];
      }
    }),
  );
}

export function fromWireError(wire: WireError): MillraceError {
  const error = new MillraceError(wire.kind, wire.code, wire.message, {
    details: wire.details,
    ...(wire.cause === undefined ? {} : { cause: fromWireError(wire.cause) }),
  });
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

export function invalid(code: string, message: string, details?: ErrorDetails): MillraceError {
  return new MillraceError('invalid', code, message, details === undefined ? {} : { details });
}

export function internal(code: string, message: string, details?: ErrorDetails): MillraceError {
  return new MillraceError('internal', code, message, details === undefined ? {} : { details });
}

/** A broken invariant: our bug. Stays on in production; the task stops and the job recovers from its checkpoint. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new MillraceError('internal', 'ASSERTION_FAILED', message);
}
