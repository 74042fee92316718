import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { RecordBatch } from '../types/record-batch.ts';
import {
  AsyncExecutionController,
  type ControllerTarget,
  type LoadGroup,
} from './async-execution-controller.ts';
import type { InputNumber, LeftOut } from './waiting-keys.ts';

type Value = readonly [key: string, sequence: number];

/** An operator with one entry of state by key, and a log of what it did. */
class Keyed implements ControllerTarget<string> {
  readonly log: string[] = [];
  readonly near = new Set<string>();
  readonly oneByOne: boolean = false;
  missing = new Set<string>();
  open = true;
  marker: 'done' | 'more' | 'load' = 'done';
  /** Leaves out what keeps records of one key in order. */
  forgetsOrder = false;

  prepare(
    input: InputNumber,
    { values }: RecordBatch<unknown>,
    gate: Parameters<ControllerTarget<string>['prepare']>[2],
  ): void {
    if (input === 2) return;
    values.forEach((value, i) => {
      const [key, sequence] = value as Value; // batches of this test hold these
      const ready = this.near.has(key);
      if (!ready) this.missing.add(key);
      const told = this.forgetsOrder ? `${key}#${sequence}` : key;
      if (!ready || gate.attentive) gate.record(i, told, ready);
    });
  }

  process(input: InputNumber, { values }: RecordBatch<unknown>): void {
    for (const value of values) {
      const [key, sequence] = value as Value; // as above
      if (input === 1) assert.ok(this.near.has(key), `${key} is processed without its state`);
      this.log.push(`${key}${sequence}`);
    }
  }

  available(): boolean {
    return this.open;
  }

  bytesPerRecord(): number {
    return 10;
  }

  apply(marker: string): ReturnType<ControllerTarget<string>['apply']> {
    if (this.marker === 'done') this.log.push(marker);
    return this.marker;
  }

  arrive(keys: Iterable<string>): void {
    for (const key of keys) this.near.add(key);
  }
}

const batch = (...values: readonly Value[]): RecordBatch<unknown> => ({ values, timestamps: null });

const controllerOf = (target: Keyed, inFlightMax = 100): AsyncExecutionController<string> =>
  new AsyncExecutionController(target, { inFlightMax, bytesInFlightMax: 1e6 }, (key) => key);

function load(controller: AsyncExecutionController<string>, target: Keyed): void {
  const group = controller.beginLoad();
  target.arrive(target.missing);
  target.missing.clear();
  controller.endLoad(group);
}

