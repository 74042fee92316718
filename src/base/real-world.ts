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

const timers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback) {
    setImmediate(callback);
  },
};

const random: Random = { next: () => Math.random() };

const ids: Ids = { next: () => randomBytes(16).toString('hex') };

function wrapSocket(socket: Socket): Connection {
  return {
    send: (bytes) => {
      socket.write(bytes);
    },
    onData: (receive) => {
      socket.on('data', receive);
    },
    onClose: (closed) => {
      let failure: Error | undefined;
      socket.on('error', (error) => {
        failure = error;
      });
      socket.on('close', () => closed(failure));
    },
    close: () => socket.destroy(),
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
          close: () => new Promise((done) => server.close(() => done())),
        });
      });
    });
  },
  connect(host, port, signal) {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ host, port, ...(signal === undefined ? {} : { signal }) });
      socket.once('connect', () => resolve(wrapSocket(socket)));
      socket.once('error', (cause) => {
        reject(
          new MillraceError('unavailable', 'CONNECT_FAILED', `cannot connect to ${host}:${port}`, {
            cause,
          }),
        );
      });
    });
  },
};

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Lines on standard error, from `level` up. */
export function consoleLogger(level: LogLevel): Logger {
  const least = LEVELS.indexOf(level);
  return {
    log(at, message, fields) {
      if (LEVELS.indexOf(at) < least) return;
      const tail = fields === undefined ? '' : ` ${JSON.stringify(fields)}`;
      console.error(
        `${new Date(Date.now()).toISOString()} ${at.toUpperCase().padEnd(5)} ${message}${tail}`,
      );
    },
  };
}

export function realWorld(logger: Logger = consoleLogger('warn')): World {
  return { clock, timers, random, ids, network, logger, print: (line) => console.log(line) };
}

/** Environment variables, for credentials. */
export const realEnvironment = (): Readonly<Record<string, string | undefined>> => process.env;
