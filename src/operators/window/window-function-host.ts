/** Runs a process-window function: its context and its states. */
import type {
  InternalTimerService,
  KeyedStateBackend,
  Namespaced,
} from '../../state/keyed-state-backend.ts';
import type { DeclaredState, StateDeclaration } from '../functions.ts';
import { declareStates, prepareAll } from '../keyed-shell.ts';
import { refuseAwaited } from '../prefetch.ts';
import type { OperatorShell } from '../operator-shell.ts';
import type { OutputTag } from '../output-tag.ts';
import type { AnyProcessWindowFunction, ProcessWindowContext } from './window-function.ts';
import type { Window, WindowKind } from './window.ts';

export class WindowFunctionHost implements ProcessWindowContext<
  Window,
  StateDeclaration,
  StateDeclaration
> {
  readonly #keyed: KeyedStateBackend;
  readonly #kind: WindowKind<Window>;
  readonly #function: AnyProcessWindowFunction;
  readonly #shell: OperatorShell;
  readonly #windowStates: readonly Namespaced<unknown>[];
  readonly #globalStates: readonly Namespaced<unknown>[];
  readonly windowState: DeclaredState<StateDeclaration>;
  readonly globalState: DeclaredState<StateDeclaration>;
  readonly #timers: Pick<InternalTimerService<unknown>, 'currentWatermark'>;
  window!: Window;

  constructor(params: {
    keyed: KeyedStateBackend;
    kind: WindowKind<Window>;
    window: AnyProcessWindowFunction;
    shell: OperatorShell;
    timers: Pick<InternalTimerService<unknown>, 'currentWatermark'>;
  }) {
    this.#timers = params.timers;
    this.#keyed = params.keyed;
    this.#kind = params.kind;
    this.#function = params.window;
    this.#shell = params.shell;
    const states: Record<string, Namespaced<unknown>> = {};
    for (const [name, descriptor] of Object.entries(params.window.windowState ?? {})) {
      refuseAwaited(name, descriptor);
      states[name] = params.keyed.getNamespacedState(
        `window-${name}`,
        descriptor,
        params.kind.schema,
      );
    }
    this.#windowStates = Object.values(states);
    this.windowState = states as unknown as DeclaredState<StateDeclaration>; // the backend returned the StateOf each descriptor
    this.globalState = declareStates(params.keyed, params.window.globalState);
    this.#globalStates = Object.values(this.globalState) as unknown as Namespaced<unknown>[]; // getState returns them so
  }

  get currentWatermark(): number {
    // The shell's has not yet advanced while this watermark's timers fire.
    return this.#timers.currentWatermark;
  }

  get currentProcessingTime(): number {
    return this.#shell.context.processingTime.now();
  }

  output<T>(tag: OutputTag<T>, value: T): void {
    this.#shell.emitSide(tag as OutputTag<unknown>, value, this.window.maxTimestamp); // a tag's schema accepts what it types
  }

  /** Whether it has states, which `prepare` is about. */
  get prepares(): boolean {
    return this.#windowStates.length + this.#globalStates.length > 0;
  }

  /** Whether the function's states of a window and of the key are resident. */
  prepare(window: Window): boolean {
    this.#select(window);
    const ready = prepareAll(this.#windowStates);
    return prepareAll(this.#globalStates) && ready;
  }

  process(window: Window, elements: readonly unknown[]): void {
    this.#select(window);
    this.#function.process(this.#keyed.currentKey, this, elements, this.#shell.out);
  }

  /** Whether windows must be told that they are gone. */
  get clears(): boolean {
    return this.#function.clear !== undefined;
  }

  clear(window: Window): void {
    if (this.#function.clear === undefined) return;
    this.#select(window);
    this.#function.clear(this);
  }

  #select(window: Window): void {
    this.window = window;
    if (this.#windowStates.length === 0) return;
    const namespace = this.#kind.toNamespace(window);
    for (const state of this.#windowStates) state.setNamespace(namespace);
  }
}
