/** A stream meets a broadcast one: its records read the broadcast state, the broadcast side's write it in every subtask. */
import type { RecordGate } from '../state/async-execution-controller.ts';
import type { BroadcastState } from '../state/operator-state.ts';
import type { RecordBatch } from '../types/record-batch.ts';
import { NO_TIMESTAMP } from '../types/record-batch.ts';
import type { OperatorContext, TwoInputOperator } from './contract.ts';
import type {
  BroadcastDescriptor,
  BroadcastProcessFunction,
  DeclaredState,
  KeyedBroadcastProcessFunction,
  StateDeclaration,
} from './functions.ts';
import { type AnyKeySelector, KeyedShellContext } from './keyed-shell.ts';
import { KeyedTwoInput } from './keyed-two-input.ts';
import { OperatorShell, ShellContext } from './operator-shell.ts';
import type { PrefetchPlan } from './prefetch.ts';
import { userCodeError } from './user-code-error.ts';

type AnyDescriptor = BroadcastDescriptor<unknown, unknown>;

const broadcastOf = (
  context: OperatorContext,
  { name, keySchema, valueSchema }: AnyDescriptor,
): BroadcastState<unknown, unknown> =>
  context.operatorState.getBroadcastState(name, keySchema, valueSchema);

class BroadcastContext extends ShellContext {
  readonly broadcast: BroadcastState<unknown, unknown>;
  constructor(shell: OperatorShell, broadcast: BroadcastState<unknown, unknown>) {
    super(shell);
    this.broadcast = broadcast;
  }
}

export class BroadcastProcessOperator implements TwoInputOperator {
  readonly #user: BroadcastProcessFunction<unknown, unknown, unknown, unknown, unknown>;
  readonly #descriptor: AnyDescriptor;
  #shell!: OperatorShell;
  #context!: BroadcastContext;

  constructor(
    user: BroadcastProcessFunction<unknown, unknown, unknown, unknown, unknown>,
    descriptor: AnyDescriptor,
  ) {
    this.#user = user;
    this.#descriptor = descriptor;
  }

  open(context: OperatorContext): void {
    this.#shell = new OperatorShell(context);
    this.#context = new BroadcastContext(this.#shell, broadcastOf(context, this.#descriptor));
    this.#user.open?.();
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.#each(batch, (value) => this.#user.processElement(value, this.#context, this.#shell.out));
  }

  processBatch2(batch: RecordBatch<unknown>): void {
    this.#each(batch, (value) =>
      this.#user.processBroadcastElement(value, this.#context, this.#shell.out),
    );
  }

  processWatermark(watermark: number): void {
    this.#shell.forwardWatermark(watermark);
  }

  processWatermarkStatus(idle: boolean): void {
    this.#shell.forwardStatus(idle);
  }

  close(): void {
    this.#user.close?.();
  }

  #each({ values, timestamps }: RecordBatch<unknown>, process: (value: unknown) => void): void {
    let i = 0;
    try {
      for (; i < values.length; i++) {
        this.#context.timestamp = timestamps === null ? NO_TIMESTAMP : timestamps[i]!;
        this.#shell.out.timestamp = this.#context.timestamp;
        process(values[i]);
      }
    } catch (cause) {
      throw userCodeError(cause, this.#shell.culprit, { recordIndex: i });
    }
    this.#shell.flush();
  }
}

const sliceOf = (
  { values, timestamps }: RecordBatch<unknown>,
  start: number,
  end: number,
): RecordBatch<unknown> => ({
  values: values.slice(start, end),
  timestamps: timestamps === null ? null : timestamps.slice(start, end),
});

class KeyedBroadcastContext extends KeyedShellContext<StateDeclaration> {
  broadcast!: BroadcastState<unknown, unknown>;

  /** A visit to all keys that has to wait for state; until it is over, nothing else runs. */
  pending: Promise<void> | undefined;

  applyToKeyedState(
    name: string,
    visit: (key: unknown, state: DeclaredState<StateDeclaration>) => void,
  ): void {
    const run = (): void | Promise<void> =>
      this.keyed.applyToAllKeys(name, undefined, (key) => visit(key, this.state));
    const visiting = this.pending === undefined ? run() : this.pending.then(run);
    if (visiting !== undefined) this.pending = visiting;
  }
}

type KeyedUser = KeyedBroadcastProcessFunction<
  unknown,
  unknown,
  unknown,
  unknown,
  unknown,
  unknown,
  StateDeclaration
>;

export class KeyedBroadcastProcessOperator extends KeyedTwoInput {
  readonly #user: KeyedUser;
  readonly #descriptor: AnyDescriptor;
  readonly #keyOf: AnyKeySelector;
  #keyedContext!: KeyedBroadcastContext;
  #plan!: PrefetchPlan<unknown>;
  #waiting: Promise<void> | undefined;

  constructor(user: KeyedUser, descriptor: AnyDescriptor, keyOf: AnyKeySelector) {
    super(user.state);
    this.#user = user;
    this.#descriptor = descriptor;
    this.#keyOf = keyOf;
  }

  override open(context: OperatorContext): void {
    super.open(context);
    this.#keyedContext.broadcast = broadcastOf(context, this.#descriptor);
    this.#plan = this.#keyedContext.plan();
    this.#user.open?.();
  }

  prepareBatch1(batch: RecordBatch<unknown>, gate: RecordGate): void {
    this.prepareEach(batch, { keyOf: this.#keyOf, plan: this.#plan, gate });
  }

  get blocked(): boolean {
    return this.#waiting !== undefined;
  }

  /** The barrier comes after what came before it. */
  async prepareSnapshot(): Promise<void> {
    while (this.#waiting !== undefined) await this.#waiting;
  }

  processBatch1(batch: RecordBatch<unknown>): void {
    this.each(batch, this.#keyOf, (value) =>
      this.#user.processElement(value, this.#keyedContext, this.shell.out),
    );
  }

  /** An element whose visit to all keys has to wait holds up those after it. */
  processBatch2(batch: RecordBatch<unknown>): void {
    for (let i = 0; i < batch.values.length; i++) {
      this.each(sliceOf(batch, i, i + 1), undefined, (value) =>
        this.#user.processBroadcastElement(value, this.#keyedContext, this.shell.out),
      );
      const { pending } = this.#keyedContext;
      if (pending === undefined) continue;
      this.#wait(pending, sliceOf(batch, i + 1, batch.values.length));
      return;
    }
  }

  #wait(pending: Promise<void>, rest: RecordBatch<unknown>): void {
    const { context } = this.shell;
    const waiting = pending.then(
      () => {
        if (this.#waiting === waiting) this.#waiting = undefined;
        this.#keyedContext.pending = undefined;
        this.processBatch2(rest);
        context.mailbox(() => {});
      },
      (error: unknown) => {
        this.#waiting = undefined;
        context.fail(userCodeError(error, this.shell.culprit, {}));
      },
    );
    this.#waiting = waiting;
  }

  close(): void {
    this.#user.close?.();
  }

  protected onTimer(timestamp: number): unknown {
    return this.#user.onTimer?.(timestamp, this.#keyedContext, this.shell.out);
  }

  protected override createContext(
    shell: OperatorShell,
    declaration: StateDeclaration | undefined,
  ): KeyedShellContext<StateDeclaration> {
    this.#keyedContext = new KeyedBroadcastContext(shell, declaration, this);
    return this.#keyedContext;
  }
}
