/** How to reach NATS, and what its failures mean. The client reconnects by itself; what it cannot mend becomes an error of ours. */
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { asError, MillraceError } from '../../src/base/errors.ts';

export interface NatsServerOptions {
  /** Such as `nats://127.0.0.1:4222`; several for a cluster. */
  readonly servers: string | readonly string[];
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** The text of a `.creds` file. */
  readonly credentials?: string;
  /** PEM texts; `{}` uses the system's authorities. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Until a connection or an answer has to be there. Default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;

/** @throws `unavailable` NATS_UNREACHABLE; `invalid` NATS_UNAUTHORIZED */
export async function connectNats(options: NatsServerOptions): Promise<NatsConnection> {
  const { servers, user, password, token, credentials, tls } = options;
  try {
    return await connect({
      servers: typeof servers === 'string' ? servers : [...servers],
      name: 'millrace',
      timeout: options.timeoutMs ?? TIMEOUT_MS,
      maxReconnectAttempts: -1,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { pass: password }),
      ...(token === undefined ? {} : { token }),
      ...(tls === undefined ? {} : { tls }),
      ...(credentials === undefined
        ? {}
        : { authenticator: credsAuthenticator(new TextEncoder().encode(credentials)) }),
    });
  } catch (cause) {
    throw natsError(`connecting to ${String(servers)}`, cause);
  }
}

/** Names of the client's errors whose cause does not go away by itself. */
const PERMANENT = new Set([
  'AuthorizationError',
  'PermissionViolationError',
  'StreamNotFoundError',
  'InvalidSubjectError',
  'InvalidArgumentError',
]);

/** A failure of the client, classified. */
export function natsError(what: string, thrown: unknown): MillraceError {
  const cause = asError(thrown);
  const { status } = cause as { readonly status?: unknown }; // of errors that the server's API answered
  const refused = typeof status === 'number' && status >= 400 && status < 500;
  if (!PERMANENT.has(cause.name) && !refused)
    return new MillraceError('unavailable', 'NATS_UNREACHABLE', `${what}: ${cause.message}`, {
      cause,
    });
  return new MillraceError(
    'invalid',
    cause.name === 'AuthorizationError' ? 'NATS_UNAUTHORIZED' : 'NATS_REFUSED',
    `${what} was refused: ${cause.message}. Check the stream, the subjects and the credentials`,
    { cause, details: { permanent: true } },
  );
}
