/**
 * The world as one simulated node sees it: virtual time with a clock of its own, seeded randomness and ids, timers that die with the
 * node, the simulated network. Real-world counterpart: `base/real-world.ts`.
 */
import type {
  Clock,
  Ids,
  Logger,
  LogLevel,
  Network,
  Random,
  Timers,
  World,
} from '../base/world.ts';
import type { SimNode } from './sim-node.ts';
import type { SimNetwork } from './sim-network.ts';

/** 2026-01-01T00:00:00Z: where the wall clocks of all simulations begin. */
export const SIM_EPOCH_MS = 1_767_225_600_000;

const LOG_LINES_MAX = 10_000;

export interface LogLine {
  readonly atMs: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export class SimWorld implements World {
  readonly node: SimNode;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly ids: Ids;
  readonly network: Network;
  readonly logger: Logger;
  /** What was printed, and logged: the newest 10,000 lines each. */
  readonly printed: string[] = [];
  readonly logged: LogLine[] = [];
  #wallOffsetMs = 0;

  constructor(node: SimNode, network: SimNetwork) {
    this.node = node;
    const { scheduler } = node;
    this.clock = {
      wallMs: () => Math.floor(SIM_EPOCH_MS + node.nowMs + this.#wallOffsetMs),
      monotonicMs: () => node.readClock(),
    };
    this.timers = {
      after: (delayMs, callback) => node.after(delayMs, 'timer', callback),
      soon: (callback) => node.soon(callback),
    };
    const random = node.random.fork('world');
    this.random = random;
    const ids = node.random.fork('ids');
    const digits = (): string => ids.uint32().toString(16).padStart(8, '0');
    this.ids = { next: () => digits() + digits() + digits() + digits() };
    this.network = network.of(node);
    this.logger = {
      log: (level, message, fields) => {
        keep(this.logged, {
          atMs: scheduler.nowMs,
          level,
          message,
          ...(fields === undefined ? {} : { fields }),
        });
      },
    };
  }

  print(line: string): void {
    keep(this.printed, line);
  }

  /** Moves this node's wall clock; its monotonic clock and its timers do not move. */
  jumpWallClock(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }
}

function keep<T>(lines: T[], line: T): void {
  lines.push(line);
  if (lines.length > LOG_LINES_MAX) lines.splice(0, LOG_LINES_MAX / 10);
}
