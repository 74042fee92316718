import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation } from './simulation.ts';
import { SeededRandom } from './seeded-random.ts';

/** Two workers that play ball over a peer link, with timers and random draws. */
function playBall(seed: number): { sim: Simulation; log: string[] } {
  const sim = new Simulation({ seed });
  const main = sim.startProcess('main');
  const log: string[] = [];
  const threads = sim.threads(main, (host, world) => {
    host.onPeer((peer, link) => {
      link.onMessage((message) => {
        const n = message as number; // the test posts numbers only
        log.push(`${host.name} got ${n} from ${peer}`);
        if (n < 20) world.timers.after(world.random.next() * 5, () => link.post(n + 1));
      });
      if (host.name === 'a') link.post(0);
    });
  });
  threads.connect(threads.start('a', {}), threads.start('b', {}));
  return { sim, log };
}

test('the same seed gives the same history, another seed another', async () => {
  const hashes: string[] = [];
  for (const seed of [1, 1, 2]) {
    const { sim, log } = playBall(seed);
    assert.equal(await sim.run(), 'quiescent');
    assert.equal(log.length, 21);
    hashes.push(sim.scheduler.traceHash);
  }
  assert.equal(hashes[0], hashes[1]);
  assert.notEqual(hashes[0], hashes[2]);
});

test('everything an event causes in promises settles before the next event', async () => {
  const sim = new Simulation({ seed: 1 });
  const order: string[] = [];
  sim.at(1, 'first', () => {
    void (async () => {
      for (let i = 0; i < 100; i++) await Promise.resolve();
      order.push('promises of first');
    })();
  });
  sim.at(1.0001, 'second', () => order.push('second'));
  await sim.run();
  assert.deepEqual(order, ['promises of first', 'second']);
});

test('events due at the same time run in an order that the seed decides', async () => {
  const orders = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const sim = new Simulation({ seed });
    let order = '';
    for (const name of ['a', 'b', 'c']) sim.at(5, name, () => (order += name));
    await sim.run();
    orders.add(order);
  }
  assert.ok(orders.size > 3, `only ${[...orders].join(' ')}`);
});

test('a crashed node runs nothing more and the other side sees its links close', async () => {
  const sim = new Simulation({ seed: 3 });
  const main = sim.startProcess('main');
  let ticks = 0;
  const threads = sim.threads(main, (host, world) => {
    const tick = (): void => {
      ticks++;
      world.timers.after(10, tick);
    };
    tick();
  });
  const worker = threads.start('w', {});
  let closed = false;
  worker.control.onClose(() => (closed = true));
  await sim.run({ maxVirtualMs: 200 });
  assert.ok(ticks > 10);
  threads.workers[0]!.node.crash();
  const before = ticks;
  const failure = await sim.settle(worker.exited);
  await sim.run({ maxVirtualMs: 200 });
  assert.equal(ticks, before);
  assert.equal(closed, true);
  assert.match(String(failure), /terminated/);
  assert.equal(threads.workers.length, 0);
});

test('a frozen node holds what falls due and does it when it thaws', async () => {
  const sim = new Simulation({ seed: 4 });
  const world = sim.startProcess('zombie');
  const ran: string[] = [];
  world.timers.after(10, () => ran.push('early'));
  world.timers.after(20, () => ran.push('late'));
  world.node.freeze();
  await sim.run({ maxVirtualMs: 100 });
  assert.deepEqual(ran, []);
  world.node.thaw();
  await sim.run({ maxVirtualMs: 1 });
  assert.deepEqual(ran, ['early', 'late']);
});

test('links keep order, clone messages and detach transferred buffers', async () => {
  const sim = new Simulation({ seed: 5 });
  const main = sim.startProcess('main');
  const got: unknown[] = [];
  const threads = sim.threads(main, (host) => host.control.onMessage((m) => got.push(m)));
  const worker = threads.start('w', {});
  const shared = { n: 0 };
  for (let i = 0; i < 200; i++) {
    shared.n = i;
    worker.control.post(shared);
  }
  const bytes = new Uint8Array([1, 2, 3]);
  worker.control.post(bytes, [bytes.buffer]);
  assert.equal(bytes.length, 0);
  assert.throws(() => worker.control.post(() => {}), { name: 'DataCloneError' });
  await sim.run();
  assert.deepEqual(
    got.slice(0, 200),
    Array.from({ length: 200 }, (_, n) => ({ n })),
  );
  assert.deepEqual(got[200], new Uint8Array([1, 2, 3]));
});

