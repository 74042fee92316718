/** A fork of a job: begins at its checkpoint by reference, processes what there is, captures the results, and leaves the job alone. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { linesOf, millrace, SLOW, start } from './job-process.ts';

const COUNT = 10_000;

let dir: string;
before(async () => {
  dir = await mkdtemp(`${tmpdir()}/millrace-fork-`);
});
after(() => rm(dir, { recursive: true }));

async function captured(fork: string): Promise<readonly string[]> {
  const folder = `${fork}/captured/sink`;
  const parts = await readdir(folder);
  const texts = await Promise.all(parts.map((part) => readFile(`${folder}/${part}`, 'utf8')));
  return texts.flatMap((text) =>
    text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as string])),
  );
}

test('a fork of a stopped job has the rest of its results, and the job goes on as if nothing had been', async () => {
  const [production, out, fork] = [`${dir}/production`, `${dir}/out`, `${dir}/fork`];
  const args = ['--dir', production, '--out', out, '--backend', 'forst'];
  const first = await start([], [...args, ...SLOW]);
  await millrace('stop', production, '--savepointPath', `${dir}/savepoints`);
  await first.ended;
  const published = await linesOf(out);
  assert.ok(published.length > 0 && published.length < COUNT);

  assert.match(await millrace('fork', production, '--into', fork), /forked checkpoint/);
  await assert.rejects(millrace('fork', production, '--into', fork), { stderr: /already/ });
  const forked = await start(
    ['--fork', fork],
    ['--dir', 'ignored', '--out', out, '--backend', 'forst'],
  );
  assert.equal(await forked.ended, 'stopped');
  assert.deepEqual(await linesOf(out), published, 'the fork published nothing');
  const rest = await captured(fork);
  assert.equal(rest.length, COUNT - published.length);
  // Once more there is nothing new: it went on from where it was.
  const again = await start(
    ['--fork', fork],
    ['--dir', 'ignored', '--out', out, '--backend', 'forst'],
  );
  assert.equal(await again.ended, 'stopped');
  assert.equal((await captured(fork)).length, rest.length);

  const text = await millrace('state', 'diff', production, fork, '--json');
  const differences = JSON.parse(text) as readonly {
    readonly state: string;
    readonly same: number;
    readonly added: number;
    readonly removed: number;
    readonly changed: number;
    readonly examples: readonly { readonly after: unknown }[];
  }[];
  const total = differences.find(({ state }) => state === 'total')!;
  assert.equal(total.removed, 0);
  assert.equal(total.same + total.added + total.changed, 500);
  assert.ok(total.changed + total.added > 0 && total.examples.length > 0);
  const itself = JSON.parse(
    await millrace('state', 'diff', production, production, '--json'),
  ) as typeof differences;
  assert.ok(itself.every(({ added, removed, changed }) => added + removed + changed === 0));

  assert.match(await millrace('state', 'list', production), /pin|fork/);
  await millrace('fork', fork, '--release');
  assert.doesNotMatch(await millrace('state', 'list', production), /a fork in/);
  const last = await start([], args);
  assert.equal(await last.ended, 'finished');
  assert.deepEqual(await linesOf(out), [...published, ...rest].toSorted());
});
