/**
 * A real PostgreSQL for tests: Debian's, on a free loopback port, its data in a temporary folder that `stop` removes and `restart` keeps.
 *
 * The server refuses to run as root: there it runs as the user that Debian's package made for it.
 */
import { execFile } from 'node:child_process';
import { chown, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { type DatabaseOptions, postgresDatabase } from '../../connectors/postgres/database.ts';
import { freePort, type Missing, ServiceProcess, type User } from './service.ts';

const run = promisify(execFile);

const USER = 'tester';
const READY_MS_MAX = 60_000;
const INSTALLED = '/usr/lib/postgresql';

export interface PostgresServiceOptions {
  /** Server settings over those for tests; for instance `wal_level`. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface PostgresService {
  /** Of the database `postgres`, as its owner. */
  readonly options: DatabaseOptions;
  readonly process: ServiceProcess;
  /** SIGKILL of every process of the server, and a start on the same data. */
  restart(): Promise<void>;
  /** SIGSTOP of every process of the server until `resume`: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** Starts a server, or says what this machine lacks. */
export async function startPostgres({ settings = {} }: PostgresServiceOptions = {}): Promise<
  PostgresService | Missing
> {
  const bin = await findBinaries();
  if (typeof bin !== 'string') return bin;
  const user = await findUser();
  if (user !== undefined && 'missing' in user) return user;
  const folder = await mkdtemp(`${tmpdir()}/millrace-postgres-`);
  if (user !== undefined) await chown(folder, user.uid, user.gid);
  const port = await freePort();
  const options: DatabaseOptions = { host: '127.0.0.1', port, database: 'postgres', user: USER };
  const process = new ServiceProcess({
    name: 'PostgreSQL',
    command: `${bin}/postgres`,
    args: [
      ...['-D', `${folder}/data`, '-p', String(port)],
      ...Object.entries({ ...SETTINGS, ...settings }).flatMap(([key, value]) => [
        '-c',
        `${key}=${value}`,
      ]),
    ],
    ...(user === undefined ? {} : { user }),
    withChildren: true,
    isReady: () => answers(options),
    readyMsMax: READY_MS_MAX,
  });
  const stop = async (): Promise<void> => {
    await process.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await run(`${bin}/initdb`, ['-D', `${folder}/data`, '-U', USER, ...INITDB], { ...user });
    await process.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    options,
    process,
    restart: () => process.restart(),
    pause: () => process.pause(),
    resume: () => process.resume(),
    stop,
  };
}

const INITDB = ['--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'];

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_connections: '60',
  shared_buffers: '32MB',
  // A server that comes back writes everything again otherwise, which takes longer than the tests.
  checkpoint_timeout: '30s',
  autovacuum_naptime: '10s',
};

/** The newest version that Debian has installed, or what is on the path. */
async function findBinaries(): Promise<string | Missing> {
  const versions = await readdir(INSTALLED).catch(() => []);
  const newest = versions
    .filter((version) => /^\d+$/.test(version))
    .sort((a, b) => Number(b) - Number(a))[0];
  const candidates = [
    ...(newest === undefined ? [] : [`${INSTALLED}/${newest}/bin`]),
    ...(process.env['PATH'] ?? '').split(':'),
  ];
  for (const folder of candidates) {
    const found = await Promise.all(
      ['postgres', 'initdb'].map((name) => stat(`${folder}/${name}`).catch(() => undefined)),
    );
    if (found.every((file) => file !== undefined)) return folder;
  }
  return { missing: 'no PostgreSQL on this machine (Debian: apt-get install postgresql)' };
}

/** Whom to run it as; undefined: as whoever runs the tests. */
async function findUser(): Promise<User | Missing | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const line = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .find((text) => text.startsWith('postgres:'));
  if (line === undefined)
    return { missing: 'PostgreSQL does not run as root, and there is no user `postgres`' };
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

async function answers(options: DatabaseOptions): Promise<boolean> {
  try {
    const session = await postgresDatabase({ ...options, connectTimeout: '1 s' }).open('ready?');
    await session.close();
    return true;
  } catch {
    return false;
  }
}
