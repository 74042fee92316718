/** The inbox as a table of cases, and under random pushes, checkpoints and crashes against what senders are promised. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import {
  PushInbox,
  type PushLimits,
  type PushOutcome,
  type PushPosition,
  pushPositionOf,
} from './push-inbox.ts';

const LIMITS: PushLimits = { bufferBytesMax: 1000, requestsMax: 10, keysMax: 20 };
const START = pushPositionOf(undefined);

class Sender {
  readonly outcomes: PushOutcome['kind'][] = [];

  push(
    inbox: PushInbox<string>,
    values: readonly string[],
    { key, bytes = 10 }: { readonly key?: string; readonly bytes?: number } = {},
  ): void {
    inbox.offer({
      key,
      values,
      timestamp: 7,
      bytes,
      answer: ({ kind }) => this.outcomes.push(kind),
    });
  }
}

function drain(inbox: PushInbox<string>, max = 1024): readonly string[] {
  const values: string[] = [];
  for (let batch = inbox.take(max); batch !== undefined; batch = inbox.take(max))
    values.push(...batch.values);
  return values;
}

describe('the inbox of pushed requests', () => {
  test('a request is answered when a checkpoint that holds all of its records is complete', () => {
    const inbox = new PushInbox<string>(LIMITS, START);
    const sender = new Sender();
    sender.push(inbox, ['a', 'b', 'c']);
    assert.deepEqual(inbox.take(2)?.values, ['a', 'b']);
    const half = inbox.position();
    assert.deepEqual(inbox.take(2)?.values, ['c']);
    const whole = inbox.position();
    inbox.acknowledge(half);
    assert.deepEqual(sender.outcomes, []);
    inbox.acknowledge(whole);
    assert.deepEqual(sender.outcomes, ['accepted']);
  });

  test('several requests fill one batch, each record with the time of its arrival', () => {
    const inbox = new PushInbox<string>(LIMITS, START);
    const sender = new Sender();
    sender.push(inbox, ['a', 'b']);
    sender.push(inbox, ['c', 'd']);
    const batch = inbox.take(3)!;
    assert.deepEqual(batch.values, ['a', 'b', 'c']);
    assert.deepEqual([...batch.timestamps!], [7, 7, 7]);
    assert.deepEqual(inbox.take(3)?.values, ['d']);
    assert.equal(inbox.take(3), undefined);
  });

  test('a repetition is answered with what it repeats, and takes nothing', () => {
    const inbox = new PushInbox<string>(LIMITS, START);
    const [first, queued, taken, late] = [new Sender(), new Sender(), new Sender(), new Sender()];
    first.push(inbox, ['a'], { key: 'k' });
    queued.push(inbox, ['a'], { key: 'k' });
    assert.deepEqual(drain(inbox), ['a']);
    taken.push(inbox, ['a'], { key: 'k' });
    assert.deepEqual(drain(inbox), []);
    inbox.acknowledge(inbox.position());
    late.push(inbox, ['a'], { key: 'k' });
    assert.deepEqual(
      [first, queued, taken, late].map(({ outcomes }) => outcomes),
      [['accepted'], ['accepted'], ['accepted'], ['duplicate']],
    );
    assert.deepEqual(drain(inbox), []);
  });

  test('after a restore, what the checkpoint holds is a duplicate, and what it holds half goes on', () => {
    const before = new PushInbox<string>(LIMITS, START);
    new Sender().push(before, ['a'], { key: 'whole' });
    new Sender().push(before, ['b', 'c', 'd'], { key: 'half' });
    assert.deepEqual(before.take(3)?.values, ['a', 'b', 'c']);
    const inbox = new PushInbox<string>(LIMITS, before.position());
    const [whole, half] = [new Sender(), new Sender()];
    whole.push(inbox, ['a'], { key: 'whole' });
    half.push(inbox, ['b', 'c', 'd'], { key: 'half' });
    assert.deepEqual(drain(inbox), ['d']);
    inbox.acknowledge(inbox.position());
    assert.deepEqual([whole.outcomes, half.outcomes], [['duplicate'], ['accepted']]);
  });

  test('too many requests or bytes are refused, and nothing of them is taken', () => {
    const inbox = new PushInbox<string>(LIMITS, START);
    const sender = new Sender();
    sender.push(inbox, ['a'], { bytes: 600 });
    sender.push(inbox, ['b'], { bytes: 600 });
    assert.deepEqual(sender.outcomes, ['busy']);
    assert.deepEqual(drain(inbox), ['a']);
    for (let i = 0; i < 10; i++) sender.push(inbox, [`${i}`], { bytes: 1 });
    assert.deepEqual(
      sender.outcomes,
      ['busy', 'busy'],
      'one waits for its checkpoint, nine are queued',
    );
    assert.equal(drain(inbox).length, 9);
  });

  test('closing answers everything that waits', () => {
    const inbox = new PushInbox<string>(LIMITS, START);
    const sender = new Sender();
    sender.push(inbox, ['a'], { key: 'k' });
    assert.deepEqual(drain(inbox), ['a']);
    sender.push(inbox, ['a'], { key: 'k' });
    sender.push(inbox, ['b']);
    inbox.close();
    sender.push(inbox, ['c']);
    assert.deepEqual(sender.outcomes, ['closed', 'closed', 'closed', 'closed']);
  });

  test('a position that is none is refused by name', () => {
    assert.throws(() => pushPositionOf({ offset: 3 }), { code: 'HTTP_BAD_POSITION' });
  });

  test('senders who repeat until they are answered lose nothing and double nothing, seeds 1 to 200', () => {
    for (let seed = 1; seed <= 200; seed++) playSenders(seed);
  });
});

/** Requests of 1 to 5 records are sent until acknowledged, through crashes that fall back to the last complete checkpoint. */
function playSenders(seed: number): void {
  const random = new SeededRandom(seed);
  const upTo = (n: number): number => Math.floor(random.next() * n);
  const open = Array.from({ length: 40 }, (_, i) => ({
    key: `k${i}`,
    values: Array.from({ length: 1 + upTo(5) }, (__, j) => `${i}.${j}`),
  }));
  const wanted = open.flatMap(({ values }) => values).sort();
  let inbox = new PushInbox<string>(LIMITS, START);
  let output: string[] = [];
  /** What a crash leaves. */
  let durable: { position: PushPosition; output: readonly string[] } = {
    position: START,
    output: [],
  };
  for (let turn = 0; open.length > 0; turn++) {
    assert.ok(turn < 100_000, `every request is answered in the end, seed ${seed}`);
    const action = upTo(10);
    if (action < 4) {
      const request = open[upTo(Math.min(open.length, 6))]!;
      inbox.offer({
        ...request,
        timestamp: 0,
        bytes: 10,
        answer: ({ kind }) => {
          if (kind === 'accepted' || kind === 'duplicate')
            if (open.includes(request)) open.splice(open.indexOf(request), 1);
        },
      });
    } else if (action < 7) output.push(...(inbox.take(1 + upTo(3))?.values ?? []));
    else if (action < 9) {
      durable = { position: inbox.position(), output: [...output] };
      inbox.acknowledge(durable.position);
    } else {
      inbox.close();
      // Positions go through JSON.
      inbox = new PushInbox(LIMITS, pushPositionOf(JSON.parse(JSON.stringify(durable.position))));
      output = [...durable.output];
    }
  }
  assert.deepEqual([...durable.output].sort(), wanted, `seed ${seed}`);
}
