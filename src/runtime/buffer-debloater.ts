/**
 * How many records a batch into a task may hold, so that what stands in its channels is processed within a target time (Flink's buffer
 * debloating, FLIP-183; there buffers shrink, here batches).
 *
 * A channel holds at most `CREDITS` batches: size = throughput * target / (channels * CREDITS). Throughput counts time in which there was
 * input to take only, and is smoothed over samples, as an exponential average. Small changes are not told to the senders.
 *
 * Less in flight makes aligned checkpoints faster and unaligned ones smaller; batches that are too small cost throughput. The limit is on
 * records: frames between workers are limited in bytes besides.
 */
import { BATCH_SIZE_MAX } from '../types/record-batch.ts';
import { CREDITS } from './channel.ts';

export interface DebloatOptions {
  readonly targetMs: number;
  readonly periodMs: number;
  readonly samples: number;
  /** Changes below this share of the present size are left out. */
  readonly thresholdPercentages: number;
}

export class BufferDebloater {
  readonly #options: DebloatOptions;
  readonly #channels: number;
  #average: number | undefined;
  /** Records of a batch, at most. */
  size = BATCH_SIZE_MAX;
  /** What the channels hold takes so long, when they are full. */
  estimatedMs = 0;

  constructor(options: DebloatOptions, channels: number) {
    this.#options = options;
    this.#channels = channels;
  }

  /** @returns the new size, if it has changed enough. `workedMs`: of the period, without waiting for input. */
  observe(records: number, workedMs: number): number | undefined {
    const { targetMs, samples, thresholdPercentages } = this.#options;
    if (workedMs <= 0) return undefined;
    const rate = records / workedMs;
    const weight = 2 / (samples + 1);
    this.#average =
      this.#average === undefined ? rate : this.#average + weight * (rate - this.#average);
    const batches = this.#channels * CREDITS;
    const wanted = Math.floor((this.#average * targetMs) / batches);
    const size = Math.min(BATCH_SIZE_MAX, Math.max(1, wanted));
    const isSmallChange = Math.abs(size - this.size) < (this.size * thresholdPercentages) / 100;
    const isBound = size === 1 || size === BATCH_SIZE_MAX;
    const changes = size !== this.size && (!isSmallChange || isBound);
    if (changes) this.size = size;
    this.estimatedMs = this.#average === 0 ? 0 : (batches * this.size) / this.#average;
    return changes ? size : undefined;
  }
}

/** Undefined where it is off. */
export function debloatOptions(
  config: Readonly<Record<string, unknown>>,
): DebloatOptions | undefined {
  const of = (name: string): unknown => config[`taskmanager.network.memory.buffer-debloat.${name}`];
  if (of('enabled') !== true) return undefined;
  return {
    targetMs: Number(of('target')),
    periodMs: Number(of('period')),
    samples: Number(of('samples')),
    thresholdPercentages: Number(of('threshold-percentages')),
  };
}
