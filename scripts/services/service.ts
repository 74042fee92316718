/**
 * Real servers for tests, on free loopback ports: what starting, killing and freezing one looks like.
 *
 * A service is a child process. Whoever starts one stops it; it also dies with the process that started it.
 * Where a component cannot be had on a machine, starting it yields a reason instead, and `reportMissing` has it printed in the last lines
 * of the test run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What a machine lacks for a service. */
export interface Missing {
  readonly missing: string;
}

export const isMissing = (service: object): service is Missing => 'missing' in service;

/** The file in which a test run collects what was missing; set by `scripts/test.ts`. */
export const MISSING_FILE_VARIABLE = 'MILLRACE_MISSING_FILE';

/** Says in the last lines of the run that tests did not run. */
export function reportMissing(service: string, { missing }: Missing): void {
  const line = `NOT RUN: tests against ${service}: ${missing}\n`;
  const file = process.env[MISSING_FILE_VARIABLE];
  if (file === undefined) process.stderr.write(line);
  else appendFileSync(file, line);
}

/** A port of the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new TypeError('no port was given');
  return address.port;
}

export interface User {
  readonly uid: number;
  readonly gid: number;
}

export interface ServiceCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whom the process runs as. Default: whoever starts it. */
  readonly user?: User;
  /** Killing and freezing reach its child processes too: for servers that are several. */
  readonly withChildren?: boolean;
  /** True once the server answers its own protocol. */
  readonly isReady: () => Promise<boolean>;
  readonly readyMsMax: number;
}

const OUTPUT_CHARACTERS_MAX = 64 * 1024;
const READY_POLL_MS = 100;
const CHILDREN_POLL_MS = 10;

let signalsExit = false;

/** A process that is told to end leaves no server behind: `exit` is not announced when a signal ends it. */
function exitOnSignals(): void {
  if (signalsExit) return;
  signalsExit = true;
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
}

/** One server process: started, killed, frozen and started again on the same ports and data. */
export class ServiceProcess {
  readonly #command: ServiceCommand;
  #child: ChildProcess | undefined;
  #output = '';
  readonly #onExit = (): void => {
    this.#child?.kill('SIGKILL');
  };

  constructor(command: ServiceCommand) {
    this.#command = command;
    process.on('exit', this.#onExit);
    exitOnSignals();
  }

  /** What the process wrote last. */
  get output(): string {
    return this.#output;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const { name, command, args, env, cwd, user, isReady, readyMsMax } = this.#command;
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
      ...user,
    });
    this.#child = child;
    const keep = (data: Buffer): void => {
      this.#output = (this.#output + data.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => keep(Buffer.from(String(error))));
    const deadline = performance.now() + readyMsMax;
    while (!(await isReady())) {
      const gone = child.exitCode !== null || child.signalCode !== null;
      if (gone || performance.now() > deadline) {
        await this.kill();
        throw new TypeError(
          `${name} ${gone ? 'ended' : `was not ready within ${readyMsMax} ms`}:\n${this.#output.slice(-4000)}`,
        );
      }
      await delay(READY_POLL_MS);
    }
  }

  /** SIGTERM, and SIGKILL when it does not end. */
  async stop(graceMs = 5000): Promise<void> {
    process.off('exit', this.#onExit);
    const child = this.#child;
    if (child === undefined) return;
    this.#signal('SIGCONT');
    child.kill('SIGTERM');
    await Promise.race([exited(child), delay(graceMs, undefined, { ref: false })]);
    await this.kill();
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    // Stopped first, it begins no further child while they are listed.
    child.kill('SIGSTOP');
    const children = this.#signal('SIGKILL');
    this.#child = undefined;
    await exited(child);
    // What they share, such as memory, is free when the last of them has gone.
    while (children.some(lives)) await delay(CHILDREN_POLL_MS);
  }

  /** SIGKILL, and the same again on the same data. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  /** @returns the children that were told, too */
  #signal(signal: NodeJS.Signals): readonly number[] {
    const pid = this.#child?.pid;
    if (pid === undefined) return [];
    // Listed before: children of a process that is gone cannot be found.
    const children = this.#command.withChildren === true ? childrenOf(pid) : [];
    this.#child?.kill(signal);
    for (const child of children) signalTo(child, signal);
    return children;
  }
}

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // gone
  }
}

/** Whether it runs or is about to end: a zombie has given back what it had. */
function lives(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !text.slice(text.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false; // gone
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone
  }
}

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
    return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}
