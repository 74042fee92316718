/** Window joins: what two streams have for one key and window. */
import type { Duration } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import type { Collector } from '../operators/functions.ts';
import type { WindowAssigner } from '../operators/window/assigner.ts';
import type { Trigger } from '../operators/window/trigger.ts';
import type { TimeWindow, Window } from '../operators/window/window.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import type { DataStream, SingleOutputStreamOperator } from './data-stream.ts';
import { KeyedStream } from './keyed-stream.ts';
import { type Key, keyBySelector } from './keying.ts';

/** A record of either side, while both are in one window. */
interface Tagged {
  readonly left?: unknown;
  readonly right?: unknown;
}

interface Sides<A, B, K> {
  readonly left: DataStream<A>;
  readonly right: DataStream<B>;
  // Methods, so that streams of a type are streams of its supertypes.
  leftKey?(value: A): K;
  rightKey?(value: B): K;
  readonly keySchema?: Schema<K>;
}

/** `a.join(b)` or `a.coGroup(b)`, waiting for keys and window: `.where(...).equalTo(...).window(...)`. */
export class JoinedStreams<A, B, K = unknown> {
  readonly #sides: Sides<A, B, K>;

  constructor(sides: Sides<A, B, K>) {
    this.#sides = sides;
  }

  where<NK extends Key>(leftKey: (value: A) => NK): JoinedStreams<A, B, NK>;
  where<NK>(leftKey: (value: A) => NoInfer<NK>, keySchema: Schema<NK>): JoinedStreams<A, B, NK>;
  where<NK>(leftKey: (value: A) => NK, keySchema?: Schema<NK>): JoinedStreams<A, B, NK> {
    const { left, right } = this.#sides;
    return new JoinedStreams<A, B, NK>({
      left,
      right,
      leftKey,
      ...(keySchema === undefined ? {} : { keySchema }),
    });
  }

  equalTo(rightKey: (value: B) => K): JoinedStreams<A, B, K> {
    return new JoinedStreams<A, B, K>({ ...this.#sides, rightKey });
  }

  window(assigner: WindowAssigner<unknown, TimeWindow>): WindowedJoin<A, B, K> {
    return new WindowedJoin(this.#tagged(), assigner);
  }

  /** Both sides as one stream of tagged records, by key. */
  #tagged(): KeyedStream<Tagged, K> {
    const { left, right, leftKey, rightKey, keySchema } = this.#sides;
    if (leftKey === undefined || rightKey === undefined)
      throw invalid(
        'JOIN_WITHOUT_KEYS',
        'a window join needs .where(leftKey).equalTo(rightKey) before .window',
      );
    const schema = t.struct({
      left: t.optional((left.schema ?? t.generic()) as Schema<unknown>),
      right: t.optional((right.schema ?? t.generic()) as Schema<unknown>),
    }) as unknown as Schema<Tagged>; // the same two optional fields
    const lefts = left
      .map((value): Tagged => ({ left: value, right: undefined }), schema)
      .name('left');
    const rights = right
      .map((value): Tagged => ({ left: undefined, right: value }), schema)
      .name('right');
    const keyOf = ({ left: a, right: b }: Tagged): K =>
      a === undefined ? rightKey(b as B) : leftKey(a as A); // tagged above
    return new KeyedStream<Tagged, K>(lefts.union(rights), keyBySelector(keyOf, keySchema));
  }
}

export class WindowedJoin<A, B, K> {
  readonly #keyed: KeyedStream<Tagged, K>;
  readonly #assigner: WindowAssigner<unknown, TimeWindow>;
  #trigger: Trigger<unknown, Window> | undefined;
  #lateness: Duration = 0;

  constructor(keyed: KeyedStream<Tagged, K>, assigner: WindowAssigner<unknown, TimeWindow>) {
    this.#keyed = keyed;
    this.#assigner = assigner;
  }

  trigger(trigger: Trigger<unknown, Window>): this {
    this.#trigger = trigger;
    return this;
  }

  allowedLateness(lateness: Duration): this {
    this.#lateness = lateness;
    return this;
  }

  /** One result for each pair of records of a key that share a window (inner join). */
  apply<O>(join: (left: A, right: B) => O, schema?: Schema<O>): SingleOutputStreamOperator<O> {
    return this.coGroup((lefts, rights, out) => {
      for (const left of lefts) for (const right of rights) out.collect(join(left, right));
    }, schema).name('window-join');
  }

  /** Sees both sides of a window at once, either of which may be empty: outer joins are made with this. */
  coGroup<O>(
    coGroup: (lefts: readonly A[], rights: readonly B[], out: Collector<O>) => void,
    schema?: Schema<O>,
  ): SingleOutputStreamOperator<O> {
    const windowed = this.#keyed.window(this.#assigner).allowedLateness(this.#lateness);
    if (this.#trigger !== undefined) windowed.trigger(this.#trigger);
    return windowed
      .process<O>(
        {
          process(_key, _context, elements, out) {
            const lefts: A[] = [];
            const rights: B[] = [];
            for (const { left, right } of elements) {
              if (left === undefined) rights.push(right as B); // tagged by side
              else lefts.push(left as A);
            }
            coGroup(lefts, rights, out);
          },
        },
        schema,
      )
      .name('co-group');
  }
}
