/** What PostgreSQL and the network answer, as errors that say what to do. SQLSTATE decides, by its class where the code is not named. */
import { type ErrorKind, isMillraceError, MillraceError } from '../../src/base/errors.ts';

interface Verdict {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly permanent?: boolean;
}

const UNAVAILABLE: Verdict = { kind: 'unavailable', code: 'PG_UNAVAILABLE' };
const CONTENDED: Verdict = { kind: 'unavailable', code: 'PG_CONTENDED' };
const NOT_ALLOWED: Verdict = { kind: 'invalid', code: 'PG_NOT_ALLOWED' };
const MISSING: Verdict = { kind: 'invalid', code: 'PG_MISSING' };
const REFUSED: Verdict = { kind: 'data', code: 'PG_ROW_REFUSED', permanent: true };

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const BY_STATE: Readonly<Record<string, Verdict>> = {
  '40001': CONTENDED, // serialization_failure
  '40P01': CONTENDED, // deadlock_detected
  '55P03': CONTENDED, // lock_not_available
  '55006': { kind: 'unavailable', code: 'PG_OBJECT_IN_USE' },
  '25006': UNAVAILABLE, // read_only_sql_transaction: a standby, until it is promoted
  '25P03': UNAVAILABLE, // idle_in_transaction_session_timeout
  '42501': NOT_ALLOWED,
  '42P01': MISSING, // undefined_table
  '42703': MISSING, // undefined_column
  '42704': MISSING, // undefined_object
  '3F000': MISSING, // invalid_schema_name
  '3D000': MISSING, // invalid_catalog_name
};

const BY_CLASS: Readonly<Record<string, Verdict>> = {
  '08': UNAVAILABLE, // connection_exception
  '53': UNAVAILABLE, // insufficient_resources
  '57': UNAVAILABLE, // operator_intervention: shutdown, start-up, a cancelled statement
  '58': UNAVAILABLE, // system_error
  '28': { kind: 'invalid', code: 'PG_AUTHENTICATION_FAILED' },
  '21': REFUSED, // cardinality_violation: keys that are written differently and are equal to the server
  '22': REFUSED, // data_exception
  '23': REFUSED, // integrity_constraint_violation
  '44': REFUSED, // with_check_option_violation
};

const ADVICE: Readonly<Record<string, string>> = {
  PG_NOT_ALLOWED: 'give the role that right',
  PG_MISSING: 'create it, or correct the name',
  PG_ROW_REFUSED:
    'the database does not take a record: change the table or its constraints, or what the job writes',
  PG_AUTHENTICATION_FAILED: 'check user, password, TLS and pg_hba.conf',
};

interface SqlError {
  readonly code?: string;
  readonly message?: string;
  readonly detail?: string;
  readonly constraint?: string;
  readonly column?: string;
}

const isState = (code: string | undefined): code is string =>
  code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E');

/** The error of a statement or a connection, classified; errors of ours as they are. */
export function sqlFailure(what: string, cause: unknown): MillraceError {
  if (isMillraceError(cause)) return cause;
  const { code: state, message, detail, constraint } = cause as SqlError; // what the client throws
  const known = isState(state);
  // No state: the network, or no answer in time.
  const verdict = known
    ? (BY_STATE[state] ??
      BY_CLASS[state.slice(0, 2)] ?? { kind: 'invalid' as const, code: 'PG_STATEMENT_REFUSED' })
    : UNAVAILABLE;
  const advice = ADVICE[verdict.code];
  return new MillraceError(
    verdict.kind,
    verdict.code,
    `${what}: ${message || state || 'no answer'}${detail === undefined ? '' : ` (${detail})`}${advice === undefined ? '' : `; ${advice}`}`,
    {
      details: {
        ...(known ? { sqlState: state } : {}),
        ...(constraint === undefined ? {} : { constraint }),
        ...(verdict.permanent === true ? { permanent: true } : {}),
      },
      cause,
    },
  );
}

/** The session can carry no further statement. */
export function isBroken(error: unknown): boolean {
  const { code: state } = error as SqlError; // what the client throws
  if (!isState(state)) return true;
  return (
    state.startsWith('08') || (state.startsWith('57') && state !== '57014') || state === '25P03'
  );
}

export const isUnavailable = (error: unknown): boolean =>
  isMillraceError(error) && error.kind === 'unavailable';
