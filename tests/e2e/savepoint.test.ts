/**
 * A job that is stopped with a savepoint and goes on elsewhere, as real processes: at parallelism 2 on hashmap, at 3 on forst with a field
 * renamed and one added, and back. Its output is that of an undisturbed run, and DuckDB reads its savepoints.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { linesOf, millrace, placeIn, SLOW, start } from './job-process.ts';

const KEYS = 500;

let dir: string;
before(async () => {
  dir = await mkdtemp(`${tmpdir()}/millrace-savepoints-`);
});
after(() => rm(dir, { recursive: true }));

/** Rows of each state in a savepoint, and its keys, as DuckDB counts them. */
async function countRows(savepoint: string): Promise<{ total: number; keys: number }> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows = await connection.runAndReadAll(
    `SELECT count(*)::INT, count(DISTINCT key)::INT FROM read_parquet('${savepoint}/state/*.parquet') WHERE value LIKE '%count%'`,
  );
  const [[total, keys]] = rows.getRows() as unknown as [[number, number]]; // one row of two integers
  connection.closeSync();
  instance.closeSync();
  return { total, keys };
}

describe('a job that moves', () => {
  test('by savepoints to another backend, parallelism and layout, and back, has the output of an undisturbed run', async () => {
    const [undisturbed, moved] = [`${dir}/undisturbed`, `${dir}/moved`];
    const whole = await start([], ['--dir', `${dir}/whole`, '--out', undisturbed]);
    assert.equal(await whole.ended, 'finished');

    const first = await start([], ['--dir', `${dir}/first`, '--out', moved, ...SLOW]);
    const there = placeIn(
      await millrace('stop', `${dir}/first`, '--savepointPath', `${dir}/savepoints`),
    );
    assert.equal(await first.ended, 'stopped');
    const linesThen = (await linesOf(moved)).length;
    assert.ok(linesThen > 0 && linesThen < 10_000, `${linesThen} lines`);
    const counted = await countRows(there);
    assert.equal(counted.total, counted.keys);
    assert.ok(counted.keys > 0 && counted.keys <= KEYS);

    const second = await start(
      ['--fromSavepoint', there],
      ['--dir', `${dir}/second`, '--out', moved, ...SLOW, '--layout', 'new'].concat([
        ...['--backend', 'forst', '--parallelism', '3'],
      ]),
    );
    const along = placeIn(await millrace('savepoint', `${dir}/second/sums`, `${dir}/savepoints`));
    assert.ok(existsSync(`${along}/_metadata`));
    const back = placeIn(
      await millrace('stop', `${dir}/second`, '--savepointPath', `${dir}/savepoints`),
    );
    assert.equal(await second.ended, 'stopped');
    assert.ok((await countRows(back)).keys >= counted.keys);

    const third = await start(
      ['--fromSavepoint', back, '--claimMode', 'CLAIM'],
      ['--dir', `${dir}/third`, '--out', moved],
    );
    assert.equal(await third.ended, 'finished');
    assert.deepEqual(await linesOf(moved), await linesOf(undisturbed));
    // Claimed: it is the job's, which needs it no more.
    assert.equal(existsSync(`${back}/_metadata`), false);
    assert.match(await millrace('savepoint', 'dispose', there), /disposed/);
    assert.equal(existsSync(`${there}/_metadata`), false);
  });

  test('by a native savepoint goes on at once in the same place, and the savepoint can be disposed of', async () => {
    const [places, out] = [`${dir}/native`, `${dir}/native-out`];
    const first = await start([], ['--dir', places, '--out', out, ...SLOW, '--backend', 'forst']);
    const savepoint = placeIn(
      await millrace('stop', places, '--savepointPath', `${dir}/savepoints`, '--type', 'native'),
    );
    assert.equal(await first.ended, 'stopped');
    assert.deepEqual(await readdir(savepoint), ['_metadata']);
    assert.match(await millrace('state', 'inspect', savepoint), /value "total"/);
    const again = await start(
      ['--fromSavepoint', savepoint],
      ['--dir', places, '--out', out, '--backend', 'forst', '--parallelism', '3'],
    );
    await millrace('savepoint', 'dispose', savepoint);
    assert.equal(await again.ended, 'finished');
    assert.deepEqual(await linesOf(out), await linesOf(`${dir}/undisturbed`));
  });

  test('is drained: its results are complete up to there, and it is finished', async () => {
    const [places, out] = [`${dir}/drained`, `${dir}/drained-out`];
    const job = await start([], ['--dir', places, '--out', out, ...SLOW]);
    const savepoint = placeIn(
      await millrace('stop', places, '--drain', '--savepointPath', `${dir}/savepoints`),
    );
    assert.equal(await job.ended, 'finished');
    assert.ok((await countRows(savepoint)).keys > 0);
    await assert.rejects(millrace('cancel', places), { stderr: /has finished/ });
  });
});

describe('a request that nobody serves', () => {
  test('is withdrawn, so that a later run does not heed it', async () => {
    const [places, out] = [`${dir}/unserved`, `${dir}/unserved-out`];
    const canceled = await start([], ['--dir', places, '--out', out, ...SLOW]);
    await millrace('cancel', places);
    await assert.rejects(canceled.ended, /was canceled/);
    await assert.rejects(millrace('stop', places, '--timeout', '300 ms'), {
      stderr: /was withdrawn/,
    });
    const job = await start([], ['--dir', places, '--out', out]);
    assert.equal(await job.ended, 'finished');
    assert.deepEqual(await linesOf(out), await linesOf(`${dir}/undisturbed`));
  });
});
