import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CREDITS, LocalChannel } from './channel.ts';
import { type GateEvent, InputGate } from './input-gate.ts';
import type { CheckpointMode, StreamElement } from './stream-element.ts';

const WORLD = {
  clock: { wallMs: () => 0, monotonicMs: () => 0 },
  timers: { after: () => ({ cancel: () => {} }) },
};
const noWake = (): void => {};

const batch = (value: string): StreamElement => ({
  kind: 'batch',
  batch: { values: [value], timestamps: null },
});
const barrier = (checkpointId: number, mode: CheckpointMode = 'exactly-once'): StreamElement => ({
  kind: 'barrier',
  checkpointId,
  triggeredAtMs: 0,
  mode,
});
const END: StreamElement = { kind: 'end-of-input' };

function show(event: GateEvent): string {
  if (event.kind === 'barrier') return `|${event.barrier.checkpointId}|`;
  if (event.kind === 'end-of-input') return event.all ? 'END' : `end${event.input}`;
  return event.element.kind === 'batch'
    ? String(event.element.batch.values[0])
    : event.element.kind;
}

function gateOf(count: number): { channels: LocalChannel[]; gate: InputGate; drain: () => string } {
  const channels = Array.from({ length: count }, () => new LocalChannel());
  const gate = new InputGate(
    channels.map((channel) => ({ channel, input: 1, aligns: false })),
    WORLD,
    noWake,
  );
  const drain = (): string => {
    const out: string[] = [];
    for (let event = gate.poll(); event !== undefined; event = gate.poll()) out.push(show(event));
    return out.join(' ');
  };
  return { channels, gate, drain };
}

describe('the input gate', () => {
  test('aligned: what follows a barrier waits until every channel has delivered it', () => {
    const {
      channels: [a, b],
      drain,
    } = gateOf(2);
    a!.send(batch('a1'));
    a!.send(barrier(1));
    a!.send(batch('a2'));
    b!.send(batch('b1'));
    assert.equal(drain(), 'a1 b1');
    b!.send(barrier(1));
    b!.send(batch('b2'));
    assert.equal(drain(), '|1| a2 b2');
  });

  test('at least once: nothing waits, the barrier is reported when all have it', () => {
    const {
      channels: [a, b],
      drain,
    } = gateOf(2);
    a!.send(barrier(1, 'at-least-once'));
    a!.send(batch('a2'));
    b!.send(batch('b1'));
    assert.equal(drain(), 'b1 a2');
    b!.send(barrier(1, 'at-least-once'));
    assert.equal(drain(), '|1|');
  });

  test('a barrier of a newer checkpoint ends an older alignment', () => {
    const {
      channels: [a, b],
      drain,
    } = gateOf(2);
    a!.send(barrier(1));
    a!.send(batch('a1'));
    a!.send(barrier(2));
    b!.send(batch('b1'));
    assert.equal(drain(), 'b1');
    b!.send(barrier(2));
    assert.equal(drain(), 'a1 |2|');
  });

  test('an aborted checkpoint lets go, and its late barriers are ignored', () => {
    const {
      channels: [a, b],
      gate,
      drain,
    } = gateOf(2);
    a!.send(barrier(1));
    a!.send(batch('a1'));
    assert.equal(drain(), '');
    gate.abort(1);
    assert.equal(drain(), 'a1');
    b!.send(barrier(1));
    b!.send(batch('b1'));
    assert.equal(drain(), 'b1');
  });

  test('a channel that has ended counts as aligned, and the end comes after the barrier', () => {
    const {
      channels: [a, b],
      drain,
    } = gateOf(2);
    a!.send(barrier(1));
    b!.send(END);
    assert.equal(drain(), '|1|');
    a!.send(END);
    assert.equal(drain(), 'END');
  });

  test('two inputs end one by one', () => {
    const [a, b] = [new LocalChannel(), new LocalChannel()];
    const gate = new InputGate(
      [
        { channel: a, input: 1, aligns: false },
        { channel: b, input: 2, aligns: false },
      ],
      WORLD,
      noWake,
    );
    a.send(END);
    assert.equal(show(gate.poll()!), 'end1');
    b.send(END);
    assert.equal(show(gate.poll()!), 'END');
  });

  test('exactly once: for any interleaving the records before a barrier are those before it on every channel', () => {
    const script = fc.array(fc.tuple(fc.nat(2), fc.constantFrom('batch', 'barrier')), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(script, fc.array(fc.boolean(), { maxLength: 40 }), (sends, polls) => {
        const { channels, gate } = gateOf(3);
        const sent = [0, 0, 0];
        const barriers = [0, 0, 0];
        const seen = new Map<string, number>();
        let completed = 0;
        const poll = (): void => {
          const event = gate.poll();
          if (event === undefined) return;
          if (event.kind === 'barrier') completed = event.barrier.checkpointId;
          else seen.set(show(event), completed);
        };
        const expected = new Map<string, number>();
        sends.forEach(([channel, what], i) => {
          if (what === 'batch') {
            const name = `${channel}:${sent[channel]!++}`;
            expected.set(name, barriers[channel]!);
            channels[channel]!.send(batch(name));
          } else channels[channel]!.send(barrier(++barriers[channel]!));
          if (polls[i] === true) poll();
        });
        for (let channel = 0; channel < 3; channel++)
          while (barriers[channel]! < Math.max(...barriers))
            channels[channel]!.send(barrier(++barriers[channel]!));
        for (let i = 0; i < 200; i++) poll();
        assert.deepEqual([...seen].toSorted(), [...expected].toSorted());
      }),
    );
  });
});

describe('a local channel', () => {
  test('is unavailable without credit and wakes its sender when it has some again', () => {
    const channel = new LocalChannel();
    let woken = 0;
    channel.onAvailable = () => woken++;
    for (let i = 0; i < CREDITS; i++) {
      assert.equal(channel.available, true);
      channel.send(batch(String(i)));
    }
    assert.equal(channel.available, false);
    channel.poll();
    assert.deepEqual([channel.available, woken], [true, 1]);
  });
});
