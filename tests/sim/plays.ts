/** The jobs of a run: the main one, and others over the same input that a scenario adds, each with sinks of its own. */
import { jobIdOf } from '../../src/cluster/run-job.ts';
import { jsonLines } from '../../src/connector/json-lines.ts';
import { fileSink } from '../../connectors/files/file-sink.ts';
import { fileSource } from '../../connectors/files/file-source.ts';
import type { Sink } from '../../src/connector/sink.ts';
import type { Source } from '../../src/connector/source.ts';
import { type BackendWorker, stateBackendOf } from '../../src/state/backends.ts';
import type { StateBackend } from '../../src/state/keyed-state-backend.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { RetryingStore } from '../../src/storage/retrying-store.ts';
import type { Violation } from '../../src/testing/checkers.ts';
import { CollectTarget, collectSink } from '../../src/testing/collect-sink.ts';
import type { SimDisks } from '../../src/testing/sim-disk.ts';
import { isTransient, SimJob } from '../../src/testing/sim-job.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { SimBucket } from '../../src/testing/sim-store.ts';
import type { Simulation } from '../../src/testing/simulation.ts';
import { SlowStateBackend } from '../../src/testing/slow-state-backend.ts';
import type { Seen } from './judge.ts';
import { buildJob, type Input, INPUT, type Output, OUTPUT } from './keyed-job.ts';
import type { Played, Sabotage, Scenario } from './scenario.ts';
import { type ScriptedRecord, scriptedSource } from './scripted-source.ts';
import type { Settings } from './settings.ts';

export interface PlaysParams {
  readonly settings: Settings;
  readonly sim: Simulation;
  readonly bucket: SimBucket;
  readonly disks: SimDisks;
  readonly input: readonly (readonly ScriptedRecord<Input>[])[];
  readonly sabotage: Sabotage | undefined;
  readonly scenario: Scenario | undefined;
}

export interface Play extends Played {
  readonly name: string;
  readonly perKey: CollectTarget<Output>;
  readonly perWindow: CollectTarget<Output>;
  /** It is not going to end, and is not judged. */
  givenUp: boolean;
}

export class Plays {
  readonly params: PlaysParams;
  readonly all: Play[] = [];
  /** What probes in the jobs and the scenario report. */
  readonly violations: Violation[] = [];
  /** The run is over: no more jobs begin. */
  closed = false;
  readonly #slowness: SeededRandom;
  readonly #met = new Map<string, number>();

  constructor(params: PlaysParams) {
    this.params = params;
    this.#slowness = params.sim.random('slow operators');
    params.bucket.onFault = (what) => this.met(what);
    params.disks.onUse = (what) => this.met(what);
    if (params.settings.source === 'files') this.#writeInput();
  }

  get faultsMet(): ReadonlyMap<string, number> {
    return this.#met;
  }

  met(what: string): void {
    this.#met.set(what, (this.#met.get(what) ?? 0) + 1);
  }

  add(name: string, forkedAt?: number): Play {
    const origin = this.all[0];
    const targetOf = (own: 'perKey' | 'perWindow'): CollectTarget<Output> =>
      forkedAt === undefined ? new CollectTarget() : new ForkedTarget(origin![own]); // there is a main job to be forked
    const targets = { perKey: targetOf('perKey'), perWindow: targetOf('perWindow') };
    const job = this.#createJob(name, targets);
    const play = { name, job, jobId: jobIdOf(name), forkedAt, ...targets, givenUp: false };
    this.all.push(play);
    return play;
  }

  /** Of a fork: with what its origin had committed before. */
  seenOf(play: Play): Seen {
    const [perKey, perWindow] = (['perKey', 'perWindow'] as const).map((sink) => {
      const own = this.#outputOf(play, sink);
      if (play.forkedAt === undefined) return own;
      const before = [...this.all[0]![sink].committed]
        .filter(({ checkpointId }) => checkpointId <= play.forkedAt!)
        .sort((a, b) => a.checkpointId - b.checkpointId);
      return [...before.flatMap(({ values }) => values), ...own];
    });
    return { perKey: perKey!, perWindow: perWindow! };
  }

