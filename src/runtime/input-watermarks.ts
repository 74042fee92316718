/**
 * Time of a task's whole input: a valve over the channels of each input of the head operator, and the minimum over two inputs
 * (Flink's CombinedWatermarkStatus).
 *
 * The two levels differ on purpose. Within an input, a channel that returns from idleness behind the others is not waited for until it has
 * caught up. Between inputs, one that returns holds the watermark again at once.
 */
import { MIN_WATERMARK } from '../types/record-batch.ts';
import { StatusWatermarkValve, type ValveOutput } from './status-watermark-valve.ts';

interface InputTime {
  readonly valve: StatusWatermarkValve;
  watermark: number;
  idle: boolean;
}

export class InputWatermarks {
  readonly #inputs: readonly InputTime[];
  /** Of each channel: its input, and its index within the input's valve. */
  readonly #places: readonly { readonly time: InputTime; readonly index: number }[];
  readonly #output: ValveOutput;
  #combined = MIN_WATERMARK;
  #idle = false;

  /** @param inputs the input, 1 or 2, of each channel. */
  constructor(inputs: readonly (1 | 2)[], output: ValveOutput) {
    this.#output = output;
    const times = new Map<1 | 2, InputTime>();
    for (const input of new Set(inputs)) {
      const count = inputs.filter((other) => other === input).length;
      times.set(input, this.#createInput(count));
    }
    const counts = new Map<1 | 2, number>();
    this.#inputs = [...times.values()];
    this.#places = inputs.map((input) => {
      const index = counts.get(input) ?? 0;
      counts.set(input, index + 1);
      return { time: times.get(input)!, index };
    });
  }

  /** The last watermark given out. */
  get watermark(): number {
    return this.#combined;
  }

  onWatermark(channel: number, watermark: number): void {
    const { time, index } = this.#places[channel]!;
    time.valve.onWatermark(index, watermark);
  }

  onStatus(channel: number, idle: boolean): void {
    const { time, index } = this.#places[channel]!;
    time.valve.onStatus(index, idle);
  }

  /** What a channel has told so far. */
  timeOf(channel: number): { readonly watermark: number; readonly idle: boolean } {
    const { time, index } = this.#places[channel]!;
    return time.valve.timeOf(index);
  }

  #createInput(channels: number): InputTime {
    const time: InputTime = {
      valve: new StatusWatermarkValve(channels, {
        watermark: (watermark) => {
          time.watermark = watermark;
          this.#update();
        },
        status: (idle) => {
          time.idle = idle;
          this.#update();
          this.#updateStatus();
        },
      }),
      watermark: MIN_WATERMARK,
      idle: false,
    };
    return time;
  }

  #update(): void {
    let minimum = Number.POSITIVE_INFINITY;
    let any = false;
    for (const { idle, watermark } of this.#inputs) {
      if (idle) continue;
      any = true;
      if (watermark < minimum) minimum = watermark;
    }
    if (!any || minimum <= this.#combined) return;
    this.#combined = minimum;
    this.#output.watermark(minimum);
  }

  #updateStatus(): void {
    const idle = this.#inputs.every((input) => input.idle);
    if (idle === this.#idle) return;
    this.#idle = idle;
    this.#output.status(idle);
  }
}