describe('the execution controller', () => {
  test('lets others pass while one key waits, and keeps the order of that key', () => {
    const target = new Keyed();
    target.arrive(['b']);
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1], ['b', 1], ['a', 2]));
    target.arrive(['a']);
    controller.offer(1, batch(['a', 3], ['b', 2]));
    assert.deepEqual(target.log, ['b1', 'b2']);
    assert.equal(controller.inFlight, 3);
    assert.equal(controller.blockedKeys, 1);
    load(controller, target);
    assert.equal(controller.step(), true);
    assert.deepEqual(target.log, ['b1', 'b2', 'a1', 'a2', 'a3']);
    assert.equal(controller.idle, true);
  });

  test('a marker waits for the records before it, and those after it wait for the marker but are prepared', () => {
    const target = new Keyed();
    target.arrive(['b']);
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1]));
    controller.offerMarker('W');
    controller.step();
    controller.offer(1, batch(['b', 1], ['c', 1]));
    assert.deepEqual(target.log, []);
    assert.ok(target.missing.has('c'), 'is prepared meanwhile');
    load(controller, target);
    controller.step();
    assert.deepEqual(target.log, ['a1', 'W', 'b1', 'c1']);
  });

  test('a marker that needs state is applied again when a load for it has ended, not another one', () => {
    const target = new Keyed();
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1]));
    const earlier = controller.beginLoad();
    target.arrive(['a']);
    controller.endLoad(earlier);
    target.marker = 'load';
    controller.offerMarker('W');
    controller.step();
    assert.equal(controller.urgent, 'noted');
    const group = controller.beginLoad();
    target.marker = 'done';
    assert.equal(controller.step(), false);
    assert.deepEqual(target.log, ['a1']);
    controller.endLoad(group);
    controller.step();
    assert.deepEqual(target.log, ['a1', 'W']);
  });

  for (const limits of [
    { inFlightMax: 2, bytesInFlightMax: 1e6 },
    { inFlightMax: 100, bytesInFlightMax: 20 },
  ]) {
    test(`is full at its limit: ${JSON.stringify(limits)}`, () => {
      const target = new Keyed();
      const controller = new AsyncExecutionController(target, limits, (key) => key);
      controller.offer(1, batch(['a', 1]));
      assert.equal(controller.full, false);
      controller.offer(1, batch(['b', 1]));
      assert.equal(controller.full, true);
      assert.equal(controller.lackingKeys, 2);
      load(controller, target);
      controller.step();
      assert.equal(controller.full, false);
      controller.offerMarker('W');
      target.open = false;
      controller.offer(1, batch(['a', 2], ['a', 3]));
      assert.equal(controller.full, true, 'what is held counts too');
    });
  }

  test('does not evict while a key is found lacking again and again', () => {
    const target = new Keyed();
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1]));
    for (let round = 0; round < 4; round++) {
      assert.equal(controller.mayTrim, round < 3, `round ${round}`);
      controller.endLoad(controller.beginLoad());
      controller.step();
    }
    assert.equal(controller.mayTrim, false);
    load(controller, target);
    controller.step();
    assert.equal(controller.mayTrim, true);
  });

  test('does not evict what may run', () => {
    const target = new Keyed();
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1]));
    assert.equal(controller.needs('a'), false, 'while it waits');
    load(controller, target);
    assert.equal(controller.needs('a'), true);
    controller.step();
    assert.equal(controller.needs('a'), false);
  });

  test('runs what has completed in portions, and input is wanted beside it, but no more than it needs', () => {
    const target = new Keyed();
    const controller = new AsyncExecutionController(
      target,
      { inFlightMax: 1e6, bytesInFlightMax: 1e9 },
      (key) => key,
    );
    let next = 0;
    const offer = (): void => {
      const values = Array.from({ length: 1024 }, (): Value => [`k${next++}`, 1]);
      controller.offer(1, batch(...values));
    };
    // One load a batch, twenty of them under way: nothing else is to be done until the first ends.
    const loads: LoadGroup[] = [];
    const turn = (): void => {
      if (controller.wantsInput) offer();
      if (controller.lackingKeys > 0) loads.push(controller.beginLoad());
    };
    while (loads.length < 20) turn();
    target.arrive(target.missing);
    for (const group of loads.splice(0)) controller.endLoad(group);
    const flood = controller.inFlight;
    controller.step();
    assert.equal(target.log.length, 1024, 'one portion');
    assert.equal(controller.wantsInput, true, 'as much as has left');
    // From now on five loads are under way at a time: what is beyond them is not needed, and leaves.
    for (let round = 0; round < 100; round++) {
      turn();
      target.arrive(target.missing);
      target.missing.clear();
      if (loads.length > 5) controller.endLoad(loads.shift()!);
      assert.equal(controller.step(), true, `busy in round ${round}`);
    }
    assert.ok(controller.inFlight < flood / 2, `${controller.inFlight} of ${flood} are left`);
  });

  test('says what waits in an order that can be replayed; records without a key are run before', () => {
    const target = new Keyed();
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1], ['b', 1], ['a', 2]));
    controller.offerMarker('W');
    controller.offer(2, batch(['x', 1]));
    controller.offer(1, batch(['a', 3]));
    controller.runUnkeyed();
    assert.deepEqual(target.log, ['x1']);
    const items = controller.waiting();
    assert.deepEqual(
      items.map((item) =>
        item.kind === 'marker' ? item.marker : (item.batch.values as Value[]).map(String),
      ),
      [['a,1', 'a,2', 'b,1'], 'W', ['a,3']],
    );
  });
});

type Event =
  | { readonly kind: 'batch'; readonly keys: readonly number[] }
  | { readonly kind: 'marker' }
  | { readonly kind: 'load' }
  | { readonly kind: 'arrive'; readonly which: number }
  | { readonly kind: 'evict'; readonly key: number }
  | { readonly kind: 'step' };

const KEYS = 4;
const key = fc.nat(KEYS - 1);
const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('batch'), keys: fc.array(key, { minLength: 1, maxLength: 6 }) }),
    fc.record({ kind: fc.constant('marker') }),
    fc.record({ kind: fc.constant('load') }),
    fc.record({ kind: fc.constant('arrive'), which: fc.nat(3) }),
    fc.record({ kind: fc.constant('evict'), key }),
    fc.record({ kind: fc.constant('step') }),
  ) as fc.Arbitrary<Event>,
  { maxLength: 60 },
);

/** Offers what a script says, and keeps what was asked for. */
class Script {
  readonly asked: string[] = [];
  readonly #counts = new Map<string, number>();
  readonly #controller: AsyncExecutionController<string>;

  constructor(controller: AsyncExecutionController<string>) {
    this.#controller = controller;
  }

