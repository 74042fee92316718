/**
 * Timers of the forst backend: CPU time of the thread to register and to fire one, all of them in memory and most of them beyond the head;
 * after a restore, where none is in memory; and the longest turn of the event loop, which is the longest pause of a task.
 *
 * Timers of distinct keys at random times, and all at one time as windows have them, over 32,768 key groups. The store is memory, so that
 * latency is not measured, nor is what the timers' functions do.
 */
import { parseArgs } from 'node:util';
import type { InternalTimerService, KeyedStateBackend } from '../src/state/keyed-state-backend.ts';
import { MemoryStore } from '../src/storage/memory-store.ts';
import { t } from '../src/types/t.ts';
import { checkpoint, openBackend } from './state/backend.ts';
import { yieldToLoop } from './state/stores.ts';

export const USAGE =
  '  --timers N   (1,000,000; quick 200,000)\n  --limit N    timers that memory may hold where most are beyond it (a tenth)';

const SIGNAL = new AbortController().signal;
const RECORDS_PER_STEP = 1024;
const FIRED_PER_STEP = 1024;
const WATERMARKS = 100;
const SPAN_MS = 10_000_000;

interface Given {
  readonly timers: number;
  readonly timersMost: number;
  /** All are due at one time. */
  readonly together: boolean;
}

interface Figures {
  readonly registerUs: number;
  readonly fireUs: number;
  readonly restoredFireUs: number;
  readonly longestMs: number;
}

const cpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

/** Turns of the event loop, by their CPU time. */
class Turns {
  #from = cpuMs();
  longestMs = 0;

  begin(): void {
    this.#from = cpuMs();
  }

  end(): void {
    const now = cpuMs();
    this.longestMs = Math.max(this.longestMs, now - this.#from);
    this.#from = now;
  }

  /** Lets others run until the work is done. */
  async watch(work: Promise<void>): Promise<void> {
    const under = { way: true };
    const settled = work.finally(() => {
      under.way = false;
    });
    while (under.way) {
      await yieldToLoop();
      this.end();
    }
    await settled;
  }
}

/** A subtask with timers. */
class Timed {
  readonly keyed: KeyedStateBackend;
  readonly turns = new Turns();
  readonly #service: InternalTimerService<number>;
  #fired = 0;

  constructor(keyed: KeyedStateBackend) {
    this.keyed = keyed;
    const fire = (): void => {
      this.#fired++;
    };
    this.#service = keyed.getTimerService('timers', t.int32(), {
      onEventTime: fire,
      onProcessingTime: fire,
    });
  }

  /** @returns CPU microseconds a timer */
  async register({ timers, together }: Given): Promise<number> {
    const started = cpuMs();
    let random = 12_345;
    this.turns.begin();
    for (let key = 0; key < timers; key++) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      this.keyed.setCurrentKey(key);
      this.#service.registerEventTimeTimer(0, together ? SPAN_MS : 1 + (random % SPAN_MS));
      if (key % RECORDS_PER_STEP === 0) await this.#endStep();
    }
    return (1000 * (cpuMs() - started)) / timers;
  }

  /** @returns CPU microseconds a timer */
  async fire({ timers }: Given): Promise<number> {
    const started = cpuMs();
    this.turns.begin();
    for (let i = 1; i <= WATERMARKS; i++) await this.#advance((i * SPAN_MS) / WATERMARKS);
    if (this.#fired !== timers) throw new RangeError(`${this.#fired} of ${timers} timers fired`);
    return (1000 * (cpuMs() - started)) / timers;
  }

  async #advance(watermark: number): Promise<void> {
    for (;;) {
      const progress = this.keyed.advanceWatermark(watermark, FIRED_PER_STEP);
      if (progress === 'load') await this.turns.watch(this.keyed.residency!.load(SIGNAL));
      else await this.#endStep();
      if (progress === 'done') return;
    }
  }

  async #endStep(): Promise<void> {
    const { residency } = this.keyed;
    residency?.trim();
    this.turns.end();
    if (residency?.overloaded === true) await this.turns.watch(residency.load(SIGNAL));
    await yieldToLoop();
    this.turns.end();
  }
}

async function measure(given: Given): Promise<Figures> {
  const store = new MemoryStore();
  const place = { index: 0, parallelism: 1, timersMost: given.timersMost };
  const first = await openBackend(store, place);
  const timed = new Timed(first.keyed);
  const registerUs = await timed.register(given);
  const handle = await checkpoint(first.keyed, store, 1);
  const fireUs = await timed.fire(given);
  await first.close();
  const second = await openBackend(store, { ...place, restore: [handle] });
  const restored = new Timed(second.keyed);
  const restoredFireUs = await restored.fire(given);
  await second.close();
  const longestMs = Math.max(timed.turns.longestMs, restored.turns.longestMs);
  return { registerUs, fireUs, restoredFireUs, longestMs };
}

function optionsOf({ quick, args }: { readonly quick: boolean; readonly args: readonly string[] }) {
  const { values } = parseArgs({
    args: [...args],
    options: { timers: { type: 'string' }, limit: { type: 'string' } },
  });
  const timers = Number(values.timers ?? (quick ? 200_000 : 1_000_000));
  return { timers, limit: Number(values.limit ?? timers / 10) };
}

export async function run(request: {
  readonly quick: boolean;
  readonly args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const { timers, limit } = optionsOf(request);
  const figures: Record<string, number> = {};
  for (const [when, together] of [
    ['', false],
    ['together_', true],
  ] as const) {
    for (const [where, timersMost] of [
      ['in_memory', 2 * timers],
      ['beyond', limit],
    ] as const) {
      const name = `${when}${where}`;
      const { registerUs, fireUs, restoredFireUs, longestMs } = await measure({
        timers,
        timersMost,
        together,
      });
      console.log(
        `${name.padEnd(20)} register ${registerUs.toFixed(2)} us, fire ${fireUs.toFixed(2)} us, after a restore ${restoredFireUs.toFixed(2)} us; longest turn ${longestMs.toFixed(1)} ms`,
      );
      figures[`${name}_register_us`] = registerUs;
      figures[`${name}_fire_us`] = fireUs;
      figures[`${name}_restored_fire_us`] = restoredFireUs;
      figures[`${name}_longest_turn_ms`] = longestMs;
    }
  }
  return figures;
}
