/** The real world: the only place that reads the clock, sets timers, draws randomness, opens sockets and writes to the console. */
import { randomBytes } from 'node:crypto';
import { createServer, connect as connectSocket, type Socket } from 'node:net';
import { MillraceError } from './errors.ts';
import type {
  Clock,
  Connection,
  Ids,
  Logger,
  LogLevel,
  Network,
  Random,
  Timers,
  World,
} from './world.ts';

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** What setTimeout can count to; with a longer delay it fires at once. */
const DELAY_MAX_MS = 2 ** 31 - 1;

const timers: Timers = {
  after(delayMs, callback) {
    let timer: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, DELAY_MAX_MS);
      const next = leftMs > stepMs ? () => arm(leftMs - stepMs) : callback;
      timer = setTimeout(next, stepMs).unref();
    };
    arm(Math.max(0, delayMs));
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback) {
    setImmediate(callback);
  },
};

/** Keeps the process alive, which timers alone do not, until the returned function is called. */
export function keepAlive(): () => void {
  const timer = setInterval(() => {}, DELAY_MAX_MS);
  return () => clearInterval(timer);
}

const random: Random = { next: () => Math.random() };

const ids: Ids = { next: () => randomBytes(16).toString('hex') };

/** From here on errors of the socket end it, and are handed to whoever asked to be told. */
function wrapSocket(socket: Socket): Connection {
  let failure: Error | undefined;
  socket.setNoDelay(true);
  socket.on('error', (error) => {
    failure = error;
  });
  return {
    send: (bytes) => {
      socket.write(bytes);
    },
    onData: (receive) => {
      socket.on('data', receive);
    },
    onClose: (closed) => {
      if (socket.closed) setImmediate(() => closed(failure));
      else socket.on('close', () => closed(failure));
    },
    close: () => socket.destroySoon(),
  };
}

const network: Network = {
  listen(host, port, accept) {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => accept(wrapSocket(socket)));
      server.on('error', (cause) => {
        reject(
          new MillraceError('unavailable', 'LISTEN_FAILED', `cannot listen on ${host}:${port}`, {
            cause,
          }),
        );
      });
      server.listen(port, host, () => {
        const address = server.address();
        resolve({
          port: typeof address === 'object' && address !== null ? address.port : port,
          // It listens no more; connections that it has accepted have owners of their own.
          close: async () => {
            server.close();
          },
        });
      });
    });
  },
  connect(host, port, signal) {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ host, port, ...(signal === undefined ? {} : { signal }) });
      const refuse = (cause: Error): void => {
        const [kind, code] =
          signal?.aborted === true
            ? (['cancelled', 'CONNECT_CANCELLED'] as const)
            : (['unavailable', 'CONNECT_FAILED'] as const);
        reject(new MillraceError(kind, code, `cannot connect to ${host}:${port}`, { cause }));
      };
      socket.once('error', refuse);
      socket.once('connect', () => {
        socket.off('error', refuse);
        resolve(wrapSocket(socket));
      });
    });
  },
};

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Lines on standard error, from `level` up; one line a message, whatever is in it. */
export function consoleLogger(level: LogLevel): Logger {
  const least = LEVELS.indexOf(level);
  return {
    log(at, message, fields) {
      if (LEVELS.indexOf(at) < least) return;
      const tail = fields === undefined ? '' : ` ${asJson(fields)}`;
      console.error(
        `${new Date(Date.now()).toISOString()} ${at.toUpperCase().padEnd(5)} ${onOneLine(message)}${tail}`,
      );
    },
  };
}

/** Messages may quote input: no control character of it reaches the terminal or begins a line of its own. */
const onOneLine = (message: string): string =>
  message.replaceAll(/\n\s*/g, ' | ').replaceAll(/\p{Cc}/gu, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}`;
  });

function asJson(fields: Readonly<Record<string, unknown>>): string {
  try {
    return JSON.stringify(fields, (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  } catch {
    return '(fields that are no data)';
  }
}

export function realWorld(logger: Logger = consoleLogger('warn')): World {
  return { clock, timers, random, ids, network, logger, print: (line) => console.log(line) };
}

/** Environment variables, for credentials. */
/** Of this process when it ends by itself. */
export function setExitCode(code: number): void {
  process.exitCode = code;
}

/** For this process and the workers that it starts from now on. */
export function setEnvironment(variable: string, value: string): void {
  process.env[variable] = value;
}

export const realEnvironment = (): Readonly<Record<string, string | undefined>> => process.env;
