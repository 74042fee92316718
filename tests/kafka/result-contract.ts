/** What a run under kill -9 is told, and what judges its results. */
import type { KafkaService } from '../../scripts/services/kafka.ts';
import type { PostgresService } from '../../scripts/services/postgres.ts';

export interface KillRunOptions {
  readonly broker: KafkaService;
  readonly seed: number;
  readonly messages: number;
  readonly kills: number;
  /** Of each server. */
  readonly serverRestarts: number;
  /** Where results go; absent: to a topic. */
  readonly postgres?: PostgresService;
  /** At the end the results in a topic are also read by Kafka's own consumer. */
  readonly readTwice: boolean;
  /** A fault of `counting-job.ts` that the judges must find. */
  readonly plant?: string;
  readonly log: (line: string) => void;
}

/** What is expected of a key when all is done. */
export interface Total {
  readonly count: number;
  readonly sum: number;
}

/** Where the results go, and who judges them there. */
export interface Results {
  /** The job's arguments for it. */
  readonly jobArgs: readonly string[];
  /** Reads committed results as they come, until all are there; fails at the first that is missing, doubled or out of order. */
  watch(messages: number, signal: AbortSignal): Promise<void>;
  /** Everything again, from the beginning. */
  verify(expected: ReadonlyMap<string, Total>, messages: number): Promise<void>;
}

/** Without a result for so long, a run has failed. */
export const STALL_MS = 120_000;