  #createJob(
    name: string,
    targets: { readonly perKey: CollectTarget<Output>; readonly perWindow: CollectTarget<Output> },
  ): SimJob {
    const { settings, sim, bucket, disks, sabotage, scenario } = this.params;
    return new SimJob({
      ...{ simulation: sim, bucket, name },
      workersMax: settings.workersMax,
      detached: settings.detached,
      configOf: (start) => ({
        ...settings.config,
        'parallelism.default': settings.parallelisms[start] ?? settings.parallelisms.at(-1)!,
      }),
      storeOf: (node, world) => {
        const bare = bucket.of(node);
        const store = sabotage?.storeOf?.(bare, node) ?? bare;
        return settings.retriesRequests ? new RetryingStore(store, world) : store;
      },
      ...(settings.usesDisk ? { disks } : {}),
      openBackend: (backend, worker) => openBackend(settings, backend, worker),
      restartsAfter: (error) => isTransient(error) || scenario?.restartsAfter?.(error) === true,
      build: (env, { store, world: { node } }) =>
        buildJob(env, settings, {
          source: this.#sourceOf(store),
          perKey: this.#sinkOf(targets.perKey, `${name}/per-key`, { store, node }),
          perWindow: this.#sinkOf(targets.perWindow, `${name}/per-window`, { store, node }),
          slowMs: this.#slowMs,
          violations: this.violations,
        }),
    });
  }

  readonly #slowMs = (place: 'middle' | 'sink'): number => {
    const { settings, sim } = this.params;
    const { slowMs, slowShare, stuck } = settings;
    const nowMs = sim.nowMs;
    if (place === 'sink' && stuck !== undefined && nowMs >= stuck.fromMs && nowMs < stuck.untilMs)
      return stuck.untilMs - nowMs;
    return this.#slowness.chance(slowShare) ? slowMs : 0;
  };

  #sourceOf(store: ObjectStore): Source<Input> {
    const { settings, sim, input } = this.params;
    if (settings.source === 'scripted') {
      const random = sim.random('source');
      return scriptedSource({ ...settings, splits: input, schema: INPUT, random });
    }
    return fileSource({
      store: under(store, 'input'),
      format: jsonLines(INPUT),
      rateLimit: settings.rateLimit,
    });
  }

  #sinkOf(
    target: CollectTarget<Output>,
    folder: string,
    { store, node }: { readonly store: ObjectStore; readonly node: SimNode },
  ): Sink<Output> {
    const { settings, sim, sabotage } = this.params;
    if (settings.sink === 'files')
      return fileSink<Output>({ store: under(store, folder), format: jsonLines(OUTPUT) });
    const link = {
      random: sim.random('sink'),
      delayMostMs: 5,
      lostAnswerProbability: settings.sinkLostAnswerProbability,
      step: (what: string) => node.step(what),
    };
    const sink = collectSink(target, { link });
    return sabotage?.sinkOf?.(target, sink) ?? sink;
  }

  /** What readers see, in the order of the checkpoints that published it. */
  #outputOf(play: Play, sink: 'perKey' | 'perWindow'): readonly Output[] {
    const { settings, bucket } = this.params;
    if (settings.sink === 'collect') {
      return [...play[sink].committed]
        .sort((a, b) => a.checkpointId - b.checkpointId)
        .flatMap(({ values }) => values);
    }
    const folder = `${play.name}/${sink === 'perKey' ? 'per-key' : 'per-window'}`;
    const checkpointOf = (key: string): number => Number(/part-\d+-(\d+)-/.exec(key)![1]);
    return [...bucket.keys(`${folder}/part-`)]
      .sort((a, b) => checkpointOf(a) - checkpointOf(b))
      .flatMap((key) => Buffer.from(bucket.peek(key)!).toString().trimEnd().split('\n'))
      .map((line) => JSON.parse(line) as Output); // written by jsonLines(OUTPUT)
  }

  /** One file a split. */
  #writeInput(): void {
    const { encode } = jsonLines(INPUT);
    this.params.input.forEach((records, split) => {
      const lines = records.map(({ value }) => encode(value));
      const bytes = new TextEncoder().encode(`${lines.join('\n')}\n`);
      this.params.bucket.replace(`input/split-${split}.jsonl`, bytes);
    });
  }
}

/** What a fork finds prepared in its state is its origin's to publish. */
class ForkedTarget<T> extends CollectTarget<T> {
  readonly #origin: CollectTarget<T>;

  constructor(origin: CollectTarget<T>) {
    super();
    this.#origin = origin;
  }

  override commit(committable: Parameters<CollectTarget<T>['commit']>[0]): void {
    const { handle } = committable;
    if (this.#origin.knows(handle)) this.#origin.commit(committable);
    else super.commit(committable);
  }
}

function openBackend(settings: Settings, name: string, worker: BackendWorker): StateBackend {
  const { slowReads, memoryBytes } = settings;
  if (slowReads !== undefined)
    return new SlowStateBackend({
      random: () => worker.world.random.next(),
      timers: worker.world.timers,
      latencyMostMs: slowReads.latencyMostMs,
      evictedShare: slowReads.evictedShare,
    });
  if (memoryBytes === undefined) return stateBackendOf(name, worker);
  // Less than the option allows: the state of a short job does not fit.
  const config = { ...worker.config, 'taskmanager.memory.managed.size': memoryBytes };
  return stateBackendOf(name, { ...worker, config });
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
