/** One seed: runs the job with everything the seed says goes wrong, then lets the checkers judge. */
import { jsonLines } from '../../src/connector/json-lines.ts';
import { fileSink } from '../../connectors/files/file-sink.ts';
import { fileSource } from '../../connectors/files/file-source.ts';
import type { Sink } from '../../src/connector/sink.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import {
  checkConserved,
  checkExactlyOnce,
  checkKeyOrder,
  checkSameResults,
  type Violation,
} from '../../src/testing/checkers.ts';
import { CheckpointAudit } from '../../src/testing/checkpoint-audit.ts';
import { CollectTarget, collectSink } from '../../src/testing/collect-sink.ts';
import type { BackendWorker } from '../../src/state/backends.ts';
import { SlowStateBackend } from '../../src/testing/slow-state-backend.ts';
import { SimJob } from '../../src/testing/sim-job.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import { CALM_STORE, SimBucket } from '../../src/testing/sim-store.ts';
import { Simulation } from '../../src/testing/simulation.ts';
import {
  buildJob,
  drawInput,
  type Input,
  INPUT,
  LEDGER,
  type Output,
  OUTPUT,
  referencePerKey,
  referencePerWindow,
} from './keyed-job.ts';
import { scheduleFaults } from './faults.ts';
import { type ScriptedRecord, scriptedSource } from './scripted-source.ts';
import { drawSettings, type Settings, type SlowReads } from './settings.ts';

/** A fault planted in the engine's surroundings, which checkers must find. */
export interface Sabotage {
  readonly name: string;
  storeOf?(store: ObjectStore, node: SimNode): ObjectStore;
  sinkOf?<T>(target: CollectTarget<T>, sink: Sink<T>): Sink<T>;
  settingsOf?(settings: Settings): Settings;
}

export interface SimOptions {
  readonly seed: number;
  readonly trace?: boolean;
  readonly sabotage?: Sabotage;
}

export interface SimReport {
  readonly settings: Settings;
  readonly violations: readonly Violation[];
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly virtualMs: number;
  readonly events: number;
  readonly checkpoints: number;
  /** In all checkpoints together. */
  readonly inFlightElements: number;
  readonly starts: number;
  readonly failures: readonly Error[];
  /** What the job masters logged. */
  readonly log: readonly string[];
}

/** From the last fault to the end of the job, at most. */
const RECOVERY_MS_MAX = 600_000;
/** Zombies get this long after the end to do harm. */
const AFTERMATH_MS = 10_000;
const EVENTS_MAX = 2_000_000;
/** Messages waiting on one link: credits for at most 4 batches on each of some 30 channels, and control elements. */
const BACKLOG_MAX = 150;

interface Run {
  readonly settings: Settings;
  readonly sim: Simulation;
  readonly bucket: SimBucket;
  readonly audit: CheckpointAudit;
  readonly input: readonly (readonly ScriptedRecord<Input>[])[];
  readonly perKey: CollectTarget<Output>;
  readonly perWindow: CollectTarget<Output>;
  readonly violations: Violation[];
}

export async function simulate({ seed, trace, sabotage }: SimOptions): Promise<SimReport> {
  const drawn = drawSettings(seed);
  const settings = sabotage?.settingsOf?.(drawn) ?? drawn;
  const sim = new Simulation({ seed, trace: trace ?? false });
  const bucket = new SimBucket(sim.scheduler, settings.storeFaults);
  const run: Run = {
    settings,
    sim,
    bucket,
    audit: new CheckpointAudit(bucket, { ledger: LEDGER }),
    input: drawInput(settings),
    perKey: new CollectTarget(),
    perWindow: new CollectTarget(),
    violations: [],
  };
  const job = createJob(run, sabotage);
  scheduleFaults({ sim, job, settings });
  sim.at(settings.healedAtMs, 'heals', () => {
    bucket.faults = CALM_STORE;
  });
  job.start();
  const outcome = await sim.run({
    until: () => job.isOver,
    maxVirtualMs: settings.healedAtMs + RECOVERY_MS_MAX,
    eventsMax: EVENTS_MAX,
  });
  await sim.run({ maxVirtualMs: AFTERMATH_MS, eventsMax: EVENTS_MAX });
  return {
    settings,
    violations: [...checkEnd(job, outcome), ...(await checkRun(run))],
    traceHash: sim.scheduler.traceHash,
    trace: sim.scheduler.trace,
    virtualMs: sim.nowMs,
    events: sim.scheduler.eventsRun,
    checkpoints: run.audit.completed,
    inFlightElements: run.audit.inFlightElements,
    starts: job.starts,
    failures: job.failures,
    log: job.processes.flatMap(({ node, logged }) =>
      logged.map(
        ({ atMs, level, message }) => `${atMs.toFixed(3)} ${node.name} ${level} ${message}`,
      ),
    ),
  };
}

