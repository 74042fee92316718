/** A job that is pushed to and pushes on, over real sockets, killed with kill -9 while senders send. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';

const JOB = `${import.meta.dirname}/ingest-job.ts`;
const KILLS = 3;

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Settles when the job says where it takes records. */
async function start(dir: string, to: string): Promise<Running> {
  const child = spawn(process.execPath, [JOB, '--dir', dir, '--to', to], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /takes orders on port (\d+)/.exec(line);
    if (found === null) continue;
    child.stdout.resume();
    return { child, url: `http://127.0.0.1:${found[1]}/orders` };
  }
  throw new Error(`the job ended early:\n${said}`);
}

async function kill({ child }: Running): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

async function post(url: string, body: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { authorization: 'Bearer secret', ...headers },
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function publishedIds(folder: string): Promise<readonly string[]> {
  const parts = (await readdir(folder)).filter((name) => name.startsWith('part-'));
  const texts = await Promise.all(parts.map((part) => readFile(`${folder}/${part}`, 'utf8')));
  return texts
    .flatMap((text) => text.split('\n'))
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { id: string }).id);
}

describe('records over HTTP', () => {
  /** Times each idempotency key was posted on. */
  const posted = new Map<string, number>();
  let fails = 0;
  const target = createServer((request, response) => {
    request.resume().on('end', () => {
      const key = String(request.headers['idempotency-key']);
      posted.set(key, (posted.get(key) ?? 0) + 1);
      response.writeHead(fails++ % 7 === 0 ? 503 : 204).end(); // some fail, after they arrived
    });
  });
  let dir = '';
  let to = '';
  before(async () => {
    dir = await mkdtemp(`${tmpdir()}/millrace-http-`);
    await once(target.listen(0, '127.0.0.1'), 'listening');
    const address = target.address();
    to = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/in`;
  });
  after(async () => {
    target.close();
    await rm(dir, { recursive: true });
  });

  test('what is wrong with a request is said, and the job lives', async () => {
    const job = await start(`${dir}/refusals`, to);
    try {
      const cases: readonly [string, Readonly<Record<string, string>>, number, string][] = [
        ['{"id":"a"', {}, 400, 'HTTP_MALFORMED'],
        ['{"id":1,"amount":2}', {}, 400, 'HTTP_MALFORMED'],
        ['', {}, 400, 'HTTP_MALFORMED'],
        ['\n\n', { 'content-type': 'application/x-ndjson' }, 400, 'HTTP_EMPTY'],
        ['{}', { authorization: 'Bearer wrong' }, 401, 'HTTP_UNAUTHORIZED'],
        ['{}', { 'content-encoding': 'gzip' }, 415, 'HTTP_ENCODED_BODY'],
        ['{}', { 'idempotency-key': 'k'.repeat(257) }, 400, 'HTTP_BAD_KEY'],
        ['x'.repeat(1024 * 1024 + 1), {}, 413, 'HTTP_BODY_TOO_LARGE'],
      ];
      for (const [body, headers, status, code] of cases) {
        const answer = await post(job.url, body, headers);
        assert.deepEqual([answer.status, answer.body['error']], [status, code], body.slice(0, 40));
      }
      const elsewhere = await post(job.url.replace('/orders', '/else'), '{}');
      assert.equal(elsewhere.status, 404);
      const got = await fetch(job.url);
      assert.equal(got.status, 405);
      const lines = '{"id":"x","amount":1}\n{"id":"y","amount":2}\r\n';
      const good = await post(job.url, lines, { 'content-type': 'application/x-ndjson' });
      assert.deepEqual(good, { status: 200, body: { status: 'accepted', records: 2 } });
      assert.deepEqual([...(await publishedIds(`${dir}/refusals/orders`))].sort(), ['x', 'y']);
    } finally {
      await kill(job);
    }
  });

  test(
    'senders who repeat until they are answered find each record published once',
    { timeout: 120_000 },
    async () => {
      let job = await start(`${dir}/killed`, to);
      const ids = Array.from({ length: 300 }, (_, i) => `order-${i}`);
      let answered = 0;
      const send = async (id: string): Promise<void> => {
        for (;;) {
          const answer = await post(job.url, JSON.stringify({ id, amount: 1 }), {
            'idempotency-key': id,
          }).catch(() => undefined); // killed
          if (answer?.status === 200) break;
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
        answered++;
      };
      const killer = (async () => {
        for (let kills = 1; kills <= KILLS; kills++) {
          while (answered < (kills * ids.length) / (KILLS + 1)) await new Promise(setImmediate);
          await kill(job);
          job = await start(`${dir}/killed`, to);
        }
      })();
      const rest = [...ids];
      const senders = Array.from({ length: 20 }, async () => {
        for (let id = rest.pop(); id !== undefined; id = rest.pop()) await send(id);
      });
      await Promise.all([...senders, killer]);
      await kill(job);
      // What a checkpoint holds is published when the job starts again.
      await kill(await start(`${dir}/killed`, to));
      assert.deepEqual([...(await publishedIds(`${dir}/killed/orders`))].sort(), [...ids].sort());
      assert.deepEqual(
        ids.filter((id) => !posted.has(id)),
        [],
        'each was posted on, at least once, under its key',
      );
    },
  );
});
