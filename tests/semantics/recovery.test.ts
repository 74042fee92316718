/** Failures inside a running job: restarts, restores, and refusals before anything starts. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { after, describe, test } from 'node:test';
import { fileSink, fileSource, jsonLines, textLines } from '../../connectors/files/index.ts';
import {
  collectSink,
  environment,
  type MalformedRecord,
  outputTag,
  rangeSource,
  type Source,
  t,
  valueState,
  WatermarkStrategy,
} from '../../src/index.ts';
import { realWorld } from '../../src/base/real-world.ts';
import { jobsOf } from '../../src/cli/checkpoint-location.ts';
import { openObjectStore } from '../../src/storage/open-store.ts';

const folders: string[] = [];
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});
async function folder(): Promise<string> {
  const path = await mkdtemp(`${tmpdir()}/millrace-recovery-`);
  folders.push(path);
  return path;
}

const counter = () => valueState(t.int64(), { default: 0 });

async function linesOf(path: string): Promise<readonly string[]> {
  const parts = (await readdir(path)).filter((name) => name.startsWith('part-'));
  const texts = await Promise.all(parts.map((part) => readFile(`${path}/${part}`, 'utf8')));
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== '')).sort();
}

/** Numbers whose second half comes only when a checkpoint with some of the first is complete: a failure there has something to restore. */
function gatedNumbers(): Source<number> {
  const base = rangeSource({ count: 400_000, valueAt: (n) => n, schema: t.int64(), splits: 3 });
  let open: (() => void) | undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let isOpen = false;
  let hasRead = false;
  let completed = 0;
  return {
    ...base,
    createReader: (context) => {
      const reader = base.createReader(context);
      return {
        close: () => reader.close(),
        notifyCheckpointComplete: async () => {
          // The first of two may have begun before anything was read.
          if (!hasRead || ++completed < 2) return;
          isOpen = true;
          open!();
        },
        async openSplit(state) {
          const { from, to } = state.split.data as { from: number; to: number };
          const split = await reader.openSplit(state);
          const half = (from + to) / 2;
          return {
            close: () => split.close(),
            position: () => split.position(),
            poll: (max) => {
              const at = Number(split.position());
              hasRead ||= at > from;
              return at < half || isOpen ? split.poll(max) : opened.then(() => split.poll(max));
            },
          };
        },
      };
    },
  };
}

/** Counts 0..n-1 by remainder, failing once at a record if asked to. */
async function countJob(
  dir: string,
  options: {
    readonly failAt?: number;
    readonly config?: Record<string, string | number | boolean>;
    readonly schema?: 'changed';
  } = {},
): Promise<void> {
  let failed = false;
  const env = environment({
    'execution.checkpointing.interval': 10,
    'execution.checkpointing.dir': `${dir}/checkpoints`,
    'restart-strategy.type': 'fixed-delay',
    'restart-strategy.fixed-delay.attempts': 3,
    'restart-strategy.fixed-delay.delay': 1,
    ...options.config,
  });
  env
    .fromSource(gatedNumbers(), WatermarkStrategy.noWatermarks<number>(), 'numbers')
    .map((n) => {
      if (!failed && n === options.failAt) {
        failed = true;
        throw new TypeError('planted');
      }
      return n;
    }, t.int64())
    .keyBy((n) => n % 100, t.int32())
    .process<string, { count: ReturnType<typeof counter> }>(
      {
        state: {
          count:
            options.schema === 'changed'
              ? (valueState(t.string()) as unknown as ReturnType<typeof counter>)
              : counter(),
        },
        processElement(_n, { state, key }, out) {
          state.count.value += 1;
          if (state.count.value === 4000) out.collect(`${key} 4000`);
        },
      },
      t.string(),
    )
    .uid('counter')
    .sinkTo(fileSink({ path: `${dir}/out`, format: textLines() }));
  await env.execute('count');
}

const EXPECTED = Array.from({ length: 100 }, (_, key) => `${key} 4000`).sort();

