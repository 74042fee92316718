import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ByteReader } from '../base/bytes.ts';
import { readItem } from '../state/channel-state.ts';
import { batchCodec } from '../types/batch-codec.ts';
import { t } from '../types/t.ts';
import { LocalChannel } from './channel.ts';
import { ChannelCapture } from './channel-capture.ts';
import { type GateEvent, InputGate } from './input-gate.ts';
import type { StreamElement } from './stream-element.ts';

const CODEC = batchCodec(t.string());

const batch = (value: string): StreamElement => ({
  kind: 'batch',
  batch: { values: [value], timestamps: null },
});
const barrier = (checkpointId: number, overtakesAfterMs?: number): StreamElement => ({
  kind: 'barrier',
  checkpointId,
  triggeredAtMs: 0,
  mode: 'exactly-once',
  ...(overtakesAfterMs === undefined ? {} : { overtakesAfterMs }),
});

/** Time that stands still until it is moved. */
class HandClock {
  nowMs = 0;
  readonly #timers = new Map<() => void, number>();

  readonly clock = { monotonicMs: () => this.nowMs };
  readonly timers = {
    after: (delayMs: number, callback: () => void) => {
      this.#timers.set(callback, this.nowMs + delayMs);
      return { cancel: () => void this.#timers.delete(callback) };
    },
  };

  pass(ms: number): void {
    this.nowMs += ms;
    for (const [callback, dueMs] of this.#timers)
      if (dueMs <= this.nowMs && this.#timers.delete(callback)) callback();
  }
}

function itemsOf(capture: ChannelCapture): string[] {
  assert.equal(capture.failure, undefined);
  const items: string[] = [];
  const reader = new ByteReader(capture.take());
  while (reader.remaining > 0) {
    const item = readItem(reader, CODEC);
    if (item.kind === 'batch') items.push(...(item.batch.values as string[]));
    else items.push(item.kind === 'watermark' ? `w${item.watermark}` : `idle ${item.idle}`);
  }
  return items;
}

function show(event: GateEvent): string {
  if (event.kind === 'barrier') return `|${event.barrier.checkpointId}|`;
  if (event.kind === 'end-of-input') return 'END';
  return event.element.kind === 'batch'
    ? String(event.element.batch.values[0])
    : event.element.kind;
}

class Gate {
  readonly time = new HandClock();
  readonly channels: readonly LocalChannel[];
  readonly gate: InputGate;
  readonly captures = new Map<number, ChannelCapture>();
  woken = 0;
  abandoned = 0;
  open = 0;

  /** @param aligning channels in which barriers overtake nothing. */
  constructor(count: number, aligning: readonly number[] = []) {
    this.channels = Array.from({ length: count }, () => new LocalChannel());
    this.gate = new InputGate(
      this.channels.map((channel, i) => ({ channel, input: 1, aligns: aligning.includes(i) })),
      this.time,
      () => this.woken++,
    );
  }

  send(channel: number, ...elements: readonly StreamElement[]): void {
    for (const element of elements) this.channels[channel]!.send(element);
  }

  poll(): string | undefined {
    const event = this.gate.poll();
    return event === undefined ? undefined : show(event);
  }

  drain(): string {
    const out: string[] = [];
    for (let next = this.poll(); next !== undefined; next = this.poll()) out.push(next);
    return out.join(' ');
  }

  /** The task's part: takes the barrier and saves what it overtook. */
  snapshot(): number {
    const { checkpointId } = this.gate.takeOvertaking().barrier;
    const begun = this.gate.capture(
      checkpointId,
      (index) => {
        this.open++;
        const capture = new ChannelCapture(CODEC, () => this.open--);
        this.captures.set(index, capture);
        return capture;
      },
      () => this.abandoned++,
    );
    assert.equal(begun, true);
    return checkpointId;
  }

  get saved(): Record<number, string[]> {
    return Object.fromEntries([...this.captures].map(([i, capture]) => [i, itemsOf(capture)]));
  }
}

describe('a barrier that overtakes', () => {
  test('is there as soon as one channel has it; what stands in front of it is saved, and what comes until it comes', () => {
    const gate = new Gate(2);
    gate.send(0, batch('a1'), batch('a2'), barrier(1, 0), batch('a3'));
    gate.send(1, batch('b1'));
    assert.equal(gate.gate.overtaking, true);
    assert.equal(gate.poll(), 'a1');
    gate.snapshot();
    assert.equal(gate.open, 1, 'the barrier of the second channel is missing');
    gate.send(1, batch('b2'), { kind: 'watermark', watermark: 7 }, barrier(1, 0), batch('b3'));
    assert.equal(gate.open, 0);
    assert.deepEqual(gate.saved, { 0: ['a2'], 1: ['b1', 'b2', 'w7'] });
    assert.equal(gate.drain(), 'b1 a2 b2 watermark a3 b3', 'nothing is held back, nor lost');
  });

  test('with time to align does so if it can, and hands on what time is left', () => {
    const gate = new Gate(2);
    gate.send(0, barrier(1, 100), batch('a1'));
    gate.time.pass(30);
    assert.deepEqual([gate.gate.overtaking, gate.drain()], [false, '']);
    gate.send(1, barrier(1, 100));
    const event = gate.gate.poll();
    assert.ok(event?.kind === 'barrier');
    assert.deepEqual([event.barrier.overtakesAfterMs, event.alignmentMs], [70, 30]);
    gate.time.pass(1000);
    assert.deepEqual([gate.gate.overtaking, gate.drain()], [false, 'a1']);
  });

  test('overtakes when its time is over; channels that had delivered it hold nothing of the snapshot', () => {
    const gate = new Gate(2);
    gate.send(0, barrier(1, 100), batch('a1'));
    gate.send(1, batch('b1'));
    assert.equal(gate.poll(), 'b1');
    gate.send(1, batch('b2'));
    gate.time.pass(100);
    assert.equal(gate.gate.overtaking, true);
    assert.ok(gate.woken > 0);
    gate.snapshot();
    gate.send(1, barrier(1, 100));
    assert.deepEqual(gate.saved, { 1: ['b2'] });
    assert.equal(gate.drain(), 'a1 b2');
  });

  test('that has waited elsewhere already overtakes when the first such barrier comes', () => {
    const gate = new Gate(2);
    gate.send(0, batch('a1'), barrier(1, 100));
    assert.equal(gate.gate.overtaking, false);
    gate.send(1, batch('b1'), barrier(1, 0));
    assert.equal(gate.gate.overtaking, true);
  });

  test('waits for channels that align', () => {
    const gate = new Gate(2, [1]);
    gate.send(0, batch('a1'), batch('a2'), barrier(1, 0));
    gate.send(1, batch('b1'), barrier(1, 0), batch('b2'));
    assert.equal(gate.gate.overtaking, false);
    assert.equal(gate.poll(), 'a1');
    assert.equal(gate.poll(), 'b1');
    assert.equal(gate.poll(), 'a2');
    gate.send(0, batch('a3'));
    assert.equal(gate.poll(), '|1|', 'by then everything is aligned');
    assert.equal(gate.drain(), 'b2 a3');
  });

  test('waits for channels that align, and overtakes in the others then', () => {
    const gate = new Gate(2, [1]);
    gate.send(0, batch('a1'), batch('a2'), batch('a3'), barrier(1, 0));
    gate.send(1, barrier(1, 0), batch('b1'));
    assert.equal(gate.poll(), 'a1');
    assert.equal(gate.poll(), 'a2');
    assert.equal(gate.gate.overtaking, true);
    gate.snapshot();
    assert.deepEqual(gate.saved, { 0: ['a3'] });
    assert.equal(gate.drain(), 'b1 a3');
  });

  test('is given up when the coordinator says so, and its late barriers are ignored', () => {
    const gate = new Gate(2);
    gate.send(0, batch('a1'), barrier(1, 0));
    gate.snapshot();
    gate.gate.abort(1);
    assert.equal(gate.abandoned, 1);
    gate.send(1, barrier(1, 0), batch('b1'));
    assert.equal(gate.gate.overtaking, false);
    assert.equal(gate.drain(), 'a1 b1');
  });

  test('is given up when a newer one comes', () => {
    const gate = new Gate(2);
    gate.send(0, batch('a1'), barrier(1, 0));
    gate.snapshot();
    gate.send(1, batch('b1'), barrier(2, 0));
    assert.equal(gate.abandoned, 1);
    assert.equal(gate.snapshot(), 2);
    gate.send(0, batch('a2'), barrier(2, 0), batch('a3'));
    assert.deepEqual(gate.saved, { 0: ['a1', 'a2'], 1: ['b1'] });
  });

  test('barriers do not pile up in a channel that nobody takes from', () => {
    const gate = new Gate(1);
    gate.send(0, batch('a1'));
    for (let id = 1; id <= 1000; id++) gate.send(0, barrier(id, 0));
    assert.equal(gate.drain(), 'a1 |1000|');
  });

  test('a channel that has ended is not waited for', () => {
    const gate = new Gate(2);
    gate.send(1, { kind: 'end-of-input' });
    assert.equal(gate.poll(), undefined);
    gate.send(0, batch('a1'), barrier(1, 0));
    gate.snapshot();
    assert.deepEqual([gate.open, gate.saved], [0, { 0: ['a1'] }]);
  });

  test('a record that does not match its schema fails the capture, not the sender', () => {
    const gate = new Gate(2);
    gate.send(0, batch('a1'), barrier(1, 0));
    gate.snapshot();
    gate.send(1, { kind: 'batch', batch: { values: [7], timestamps: null } });
    assert.match(String(gate.captures.get(1)!.failure), /does not match its schema/);
  });
});

test('for any interleaving, what was taken before a snapshot and what it saves are what stands before the barrier in every channel', () => {
  const CHANNELS = 3;
  const move = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.nat(CHANNELS - 1).map((channel) => ({ kind: 'send', channel }) as const),
    },
    {
      weight: 2,
      arbitrary: fc.nat(CHANNELS - 1).map((channel) => ({ kind: 'barrier', channel }) as const),
    },
    { weight: 4, arbitrary: fc.constant({ kind: 'poll' } as const) },
    { weight: 1, arbitrary: fc.constant({ kind: 'time' } as const) },
  );
  const scenario = fc.record({
    moves: fc.array(move, { maxLength: 80 }),
    overtakesAfterMs: fc.constantFrom(undefined, 0, 10),
    aligning: fc.subarray([0, 1, 2]),
  });
  fc.assert(
    fc.property(scenario, ({ moves, overtakesAfterMs, aligning }) => {
      const gate = new Gate(CHANNELS, aligning);
      const sent = new Map<number, string[]>();
      const before = new Map<number, string[]>();
      const taken: string[] = [];
      let atSnapshot: string[] | undefined;
      const look = (): void => {
        if (atSnapshot !== undefined || !gate.gate.overtaking) return;
        atSnapshot = [...taken];
        gate.snapshot();
      };
      const poll = (): boolean => {
        look();
        const next = gate.poll();
        if (next === '|1|') atSnapshot = [...taken];
        else if (next !== undefined) taken.push(next);
        return next !== undefined;
      };
      const sendBarrier = (channel: number): void => {
        if (before.has(channel)) return;
        before.set(channel, [...(sent.get(channel) ?? [])]);
        gate.send(channel, barrier(1, overtakesAfterMs));
      };
      let count = 0;
      for (const step of moves) {
        if (step.kind === 'poll') poll();
        else if (step.kind === 'time') gate.time.pass(7);
        else if (step.kind === 'barrier') sendBarrier(step.channel);
        else {
          const name = `${step.channel}:${count++}`;
          sent.set(step.channel, [...(sent.get(step.channel) ?? []), name]);
          gate.send(step.channel, batch(name));
        }
      }
      for (let channel = 0; channel < CHANNELS; channel++) sendBarrier(channel);
      while (poll());
      assert.equal(gate.open, 0);
      const saved = Object.values(gate.saved).flat();
      assert.deepEqual(
        [...atSnapshot!, ...saved].toSorted(),
        [...before.values()].flat().toSorted(),
      );
      for (const [channel, names] of sent)
        assert.deepEqual(
          taken.filter((name) => name.startsWith(`${channel}:`)),
          names,
          'all is processed once, in order',
        );
    }),
    { numRuns: 500 },
  );
});