  offer(keys: readonly number[]): void {
    const values = keys.map((number): Value => {
      const name = `k${number}:`;
      const count = (this.#counts.get(name) ?? 0) + 1;
      this.#counts.set(name, count);
      this.asked.push(`${name}${count}`);
      return [name, count];
    });
    this.#controller.offer(1, batch(...values));
  }

  offerMarker(): void {
    this.asked.push(`marker ${this.asked.length}`);
    this.#controller.offerMarker(this.asked.at(-1)!);
  }
}

/** Plays events, then lets everything end; returns what was done and what was asked for, by epoch. */
function play(
  events: readonly Event[],
  target: Keyed,
): { readonly done: string[]; readonly asked: string[] } {
  const controller = controllerOf(target);
  const script = new Script(controller);
  const loads: { readonly group: LoadGroup; readonly keys: readonly string[] }[] = [];
  const begin = (): void => {
    loads.push({ group: controller.beginLoad(), keys: [...target.missing] });
    target.missing.clear();
  };
  const end = (which: number): void => {
    const [ended] = loads.splice(which % loads.length, 1);
    target.arrive(ended!.keys);
    controller.endLoad(ended!.group);
  };
  for (const event of events) {
    if (event.kind === 'batch') script.offer(event.keys);
    else if (event.kind === 'marker') script.offerMarker();
    else if (event.kind === 'load') begin();
    else if (event.kind === 'arrive' && loads.length > 0) end(event.which);
    else if (event.kind === 'evict') target.near.delete(`k${event.key}:`);
    else controller.step();
  }
  for (let round = 0; !controller.idle; round++) {
    assert.ok(round < 1000, 'comes to an end');
    begin();
    while (loads.length > 0) end(round);
    controller.step();
  }
  return { done: target.log, asked: script.asked };
}

/** By key, with the marker before each record. */
function byKey(log: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  let marker = 'none';
  for (const entry of log) {
    if (entry.startsWith('marker')) {
      marker = entry;
      continue;
    }
    const name = entry.slice(0, entry.indexOf(':'));
    found.set(name, [...(found.get(name) ?? []), `${entry} after ${marker}`]);
  }
  return found;
}

/** With keys that are numbers, asked about as operators do whose records of a key read the same; records that wait are left out. */
class Numbered extends Keyed {
  override prepare(
    _input: InputNumber,
    { values }: RecordBatch<unknown>,
    gate: Parameters<ControllerTarget<string>['prepare']>[2],
  ): void {
    values.forEach((value, i) => {
      const [name, sequence] = value as Value; // batches of this test hold these
      const number = Number(name.slice(1, -1));
      const key = this.forgetsOrder ? number + sequence * KEYS : number;
      if (gate.attentive && gate.waiting.mayHold(key) && gate.joins(i, key)) return;
      const ready = this.near.has(name);
      if (!ready) this.missing.add(name);
      if (!ready || gate.thorough) gate.record(i, key, ready);
    });
  }

