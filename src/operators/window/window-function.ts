/** What is computed when a window fires, and how its content is kept until then. */
import type { AggregateFunction } from '../../state/descriptor.ts';
import type { Schema } from '../../types/schema.ts';
import type { Collector, DeclaredState, StateDeclaration } from '../functions.ts';
import type { OutputTag } from '../output-tag.ts';
import type { Window } from './window.ts';

export interface ProcessWindowContext<W, WS, GS> {
  readonly window: W;
  readonly currentWatermark: number;
  readonly currentProcessingTime: number;
  /** Of this key and window; cleared by `clear`. */
  readonly windowState: DeclaredState<WS>;
  /** Of this key, over all its windows. */
  readonly globalState: DeclaredState<GS>;
  output<T>(tag: OutputTag<T>, value: T): void;
}

/** Sees the elements of a window, or the one aggregated value when combined with `reduce` or `aggregate`. */
export interface ProcessWindowFunction<
  K,
  In,
  Out,
  W extends Window = Window,
  WS extends StateDeclaration = Record<never, never>,
  GS extends StateDeclaration = Record<never, never>,
> {
  readonly windowState?: WS;
  readonly globalState?: GS;
  process(
    key: K,
    context: ProcessWindowContext<W, WS, GS>,
    elements: readonly In[],
    out: Collector<Out>,
  ): void;
  /** The window is gone: clear its `windowState`. */
  clear?(context: ProcessWindowContext<W, WS, GS>): void;
}

/** The short form: one result for each firing, made of what the window holds (its elements, or the folded value). */
export type WindowFunction<K, In, Out, W extends Window = Window> = (
  key: K,
  window: W,
  content: In,
) => Out;

export type AnyProcessWindowFunction = ProcessWindowFunction<
  unknown,
  unknown,
  unknown,
  Window,
  StateDeclaration,
  StateDeclaration
>;

/** How the content of a window is kept. */
export type WindowContent =
  | { readonly kind: 'list'; readonly schema: Schema<unknown> }
  | {
      readonly kind: 'reduce';
      readonly schema: Schema<unknown>;
      readonly reduce: (a: unknown, b: unknown) => unknown;
    }
  | {
      readonly kind: 'aggregate';
      readonly schema: Schema<unknown>;
      readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
    };