describe('recovery', () => {
  test('a failing task is restarted from the last checkpoint and every result appears once', async () => {
    const dir = await folder();
    await countJob(dir, { failAt: 300_000 });
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });

  test('the same with working files on local disk, uploaded by checkpoints, and back without them', async () => {
    const dir = await folder();
    const local = {
      'state.backend.type': 'forst',
      'state.backend.forst.primary-dir': 'local',
      'state.backend.forst.local-dir': `${dir}/local`,
      'restart-strategy.type': 'none',
    };
    await assert.rejects(countJob(dir, { failAt: 300_000, config: local }), /planted/);
    const names = await readdir(`${dir}/local`, { recursive: true });
    assert.deepEqual(
      names.filter((name) => /\/f\d+$/.test(name)),
      [],
    );
    const config = { 'state.backend.type': 'forst' };
    await countJob(dir, { failAt: -1, config });
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });

  test('the same with a changelog, and on without it; state on the heap has none', async () => {
    const dir = await folder();
    const changelog = {
      'state.backend.type': 'forst',
      'state.changelog.enabled': true,
      'dstl.dfs.preemptive-persist-threshold': '2 kb',
      'restart-strategy.type': 'none',
    };
    await assert.rejects(countJob(dir, { failAt: 300_000, config: changelog }), /planted/);
    await countJob(dir, { failAt: -1, config: { 'state.backend.type': 'forst' } });
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
    const heap = { ...changelog, 'state.backend.type': 'hashmap' };
    await assert.rejects(countJob(dir, { failAt: -1, config: heap }), {
      message: /state.changelog.enabled: hashmap writes its state in whole/,
    });
  });

  test('a failure before the first checkpoint starts from the beginning', async () => {
    const dir = await folder();
    await countJob(dir, { failAt: 1, config: { 'execution.checkpointing.interval': 200 } });
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });

  test('when restarts are used up the job fails with the cause, and a later run goes on', async () => {
    const dir = await folder();
    await assert.rejects(
      countJob(dir, { failAt: 390_000, config: { 'restart-strategy.type': 'none' } }),
      { code: 'USER_CODE_FAILED', message: /planted/ },
    );
    await countJob(dir);
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });

  test('a state whose schema cannot be read is refused by name before anything runs', async () => {
    const dir = await folder();
    await assert.rejects(
      countJob(dir, { failAt: 390_000, config: { 'restart-strategy.type': 'none' } }),
    );
    await assert.rejects(
      countJob(dir, { schema: 'changed', config: { 'restart-strategy.type': 'none' } }),
      { code: 'STATE_SCHEMA_INCOMPATIBLE', message: /"count"/ },
    );
    await countJob(dir);
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });

  test('a corrupt checkpoint is named, nothing is deleted, and nothing is taken silently', async () => {
    const dir = await folder();
    await assert.rejects(
      countJob(dir, { failAt: 390_000, config: { 'restart-strategy.type': 'none' } }),
    );
    // Records that no head names, of a checkpoint that failed, are there too.
    const store = openObjectStore(`${dir}/checkpoints`, {
      config: {},
      environment: {},
      world: realWorld(),
    });
    const [job] = await jobsOf(store);
    await store.close();
    const record = `${dir}/checkpoints/${job!.checkpoints.at(-1)!.key}`;
    const before = await readFile(record, 'utf8');
    await writeFile(record, before.replace('counter', 'countes').replace('4', '5'));
    await assert.rejects(countJob(dir), {
      kind: 'data',
      code: 'CHECKPOINT_RECORD_CORRUPT',
      message: /_metadata/,
    });
    await writeFile(record, before);
    await countJob(dir);
    assert.deepEqual(await linesOf(`${dir}/out`), EXPECTED);
  });
});

describe('malformed input', () => {
  const schema = t.struct({ n: t.int32() });
  async function input(): Promise<string> {
    const dir = await folder();
    await writeFile(
      `${dir}/in.ndjson`,
      '{"n": 1}\n{"n": "two"}\n\nnot json\n{"n": 4, "__proto__": {"x": 1}}\n',
    );
    return dir;
  }

  test('fail names file, line and offset', async () => {
    const path = await input();
    const env = environment();
    env
      .fromSource(
        fileSource({ path, format: jsonLines(schema) }),
        WatermarkStrategy.noWatermarks<{ n: number }>(),
        'lines',
      )
      .sinkTo(collectSink([]));
    await assert.rejects(env.execute('malformed'), {
      code: 'MALFORMED_RECORD',
      message: /"file":"in\.ndjson","line":2,"offset":9.*n: expected int32, got string/,
    });
  });

  test('skip goes on and counts', async () => {
    const path = await input();
    const out: { n: number }[] = [];
    const env = environment();
    env
      .fromSource(
        fileSource({ path, format: jsonLines(schema), malformed: 'skip' }),
        WatermarkStrategy.noWatermarks<{ n: number }>(),
        'lines',
      )
      .sinkTo(collectSink(out));
    const { metrics } = await env.execute('malformed');
    assert.deepEqual(out, [{ n: 1 }, { n: 4 }]);
    assert.equal(
      Object.entries(metrics).find(([name]) => name.endsWith('numRecordsInErrors'))?.[1],
      2,
    );
    assert.equal(({} as { x?: number }).x, undefined);
  });

  test('dead-letter sends them to a side output', async () => {
    const path = await input();
    const dead: MalformedRecord[] = [];
    const env = environment();
    const lines = env.fromSource(
      fileSource({ path, format: jsonLines(schema), malformed: 'dead-letter' }),
      WatermarkStrategy.noWatermarks<{ n: number }>(),
      'lines',
    );
    lines.getSideOutput(outputTag<MalformedRecord>('dead-letter')).sinkTo(collectSink(dead));
    lines.sinkTo(collectSink([]));
    await env.execute('malformed');
    assert.deepEqual(
      dead.map(({ raw }) => raw),
      ['{"n": "two"}', 'not json'],
    );
  });
});