test('bytes of a connection arrive in order, in other pieces; a cut holds them back until it heals', async () => {
  const sim = new Simulation({ seed: 6 });
  const server = sim.startProcess('server');
  const client = sim.startProcess('client');
  const got: number[] = [];
  let pieces = 0;
  const listener = await sim.settle(
    server.network.listen('0.0.0.0', 0, (connection) =>
      connection.onData((bytes) => {
        pieces++;
        got.push(...bytes);
      }),
    ),
  );
  const connection = await sim.settle(client.network.connect('server', listener.port));
  const sent = Array.from({ length: 1000 }, (_, i) => i % 251);
  for (let i = 0; i < 1000; i += 100) connection.send(Uint8Array.from(sent.slice(i, i + 100)));
  sim.network.cut('client', 'server');
  await sim.run({ maxVirtualMs: 1000 });
  assert.deepEqual(got, []);
  sim.network.heal('client', 'server');
  await sim.run({ maxVirtualMs: 1000 });
  assert.deepEqual(got, sent);
  assert.notEqual(pieces, 10);
});

test('a connection that stays cut breaks on both sides, and connecting through a cut fails', async () => {
  const sim = new Simulation({ seed: 7 });
  const server = sim.startProcess('server');
  const client = sim.startProcess('client');
  const broken: string[] = [];
  await sim.settle(
    server.network.listen('::', 80, (c) => {
      c.onData(() => {});
      c.onClose((error) => broken.push(`server ${error?.message}`));
    }),
  );
  const connection = await sim.settle(client.network.connect('server', 80));
  connection.onClose((error) => broken.push(`client ${error?.message}`));
  await sim.run({ maxVirtualMs: 10 });
  sim.network.cutOneWay('client', 'server');
  connection.send(new Uint8Array(1));
  await sim.run({ maxVirtualMs: 20_000 });
  assert.equal(broken.length, 2);
  await assert.rejects(sim.settle(client.network.connect('server', 80)), {
    code: 'CONNECT_FAILED',
  });
  await assert.rejects(sim.settle(client.network.connect('server', 81)), {
    code: 'CONNECT_FAILED',
  });
});

test('wall clocks jump alone; ids and random streams of nodes differ', async () => {
  const sim = new Simulation({ seed: 8 });
  const a = sim.startProcess('a');
  const b = sim.startProcess('b');
  a.jumpWallClock(3_600_000);
  assert.equal(a.clock.wallMs() - b.clock.wallMs(), 3_600_000);
  assert.ok(a.clock.monotonicMs() < 1);
  assert.notEqual(a.ids.next(), b.ids.next());
  assert.match(a.ids.next(), /^[0-9a-f]{32}$/);
});

test('a loop that runs until its time slice is over ends, and later events wait for it', async () => {
  const sim = new Simulation({ seed: 10 });
  const world = sim.startProcess('busy');
  let rounds = 0;
  let laterAtMs = 0;
  world.timers.after(1, () => {
    const until = world.clock.monotonicMs() + 5;
    while (world.clock.monotonicMs() < until) rounds++;
  });
  world.timers.after(2, () => (laterAtMs = sim.nowMs));
  await sim.run();
  assert.ok(rounds > 10, String(rounds));
  assert.ok(laterAtMs >= 6, String(laterAtMs));
});

test('waiting for what never happens says so', async () => {
  const sim = new Simulation({ seed: 9 });
  await assert.rejects(sim.settle(new Promise(() => {})), { code: 'SIMULATION_STUCK' });
});

test('draws are uniform enough and forks do not depend on earlier draws', () => {
  const random = new SeededRandom(42);
  const counts = new Uint32Array(10);
  for (let i = 0; i < 100_000; i++) counts[random.int(10)]!++;
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, String(count));
  assert.equal(random.fork('x').uint32(), new SeededRandom(42).fork('x').uint32());
});
