/**
 * One watermark and one status out of many channels (Flink's StatusWatermarkValve).
 *
 * The watermark is the minimum over the *aligned* channels: the active ones, but one that was idle counts again only when it has caught
 * up with what was emitted. When the last active channel goes idle, what the idle ones knew more is emitted first.
 */
import { MIN_WATERMARK } from '../types/record-batch.ts';

interface ChannelTime {
  watermark: number;
  active: boolean;
  aligned: boolean;
}

export interface ValveOutput {
  watermark(watermark: number): void;
  status(idle: boolean): void;
}

export class StatusWatermarkValve {
  readonly #channels: readonly ChannelTime[];
  readonly #output: ValveOutput;
  #emitted = MIN_WATERMARK;
  #idle = false;

  constructor(channels: number, output: ValveOutput) {
    this.#channels = Array.from({ length: channels }, () => ({
      watermark: MIN_WATERMARK,
      active: true,
      aligned: true,
    }));
    this.#output = output;
  }

  onWatermark(channel: number, watermark: number): void {
    const time = this.#channels[channel]!;
    if (!time.active || watermark <= time.watermark) return;
    time.watermark = watermark;
    if (!time.aligned && watermark >= this.#emitted) time.aligned = true;
    this.#emitMinimum();
  }

  onStatus(channel: number, idle: boolean): void {
    const time = this.#channels[channel]!;
    if (idle === !time.active) return;
    if (idle) this.#onIdle(time);
    else this.#onActive(time);
  }

  /** What the channel has told so far. */
  timeOf(channel: number): { readonly watermark: number; readonly idle: boolean } {
    const { watermark, active } = this.#channels[channel]!;
    return { watermark, idle: !active };
  }

  get emitted(): number {
    return this.#emitted;
  }

  #onIdle(time: ChannelTime): void {
    time.active = false;
    time.aligned = false;
    if (this.#channels.some(({ active }) => active)) {
      if (time.watermark === this.#emitted) this.#emitMinimum();
      return;
    }
    if (time.watermark === this.#emitted)
      this.#emit(Math.max(...this.#channels.map(({ watermark }) => watermark)));
    this.#idle = true;
    this.#output.status(true);
  }

  #onActive(time: ChannelTime): void {
    time.active = true;
    time.aligned = time.watermark >= this.#emitted;
    if (!this.#idle) return;
    this.#idle = false;
    this.#output.status(false);
  }

  #emitMinimum(): void {
    let minimum = Number.POSITIVE_INFINITY;
    let any = false;
    for (const { aligned, watermark } of this.#channels) {
      if (!aligned) continue;
      any = true;
      if (watermark < minimum) minimum = watermark;
    }
    if (any) this.#emit(minimum);
  }

  #emit(watermark: number): void {
    if (watermark <= this.#emitted) return;
    this.#emitted = watermark;
    this.#output.watermark(watermark);
  }
}
