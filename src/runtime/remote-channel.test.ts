import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ByteReader } from '../base/bytes.ts';
import type { MessageLink } from '../base/world.ts';
import { readItem } from '../state/channel-state.ts';
import { batchCodec } from '../types/batch-codec.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';
import { ChannelCapture } from './channel-capture.ts';
import { CREDITS } from './channel.ts';
import { type Frame, PeerLink } from './peer-link.ts';
import { RemoteInputChannel, RemoteOutputChannel } from './remote-channel.ts';
import type { StreamElement } from './stream-element.ts';

/** One direction of a link: messages wait until the test delivers them, as clones whose buffers have moved. */
class Wire implements MessageLink {
  readonly underWay: unknown[] = [];
  peer!: Wire;
  #receive: (message: unknown) => void = () => {};

  static pair(): readonly [Wire, Wire] {
    const [a, b] = [new Wire(), new Wire()];
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.peer.underWay.push(structuredClone(message, { transfer: [...transfer] }));
  }

  onMessage(receive: (message: unknown) => void): void {
    this.#receive = receive;
  }

  onClose(): void {}

  close(): void {}

  /** Hands over the oldest message that is under way to this end. */
  deliver(): boolean {
    const message = this.underWay.shift();
    if (message === undefined) return false;
    this.#receive(message);
    return true;
  }
}

class Pair {
  readonly wires = Wire.pair();
  readonly sender = new PeerLink(this.wires[0]);
  readonly receiver = new PeerLink(this.wires[1]);
  readonly failures: unknown[] = [];
  wakes = 0;

  output(channel: number, schema: Schema<unknown> = t.int32()): RemoteOutputChannel {
    return new RemoteOutputChannel({
      peer: this.sender,
      channel,
      schema,
      onAvailable: () => this.wakes++,
      start: 'open',
      onBarrierLeft: () => {},
      fail: (error) => this.failures.push(error),
    });
  }

  input(channel: number, schema: Schema<unknown> = t.int32()): RemoteInputChannel {
    return new RemoteInputChannel({ peer: this.receiver, channel, schema, onInput: () => {} });
  }

  deliverAll(): void {
    while (this.wires[0].deliver() || this.wires[1].deliver());
  }
}

const batch = (...values: readonly unknown[]): StreamElement => ({
  kind: 'batch',
  batch: { values, timestamps: null },
});
const watermark = (at: number): StreamElement => ({ kind: 'watermark', watermark: at });

const show = (element: StreamElement): string => {
  if (element.kind === 'batch') return element.batch.values.join(',');
  return element.kind === 'watermark' ? `w${element.watermark}` : element.kind;
};

function drain(pair: Pair, input: RemoteInputChannel): string {
  const out: string[] = [];
  pair.deliverAll();
  for (let element = input.poll(); element !== undefined; element = input.poll()) {
    out.push(show(element));
    pair.deliverAll();
  }
  return out.join(' ');
}