function createJob(run: Run, sabotage: Sabotage | undefined): SimJob {
  const { sim, bucket, settings, violations } = run;
  const random = sim.random('source');
  if (settings.source === 'files') writeInput(run);
  const link = {
    random: sim.random('sink'),
    delayMostMs: 5,
    lostAnswerProbability: settings.sinkLostAnswerProbability,
  };
  const sinkOf = (target: CollectTarget<Output>, folder: string, store: ObjectStore) => {
    if (settings.sink === 'files')
      return fileSink<Output>({ store: under(store, folder), format: jsonLines(OUTPUT) });
    const sink = collectSink(target, { link });
    return sabotage?.sinkOf?.(target, sink) ?? sink;
  };
  return new SimJob({
    simulation: sim,
    bucket,
    name: 'job',
    workersMax: settings.workersMax,
    detached: settings.detached,
    configOf: (start) => ({
      ...settings.config,
      'parallelism.default': settings.parallelisms[start] ?? settings.parallelisms.at(-1)!,
    }),
    storeOf: (node) => {
      const store = bucket.of(node);
      return sabotage?.storeOf?.(store, node) ?? store;
    },
    ...(settings.slowReads === undefined ? {} : { openBackend: slowly(settings.slowReads) }),
    build: (env, { store }) =>
      buildJob(env, settings, {
        source:
          settings.source === 'files'
            ? fileSource({
                store: under(store, 'input'),
                format: jsonLines(INPUT),
                rateLimit: settings.rateLimit,
              })
            : scriptedSource({ ...settings, splits: run.input, schema: INPUT, random }),
        perKey: sinkOf(run.perKey, 'per-key', store),
        perWindow: sinkOf(run.perWindow, 'per-window', store),
        slowness: sim.random('slow operators'),
        violations,
      }),
  });
}

const slowly =
  ({ latencyMostMs, evictedShare }: SlowReads) =>
  (_name: string, { world }: BackendWorker): SlowStateBackend =>
    new SlowStateBackend({
      random: () => world.random.next(),
      timers: world.timers,
      latencyMostMs,
      evictedShare,
    });

/** One file a split. */
function writeInput({ bucket, input }: Run): void {
  const { encode } = jsonLines(INPUT);
  input.forEach((records, split) => {
    const lines = records.map(({ value }) => encode(value));
    const bytes = new TextEncoder().encode(`${lines.join('\n')}\n`);
    bucket.replace(`input/split-${split}.jsonl`, bytes);
  });
}

/** Liveness: after the last fault the job ends, and what ended processes on the way was transient. */
function checkEnd(job: SimJob, outcome: string): Violation[] {
  if (job.fatal !== undefined) {
    const { message, stack } = job.fatal;
    return [{ checker: 'fatal', message, evidence: { stack } }];
  }
  if (job.end !== undefined) return [];
  const message = `the job did not end: ${outcome}`;
  return [
    { checker: 'liveness', message, evidence: { failures: job.failures.map(String).slice(-5) } },
  ];
}

async function checkRun(run: Run): Promise<readonly Violation[]> {
  const { settings, audit, input, violations } = run;
  const perKey = outputOf(run, run.perKey, 'per-key');
  const perWindow = outputOf(run, run.perWindow, 'per-window');
  const ids = input.flat().map(({ value }) => String(value.id));
  const found = [
    ...violations,
    ...audit.violations,
    ...run.sim.scheduler.failures.map(asViolation),
  ];
  for (const kind of ['seen', 'timer'] as const) {
    const out = perKey.filter((record) => record.kind === kind).map(({ id }) => String(id));
    found.push(...checkExactlyOnce(ids, out, settings.delivery));
  }
  const { backlogMost } = run.sim.scheduler;
  if (backlogMost > BACKLOG_MAX) {
    const message = `${backlogMost} messages waited on one link, more than ${BACKLOG_MAX}`;
    found.push({ checker: 'bounds', message, evidence: { backlogMost } });
  }
  if (settings.delivery === 'at-least-once') return found;
  found.push(...checkKeyOrder(perKey.filter(({ kind }) => kind === 'seen')));
  found.push(...checkConserved(await audit.ledgers()));
  found.push(...checkSameResults('per key', referencePerKey(input), perKey));
  found.push(
    ...checkSameResults(
      'per window',
      referencePerWindow(input, settings.windowMs),
      sums(perWindow),
    ),
  );
  const late = perWindow.filter(({ kind }) => kind === 'late');
  if (settings.discoveryMs === 0 && late.length > 0) {
    const message = `${late.length} records were late although none is later than the bound`;
    found.push({ checker: 'late', message, evidence: { late: late.slice(0, 5) } });
  }
  return found;
}

const asViolation = (error: Error): Violation => ({
  checker: 'simulation',
  message: error.message,
  evidence: { stack: error.stack },
});

/** Window results and late records together: what each window got, one way or the other. */
function sums(outputs: readonly Output[]): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { key, sum } of outputs) totals.set(key, (totals.get(key) ?? 0) + sum);
  return totals;
}

/** What readers see, in the order of the checkpoints that published it. */
function outputOf(run: Run, target: CollectTarget<Output>, folder: string): readonly Output[] {
  if (run.settings.sink === 'collect') {
    return [...target.committed]
      .sort((a, b) => a.checkpointId - b.checkpointId)
      .flatMap(({ values }) => values);
  }
  const checkpointOf = (key: string): number => Number(/part-\d+-(\d+)-/.exec(key)![1]);
  return [...run.bucket.keys(`${folder}/part-`)]
    .sort((a, b) => checkpointOf(a) - checkpointOf(b))
    .flatMap((key) => Buffer.from(run.bucket.peek(key)!).toString().trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Output); // written by jsonLines(OUTPUT)
}

/** A folder of a store, as a store. */
function under(store: ObjectStore, folder: string): ObjectStore {
  const at = (key: string): string => `${folder}/${key}`;
  return {
    get: (key, range, signal) => store.get(at(key), range, signal),
    head: (key, signal) => store.head(at(key), signal),
    put: (key, bytes, signal) => store.put(at(key), bytes, signal),
    putIfAbsent: (key, bytes, signal) => store.putIfAbsent(at(key), bytes, signal),
    putIfMatch: (key, bytes, etag, signal) => store.putIfMatch(at(key), bytes, etag, signal),
    delete: (key, signal) => store.delete(at(key), signal),
    async *list(prefix, signal) {
      for await (const meta of store.list(at(prefix), signal))
        yield { ...meta, key: meta.key.slice(folder.length + 1) };
    },
    close: () => store.close(),
  };
}
