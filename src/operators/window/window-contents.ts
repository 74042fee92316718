/** What windows hold: a list of elements, or one folded value, per key and window. */
import type { KeyedStateBackend, Namespaced } from '../../state/keyed-state-backend.ts';
import {
  aggregatingState,
  type AggregatingState,
  listState,
  type ListState,
  reducingState,
} from '../../state/descriptor.ts';
import { t } from '../../types/t.ts';
import type { AnyWindowAssigner } from './assigner.ts';
import type { Evictor, TimestampedValue } from './evictor.ts';
import type { WindowContent } from './window-function.ts';
import type { Window } from './window.ts';

interface ContentParams {
  readonly assigner: AnyWindowAssigner;
  readonly content: WindowContent;
  readonly evictor?: Evictor<unknown>;
}

type Elements = ListState<unknown> & Namespaced<unknown>;
type Folded = Pick<AggregatingState<unknown, unknown>, 'get' | 'add' | 'clear'> &
  Namespaced<unknown>;

const CONTENT = 'window-contents';

export class WindowContents {
  readonly #evictor: Evictor<unknown> | undefined;
  readonly #list: Elements | undefined;
  readonly #folded: Folded | undefined;

  constructor(keyed: KeyedStateBackend, { assigner, content, evictor }: ContentParams) {
    this.#evictor = evictor;
    const { schema } = assigner.windows;
    if (content.kind === 'list') {
      const element =
        evictor === undefined
          ? content.schema
          : t.struct({ value: content.schema, timestamp: t.double() });
      this.#list = keyed.getNamespacedState(CONTENT, listState(element), schema);
    } else if (content.kind === 'reduce') {
      this.#folded = keyed.getNamespacedState(
        CONTENT,
        reducingState(content.schema, content.reduce),
        schema,
      );
    } else {
      this.#folded = keyed.getNamespacedState(
        CONTENT,
        aggregatingState(content.schema, content.aggregate),
        schema,
      );
    }
  }

  get exists(): boolean {
    return (this.#list ?? this.#folded!).exists;
  }

  select(namespace: unknown): void {
    (this.#list ?? this.#folded!).setNamespace(namespace);
  }

  /** Whether what the selected window holds can be read. */
  prepare(): boolean {
    return (this.#list ?? this.#folded!).prepare();
  }

  /** Whether it can be added to. */
  prepareAdd(): boolean {
    return (this.#list ?? this.#folded!).prepareAdd();
  }

  add(value: unknown, timestamp: number): void {
    if (this.#folded !== undefined) this.#folded.add(value);
    else this.#list!.add(this.#evictor === undefined ? value : { value, timestamp });
  }

  merge(target: unknown, sources: readonly unknown[]): void {
    (this.#list ?? this.#folded!).mergeNamespaces(target, sources);
  }

  clear(): void {
    (this.#list ?? this.#folded!).clear();
  }

  /** The elements for the window function, or the one folded value. */
  evictBefore(window: Window): readonly unknown[] {
    if (this.#folded !== undefined) return [this.#folded.get()];
    // A copy: the list grows on if the window stays, and the function may have emitted what it was given.
    if (this.#evictor === undefined) return this.#list!.get().slice();
    const all = this.#list!.get() as readonly TimestampedValue<unknown>[]; // written by add, with an evictor
    const kept = this.#evictor.evictBefore(all, window);
    if (kept.length !== all.length) this.#list!.update(kept);
    return kept.map(({ value }) => value);
  }

  evictAfter(window: Window): void {
    if (this.#evictor === undefined) return;
    const all = this.#list!.get() as readonly TimestampedValue<unknown>[]; // as above
    const kept = this.#evictor.evictAfter(all, window);
    if (kept.length !== all.length) this.#list!.update(kept);
  }
}
