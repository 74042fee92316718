/** Jobs that run until now, and what may be asked of a job that runs. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { fileSink, fileSource, textLines } from '../../connectors/files/index.ts';
import {
  collectSink,
  type Configuration,
  environment,
  generatorSource,
  type StreamExecutionEnvironment,
  t,
  TumblingEventTimeWindows,
  valueState,
  WatermarkStrategy,
} from '../../src/index.ts';

const folders: string[] = [];
after(async () => {
  for (const path of folders) await rm(path, { recursive: true });
});
async function folder(): Promise<string> {
  const path = await mkdtemp(`${tmpdir()}/millrace-until-now-`);
  folders.push(path);
  return path;
}

const configOf = (dir: string, more: Configuration = {}): Configuration => ({
  'execution.checkpointing.dir': `${dir}/checkpoints`,
  'execution.checkpointing.interval': 60_000,
  ...more,
});

async function linesOf(path: string): Promise<readonly string[]> {
  const parts = (await readdir(path)).filter((name) => name.startsWith('part-'));
  const texts = await Promise.all(parts.map((part) => readFile(`${path}/${part}`, 'utf8')));
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== '')).sort();
}

/** Counts each word of the files in `<dir>/in`. */
function countWords(env: StreamExecutionEnvironment, dir: string): void {
  env
    .fromSource(
      fileSource({ path: `${dir}/in`, format: textLines(), discoveryInterval: '1 h' }),
      WatermarkStrategy.noWatermarks<string>(),
      'words',
    )
    .uid('words')
    .keyBy((word) => word, t.string())
    .process<string, { count: ReturnType<typeof counter> }>(
      {
        state: { count: counter() },
        processElement(word, { state }, out) {
          state.count.value += 1;
          out.collect(`${word} ${state.count.value}`);
        },
      },
      t.string(),
    )
    .uid('counts')
    .sinkTo(fileSink({ path: `${dir}/out`, format: textLines() }));
}

const counter = () => valueState(t.int32(), { default: 0 });

describe('a job that runs until now', () => {
  const backends = ['hashmap', 'forst'];
  for (const backend of backends)
    test(`on ${backend} processes what there is, commits, and goes on in its next run`, async () => {
      const dir = await folder();
      await mkdir(`${dir}/in`);
      const runs: [string, string, string[]][] = [
        ['1', 'a\nb\na\n', ['a 1', 'a 2', 'b 1']],
        ['2', 'a\nc\n', ['a 1', 'a 2', 'a 3', 'b 1', 'c 1']],
        ['', '', ['a 1', 'a 2', 'a 3', 'b 1', 'c 1']],
      ];
      for (const [name, text, expected] of runs) {
        if (name !== '') await writeFile(`${dir}/in/${name}`, text);
        const env = environment(configOf(dir, { 'state.backend.type': backend })).runUntil('now');
        countWords(env, dir);
        const { state } = await env.execute('words');
        assert.equal(state, 'stopped');
        assert.deepEqual(await linesOf(`${dir}/out`), expected);
      }
    });

  test('leaves windows open for the next run', async () => {
    const dir = await folder();
    await mkdir(`${dir}/in`);
    const closed: string[] = [];
    const runOnce = async (): Promise<void> => {
      const env = environment(configOf(dir)).runUntil('now');
      env
        .fromSource(
          fileSource({ path: `${dir}/in`, format: textLines() }),
          WatermarkStrategy.forMonotonousTimestamps<string>().withTimestampAssigner(Number),
          'times',
        )
        .map((text) => Number(text), t.int64())
        .windowAll(TumblingEventTimeWindows.of(10))
        .reduce((a, b) => a + b)
        .map((sum) => `sum ${sum}`, t.string())
        .sinkTo(collectSink(closed));
      await env.execute('windows');
    };
    await writeFile(`${dir}/in/1`, '1\n2\n');
    await runOnce();
    assert.deepEqual(closed, []);
    await writeFile(`${dir}/in/2`, '3\n15\n');
    await runOnce();
    assert.deepEqual(closed, ['sum 6']);
  });

  test('is fenced by a start that overlaps: what both read is published once', async () => {
    const dir = await folder();
    await mkdir(`${dir}/in`);
    await writeFile(`${dir}/in/1`, 'a\nb\na\n');
    const slow = environment(configOf(dir));
    countWords(slow, dir);
    const first = await slow.executeAsync('words');
    const env = environment(configOf(dir)).runUntil('now');
    countWords(env, dir);
    assert.equal((await env.execute('words')).state, 'stopped');
    await assert.rejects(first.triggerCheckpoint());
    await assert.rejects(first.result(), { code: 'COORDINATOR_FENCED' });
    assert.deepEqual(await linesOf(`${dir}/out`), ['a 1', 'a 2', 'b 1']);
  });

  test('needs a place to go on from, and sources that know what now is', async () => {
    const endless = generatorSource({ valueAt: (i) => i, schema: t.int32() });
    const env = environment(configOf('unused')).runUntil('now');
    env.fromSource(endless, {}, 'endless').sinkTo(collectSink([]));
    await assert.rejects(env.execute('never'), {
      code: 'UNTIL_NOW_UNSUPPORTED',
      message: /endless/,
    });
    assert.throws(() => environment({ 'execution.until': 'now' }), {
      message: /execution.until: needs/,
    });
  });
});

