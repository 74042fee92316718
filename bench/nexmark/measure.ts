/** What a run took: wall time and CPU time of the whole process, all its threads. */
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

export interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

interface Mark {
  /** Of the clock that all threads of the process share. */
  readonly nanoseconds: bigint;
  readonly cpu: NodeJS.CpuUsage;
}

const mark = (): Mark => ({
  nanoseconds: process.hrtime.bigint(),
  cpu: process.cpuUsage(),
});

function between(start: Mark, end: Mark): Measured {
  const cpuMicros = end.cpu.user + end.cpu.system - start.cpu.user - start.cpu.system;
  return {
    seconds: Number(end.nanoseconds - start.nanoseconds) / 1e9,
    cpuSeconds: cpuMicros / 1e6,
  };
}

export function measure(run: () => void): Measured {
  const start = mark();
  run();
  return between(start, mark());
}

/**
 * From the first event that a source yields, on whatever thread, until the sink on the main thread has the last result; where there is none
 * there, until the job has ended.
 */
export class JobWatch {
  readonly #channel = new BroadcastChannel('nexmark');
  #start: Mark | undefined;
  #lastResult: Mark | undefined;

  constructor() {
    this.#channel.unref();
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- this channel of Node's has no other way to be unreferenced
    this.#channel.onmessage = (message: unknown) => {
      this.#accept((message as { readonly data: Mark }).data); // only `start` posts here
    };
  }

  /** In the thread of a source. */
  start(): void {
    const now = mark();
    if (isMainThread) this.#accept(now);
    else this.#channel.postMessage(now);
  }

  /** In the main thread: the sink has everything. What a job does when it ends, such as a last checkpoint, is not part of a query. */
  lastResult(): void {
    this.#lastResult = mark();
  }

  /** In the main thread. */
  end(): Measured {
    const now = this.#lastResult ?? mark();
    if (this.#start === undefined) throw new RangeError('the job ended and no source had begun');
    const measured = between(this.#start, now);
    this.#start = undefined;
    this.#lastResult = undefined;
    return measured;
  }

  #accept(start: Mark): void {
    if (this.#start === undefined || start.nanoseconds < this.#start.nanoseconds)
      this.#start = start;
  }
}