describe('a channel between workers', () => {
  test('carries batches with their times and control elements in order', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1), pair.input(1)];
    const timed: StreamElement = {
      kind: 'batch',
      batch: { values: [1, 2], timestamps: Float64Array.of(10, 20) },
    };
    output.send(timed);
    output.send(watermark(20));
    output.send({ kind: 'end-of-input' });
    pair.deliverAll();
    assert.deepEqual(
      [input.poll(), input.poll(), input.poll(), input.poll()],
      [timed, watermark(20), { kind: 'end-of-input' }, undefined],
    );
    assert.ok(output.bytesOut > 0);
  });

  test('without credit data waits, and control elements behind it', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1), pair.input(1)];
    for (let i = 0; i < CREDITS; i++) output.send(batch(i));
    assert.deepEqual([output.available, output.backlog], [false, 0]);
    output.send(watermark(1));
    output.send(batch(99));
    output.send(watermark(2));
    assert.equal(output.backlog, 2);
    assert.equal(pair.wires[1].underWay.length, CREDITS + 1);
    assert.equal(drain(pair, input), '0 1 2 3 w1 99 w2');
    assert.deepEqual([output.available, output.backlog], [true, 0]);
    assert.ok(pair.wakes > 0);
  });

  test('a barrier that overtakes leaves at once; what it overtook goes into the snapshot and follows', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1, t.string()), pair.input(1, t.string())];
    const rows = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(1000));
    for (let i = 0; i < CREDITS - 1; i++) output.send(batch(rows[0]));
    output.send(batch(...rows)); // two frames; there is credit for one
    output.send(watermark(1));
    output.send({
      kind: 'barrier',
      checkpointId: 7,
      triggeredAtMs: 0,
      mode: 'exactly-once',
      overtakesAfterMs: 0,
    });
    output.send(batch('last'));
    assert.deepEqual([output.holds(7), output.holds(8)], [true, false]);
    const codec = batchCodec(t.string());
    const capture = new ChannelCapture(codec);
    output.overtake(7, capture);
    assert.equal(output.holds(7), false);
    const reader = new ByteReader(capture.take());
    const [left, time] = [readItem(reader, codec), readItem(reader, codec)];
    assert.deepEqual(left, { kind: 'batch', batch: { values: rows.slice(150), timestamps: null } });
    assert.deepEqual([time, reader.remaining], [watermark(1), 0]);
    const received = drain(pair, input)
      .split(' ')
      .filter((text) => /[a-z]/.test(text));
    assert.deepEqual(received, ['barrier', 'w1', 'last']);
  });

  test('large rows travel in several frames, each for a credit, and the rest waits', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1, t.string()), pair.input(1, t.string())];
    const rows = Array.from({ length: 40 }, (_, i) =>
      String.fromCharCode(97 + (i % 26)).repeat(100_000),
    );
    output.send(batch(rows[0]!)); // tells the size of a row
    output.send(batch(...rows.slice(1)));
    output.send(watermark(1));
    const frames = pair.wires[1].underWay as readonly Frame[];
    assert.equal(frames.length, CREDITS);
    for (const { d } of frames) assert.ok(d!.byteLength <= 256 * 1024, `${d!.byteLength} bytes`);
    assert.equal(output.available, false);
    assert.equal(drain(pair, input).replaceAll(' ', ','), `${rows.join(',')},w1`);
  });

  test('frames that come before their consumer wait for it', () => {
    const pair = new Pair();
    const output = pair.output(1);
    output.send(batch(1));
    output.send(watermark(1));
    pair.deliverAll();
    assert.equal(drain(pair, pair.input(1)), '1 w1');
  });

  test('frames for a closed channel are dropped, and a closed channel sends nothing', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1), pair.input(1)];
    output.send(batch(1));
    input.close();
    pair.deliverAll();
    assert.equal(input.isEmpty, true);
    output.close();
    output.send(batch(2));
    assert.equal(pair.wires[1].underWay.length, 0);
    input.close();
  });

  test('a channel whose early frames had to be given up cannot be opened', () => {
    const pair = new Pair();
    const [first, second] = [pair.output(1), pair.output(2)];
    first.send(watermark(0));
    for (let i = 0; i < 4096; i++) second.send(watermark(i));
    pair.deliverAll();
    assert.throws(() => pair.input(1), { code: 'CHANNEL_GIVEN_UP', kind: 'unavailable' });
    assert.deepEqual(pair.input(2).poll(), watermark(0));
  });

  test('records that cannot be encoded once they have credit fail the task', () => {
    const pair = new Pair();
    const [output, input] = [pair.output(1), pair.input(1)];
    for (let i = 0; i < CREDITS; i++) output.send(batch(i));
    output.send(batch('no number'));
    drain(pair, input);
    assert.equal(pair.failures.length, 1);
  });

  test('for any interleaving each element arrives once, in order, within its credits', () => {
    const step = fc.tuple(
      fc.constantFrom('send', 'mark', 'poll', 'there', 'back', 'open'),
      fc.nat(1),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pair = new Pair();
        const outputs = [pair.output(0), pair.output(1)];
        const inputs: (RemoteInputChannel | undefined)[] = [undefined, undefined];
        const sent: string[][] = [[], []];
        const got: string[][] = [[], []];
        const poll = (channel: number): boolean => {
          const element = inputs[channel]?.poll();
          if (element !== undefined) got[channel]!.push(show(element));
          return element !== undefined;
        };
        const run: Readonly<Record<string, (channel: number) => unknown>> = {
          // As a task does: no data without credit, but what one step emits may go beyond it.
          send: (channel) => {
            if (!outputs[channel]!.available) return;
            const n = sent[channel]!.length;
            const elements = [batch(n), batch(n + 1)];
            for (const element of elements) outputs[channel]!.send(element);
            sent[channel]!.push(...elements.map(show));
            assert.ok(outputs[channel]!.backlog <= 2, 'a step leaves at most its own batches');
          },
          mark: (channel) => {
            outputs[channel]!.send(watermark(sent[channel]!.length));
            sent[channel]!.push(`w${sent[channel]!.length}`);
          },
          poll,
          there: () => pair.wires[1].deliver(),
          back: () => pair.wires[0].deliver(),
          open: (channel) => (inputs[channel] ??= pair.input(channel)),
        };
        for (const [what, channel] of steps) run[what]!(channel);
        for (const channel of [0, 1]) run['open']!(channel);
        for (let going = true; going;) {
          pair.deliverAll();
          going =
            [0, 1].filter(poll).length > 0 ||
            pair.wires.some(({ underWay }) => underWay.length > 0);
        }
        assert.deepEqual(got, sent);
        assert.deepEqual(
          outputs.map(({ available, backlog }) => [available, backlog]),
          [
            [true, 0],
            [true, 0],
          ],
        );
      }),
      { numRuns: 300 },
    );
  });
});