describe('a running job', () => {
  const endless = (dir: string | undefined, config: Configuration = {}) => {
    const env = environment({
      ...(dir === undefined ? {} : configOf(dir)),
      ...config,
    });
    env
      .fromSource(
        generatorSource({ valueAt: (i) => i, schema: t.int32(), recordsPerSecond: 1000 }),
        {},
        'endless',
      )
      .uid('endless')
      .keyBy((n) => n % 10, t.int32())
      .process<string, { count: ReturnType<typeof counter> }>(
        {
          state: { count: counter() },
          processElement(_n, { state }) {
            state.count.value += 1;
          },
        },
        t.string(),
      )
      .uid('counts')
      .sinkTo(collectSink([]));
    return env.executeAsync('endless');
  };

  test('in memory has savepoints too; a native one is refused, and so is one without a place', async () => {
    const dir = await folder();
    const job = await endless(undefined);
    await assert.rejects(job.triggerSavepoint(), { code: 'NO_SAVEPOINT_DIR' });
    await assert.rejects(job.triggerSavepoint({ directory: dir, format: 'native' }), {
      code: 'NATIVE_NEEDS_DIR',
    });
    const path = await job.stopWithSavepoint({ directory: dir });
    assert.equal((await job.result()).state, 'stopped');
    const files = await readdir(`${path}/state`);
    assert.ok(files.some((name) => name.endsWith('.parquet')));
    await assert.rejects(job.triggerCheckpoint(), { code: 'JOB_OVER' });
  });

  test('goes on when its savepoint cannot be written, and can be stopped then', async () => {
    const dir = await folder();
    await writeFile(`${dir}/file`, '');
    const job = await endless(dir);
    await assert.rejects(job.stopWithSavepoint({ directory: `${dir}/file` }));
    assert.ok((await job.triggerCheckpoint()) > 0);
    const stopped = job.stopWithSavepoint({ directory: `${dir}/savepoints` });
    await assert.rejects(job.stopWithSavepoint({ directory: dir }), {
      code: 'ALREADY_STOPPING',
    });
    await stopped;
    assert.equal((await job.result()).state, 'stopped');
  });

  test('starts from the savepoint it is told, once, and says LEGACY is no way to claim one', async () => {
    const dir = await folder();
    const first = await endless(`${dir}/a`);
    const path = await first.stopWithSavepoint({ directory: dir });
    await first.result();
    const config = { 'execution.state-recovery.path': path };
    const ids: number[] = [];
    for (let run = 0; run < 2; run++) {
      const job = await endless(`${dir}/b`, config);
      ids.push(await job.triggerCheckpoint());
      job.cancel();
      await assert.rejects(job.result(), { code: 'JOB_CANCELED' });
    }
    assert.ok(ids[1]! > ids[0]!, 'the second run went on from the first');
    assert.throws(() => environment({ 'execution.state-recovery.claim-mode': 'LEGACY' }), {
      message: /LEGACY leaves open who deletes/,
    });
  });
});