  processRest(input: InputNumber, { values }: RecordBatch<unknown>, left: LeftOut): void {
    const places = Array.from(left.indexes).slice(0, left.count);
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
    const rest = values.filter((_, i) => !places.includes(i));
    this.process(input, { values: rest, timestamps: null });
  }
}

describe('whatever order state comes in', () => {
  test('each key sees its records in order and between the same markers as one after another', () => {
    fc.assert(
      fc.property(events, (script) => {
        for (const target of [new Keyed(), new Numbered()]) {
          const { done, asked } = play(script, target);
          assert.equal(done.length, asked.length);
          assert.deepEqual(byKey(done), byKey(asked));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('records of one key that are let pass each other are found', () => {
    for (const open of [() => new Keyed(), () => new Numbered()]) {
      const run = fc.check(
        fc.property(events, (script) => {
          const target = open();
          target.forgetsOrder = true;
          const { done, asked } = play(script, target);
          assert.deepEqual(byKey(done), byKey(asked));
        }),
        // One seed: whether random scripts find it must not depend on luck.
        { numRuns: 5000, seed: 1 },
      );
      assert.equal(run.failed, true);
    }
  });
});

/** The same with functions that go on after they have been called. */
class Suspending extends Keyed {
  override readonly oneByOne: boolean = true;
  readonly under: string[] = [];
  readonly overlaps: string[] = [];
  controller!: AsyncExecutionController<string>;

  override process(_input: InputNumber, { values }: RecordBatch<unknown>): void {
    for (const value of values) {
      const [key, sequence] = value as Value; // batches of this test hold these
      assert.ok(this.near.has(key), `${key} is processed without its state`);
      this.start(key, `${key}${sequence}`);
    }
  }

  /** Of a record, or another function of that key. */
  start(key: string, name: string): void {
    this.controller.begin(key, () => {
      if (this.under.some((other) => other.startsWith(key))) this.overlaps.push(name);
      this.under.push(name);
    });
  }

  endOne(which: number): void {
    if (this.under.length === 0) return;
    const [name] = this.under.splice(which % this.under.length, 1);
    this.log.push(name!);
    this.controller.end(name!.slice(0, name!.indexOf(':') + 1));
  }

  override apply(marker: string): 'done' | 'wait' {
    if (this.under.length > 0) return 'wait';
    this.log.push(marker);
    return 'done';
  }
}

type SuspendedEvent = Event | { readonly kind: 'end'; readonly which: number };

/** With an operator to which markers mean nothing. */
class Overtaking extends Keyed {
  readonly overtakes = true;
}

describe('where markers change nothing', () => {
  test('records that lack nothing pass them, and no marker passes a record', () => {
    fc.assert(
      fc.property(events, (script) => {
        const { done, asked } = play(script, new Overtaking());
        const orderOf = (log: readonly string[]): unknown =>
          Object.entries(
            Object.groupBy(log, (entry) => entry.split(':')[0]!.split(' ')[0]!),
          ).toSorted();
        assert.deepEqual(orderOf(done), orderOf(asked));
        for (const [i, entry] of asked.entries()) {
          if (!entry.startsWith('marker')) continue;
          const before = new Set(done.slice(0, done.indexOf(entry)));
          for (const earlier of asked.slice(0, i))
            assert.ok(before.has(earlier), `${earlier} is behind ${entry}`);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('others run while one waits before a marker', () => {
    const target = new Overtaking();
    target.arrive(['b']);
    const controller = controllerOf(target);
    controller.offer(1, batch(['a', 1]));
    controller.offerMarker('W');
    controller.offer(1, batch(['b', 1], ['a', 2]));
    assert.deepEqual(target.log, ['b1']);
    load(controller, target);
    controller.step();
    assert.deepEqual(target.log, ['b1', 'a1', 'a2', 'W']);
  });
});

describe('whatever order functions end in', () => {
  const suspended: fc.Arbitrary<SuspendedEvent[]> = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant('batch'),
        keys: fc.array(key, { minLength: 1, maxLength: 6 }),
      }),
      fc.record({ kind: fc.constantFrom('marker', 'load', 'step') }),
      fc.record({ kind: fc.constant('evict'), key }),
      fc.record({ kind: fc.constant('end'), which: fc.nat(5) }),
    ) as fc.Arbitrary<SuspendedEvent>,
    { maxLength: 60 },
  );

  test('one runs at a time of each key, in order, and none across a marker', () => {
    fc.assert(
      fc.property(suspended, (sequence) => {
        const target = new Suspending();
        const controller = controllerOf(target);
        target.controller = controller;
        const script = new Script(controller);
        for (const event of sequence) {
          if (event.kind === 'batch') script.offer(event.keys);
          else if (event.kind === 'marker') script.offerMarker();
          else if (event.kind === 'load') load(controller, target);
          else if (event.kind === 'end') target.endOne(event.which);
          else if (event.kind === 'evict' && !controller.needs(`k${event.key}:`))
            target.near.delete(`k${event.key}:`);
          else controller.step();
        }
        for (let round = 0; !controller.idle; round++) {
          assert.ok(round < 2000, 'comes to an end');
          load(controller, target);
          controller.step();
          target.endOne(round);
        }
        assert.deepEqual(target.overlaps, []);
        assert.deepEqual(byKey(target.log), byKey(script.asked));
      }),
      { numRuns: 500 },
    );
  });

  test('one that ends before it returns lets the next record of its key run', () => {
    const target = new Suspending();
    const controller = controllerOf(target);
    target.controller = controller;
    target.start = (key, name) => {
      controller.begin(key, () => {
        target.log.push(name);
        controller.end(key);
      });
    };
    controller.offer(1, batch(['k:', 1], ['k:', 2], ['j:', 1]));
    load(controller, target);
    while (controller.step());
    assert.deepEqual(target.log, ['k:1', 'j:1', 'k:2']);
    assert.equal(controller.idle, true);
    assert.equal(controller.blockedKeys, 0);
  });

  test('a function that is no record’s follows the one under way, and records follow it', () => {
    const target = new Suspending();
    const controller = controllerOf(target);
    target.controller = controller;
    target.arrive(['k:']);
    controller.offer(1, batch(['k:', 1], ['k:', 2]));
    target.start('k:', 'k:timer');
    assert.deepEqual(target.under, ['k:1']);
    assert.equal(controller.running, 2);
    controller.step();
    target.endOne(0);
    assert.deepEqual(target.under, ['k:timer']);
    controller.step();
    target.endOne(0);
    controller.step();
    assert.deepEqual(target.under, ['k:2']);
    target.endOne(0);
    assert.deepEqual(target.log, ['k:1', 'k:timer', 'k:2']);
    assert.equal(controller.idle, true);
  });
});
