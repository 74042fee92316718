/**
 * What operators with user functions share: the emitter, side outputs, the watermark they have seen, and the context object that user code
 * is given, reused for every record.
 */
import { MIN_WATERMARK, NO_TIMESTAMP } from '../types/record-batch.ts';
import type { OperatorContext } from './contract.ts';
import type { FunctionContext } from './functions.ts';
import type { OutputTag } from './output-tag.ts';
import { RecordEmitter } from './record-emitter.ts';
import { type Culprit, culpritOf } from './user-code-error.ts';

export class OperatorShell {
  readonly context: OperatorContext;
  readonly out: RecordEmitter<unknown>;
  readonly culprit: Culprit;
  readonly #sides = new Map<string, RecordEmitter<unknown>>();
  watermark = MIN_WATERMARK;

  constructor(context: OperatorContext) {
    this.context = context;
    this.out = new RecordEmitter(context.output);
    this.culprit = culpritOf(context);
  }

  side(tag: OutputTag<unknown>): RecordEmitter<unknown> {
    let emitter = this.#sides.get(tag.id);
    if (emitter === undefined) {
      emitter = new RecordEmitter(this.context.sideOutput(tag.id));
      this.#sides.set(tag.id, emitter);
    }
    return emitter;
  }

  emitSide(tag: OutputTag<unknown>, value: unknown, timestamp: number): void {
    const emitter = this.side(tag);
    emitter.timestamp = timestamp;
    emitter.collect(value);
  }

  flush(): void {
    this.out.flush();
    for (const side of this.#sides.values()) side.flush();
  }

  forwardWatermark(watermark: number): void {
    this.flush();
    this.watermark = watermark;
    this.context.output.emitWatermark(watermark);
  }

  forwardStatus(idle: boolean): void {
    this.flush();
    this.context.output.emitWatermarkStatus(idle);
  }
}

/** The context of functions without keyed state. */
export class ShellContext implements FunctionContext {
  protected readonly shell: OperatorShell;
  timestamp = NO_TIMESTAMP;

  constructor(shell: OperatorShell) {
    this.shell = shell;
  }

  get currentWatermark(): number {
    return this.shell.watermark;
  }

  get currentProcessingTime(): number {
    return this.shell.context.processingTime.now();
  }

  output<T>(tag: OutputTag<T>, value: T): void {
    this.shell.emitSide(tag as OutputTag<unknown>, value, this.timestamp); // a tag's schema accepts what it types
  }
}
