/** What a named scenario is: settings by seed, what happens on its stage, and what must hold beyond what the checkers ask of every run. */
import type { Sink } from '../../src/connector/sink.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import type { CheckpointAudit } from '../../src/testing/checkpoint-audit.ts';
import type { Violation } from '../../src/testing/checkers.ts';
import type { CollectTarget } from '../../src/testing/collect-sink.ts';
import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { SimDisks } from '../../src/testing/sim-disk.ts';
import type { SimJob } from '../../src/testing/sim-job.ts';
import type { SimNode } from '../../src/testing/sim-node.ts';
import type { SimBucket } from '../../src/testing/sim-store.ts';
import type { Simulation } from '../../src/testing/simulation.ts';
import type { Settings } from './settings.ts';

/** A job with what it has put out. */
export interface Played {
  readonly job: SimJob;
  readonly jobId: string;
  /** Its checkpoint that it was forked from: what was committed before is the origin's. Undefined: it began with nothing. */
  readonly forkedAt: number | undefined;
}

export interface Scene {
  readonly sim: Simulation;
  readonly settings: Settings;
  readonly bucket: SimBucket;
  readonly disks: SimDisks;
  readonly audit: CheckpointAudit;
  readonly random: SeededRandom;
  readonly main: Played;
  readonly violations: Violation[];
  /** Another job over the same input; with `forkOf` it goes on from a checkpoint of the main job, which a head of its own names already. */
  startAnother(name: string, forkedAt?: number): void;
  /** The main job is not going to end, and is not judged. */
  giveUpMain(): void;
  /** That a fault was met: what no seed meets is not tested. */
  met(what: string): void;
}

export interface Scenario {
  /** As in the list of fault scenarios. */
  readonly name: string;
  readonly title: string;
  settings(seed: number): Settings;
  stage?(scene: Scene): void;
  check?(scene: Scene): readonly Violation[];
  /** What the supervisor starts a process again after, besides what is transient by its kind. */
  restartsAfter?(error: Error): boolean;
  /** What has to have been met by some seeds. */
  readonly meets: readonly string[];
}

/** A fault planted in the engine's surroundings, which checkers must find. */
export interface Sabotage {
  readonly name: string;
  storeOf?(store: ObjectStore, node: SimNode): ObjectStore;
  sinkOf?<T>(target: CollectTarget<T>, sink: Sink<T>): Sink<T>;
  settingsOf?(settings: Settings): Settings;
  /** Looks on at the stage: what checkers have to find there. */
  stage?(scene: Scene): void;
}
