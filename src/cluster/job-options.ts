/** The settled options of a job, with types and units in their names: what the code reads. */
import type { CheckpointMode } from '../runtime/stream-element.ts';
import type { Settings } from './options.ts';

export type RestartStrategy =
  | { readonly type: 'none' }
  | { readonly type: 'fixed-delay'; readonly attemptsMax: number; readonly delayMs: number }
  | {
      readonly type: 'failure-rate';
      readonly failuresMax: number;
      readonly intervalMs: number;
      readonly delayMs: number;
    }
  | {
      readonly type: 'exponential-delay';
      readonly initialMs: number;
      readonly maxMs: number;
      readonly multiplier: number;
      readonly resetThresholdMs: number;
      readonly jitter: number;
      /** Infinity: no limit. */
      readonly attemptsMax: number;
    };

export interface CheckpointOptions {
  /** Undefined: no periodic checkpoints. */
  readonly intervalMs: number | undefined;
  readonly minPauseMs: number;
  readonly timeoutMs: number;
  readonly failuresTolerated: number;
  readonly retainedMax: number;
  /** How long objects of dropped checkpoints are left alone. */
  readonly graceMs: number;
  readonly mode: CheckpointMode;
  /** When barriers begin to overtake. Undefined: never. */
  readonly overtakesAfterMs: number | undefined;
  readonly inlineBytesMax: number;
  readonly retention:
    | 'retain-on-cancellation'
    | 'delete-on-cancellation'
    | 'no-externalized-checkpoints';
}

export interface JobOptions {
  readonly checkpoints: CheckpointOptions;
  readonly restarts: RestartStrategy;
  readonly failover: 'region' | 'full';
  /** 0: tasks may take as long as they like. */
  readonly cancellationTimeoutMs: number;
  readonly ignoreUnclaimedState: boolean;
  /** Where the savepoint is that the job starts from. */
  readonly savepoint: string | undefined;
  readonly claimMode: 'no-claim' | 'claim';
  /** Where savepoints go that name no folder. */
  readonly savepointDir: string | undefined;
  /** 0: the control object is not looked at. */
  readonly controlPollMs: number;
  readonly finishedJob: 'skip' | 'start-over';
  /** Undefined: as the machine suggests. */
  readonly slotsPerWorker: number | undefined;
}

/** `settings` are complete and checked (`settle`): the casts here rest on that. */
export function jobOptions(settings: Settings): JobOptions {
  return {
    checkpoints: checkpointOptions(settings),
    restarts: restartStrategy(settings),
    failover: settings['jobmanager.execution.failover-strategy'] as JobOptions['failover'], // an enum of these
    cancellationTimeoutMs: Number(settings['task.cancellation.timeout']),
    ignoreUnclaimedState: settings['execution.state-recovery.ignore-unclaimed-state'] === true,
    savepoint: optionalText(settings['execution.state-recovery.path']),
    claimMode: settings['execution.state-recovery.claim-mode'] as JobOptions['claimMode'], // an enum of these
    savepointDir: optionalText(settings['execution.checkpointing.savepoint-dir']),
    controlPollMs: Number(settings['jobmanager.control.poll-interval']),
    finishedJob: settings['execution.state-recovery.finished-job'] as JobOptions['finishedJob'], // an enum of these
    slotsPerWorker: optional(settings['taskmanager.numberOfTaskSlots']),
  };
}

const optionalText = (value: Settings[string] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

const optional = (value: Settings[string] | undefined): number | undefined =>
  value === null || value === undefined ? undefined : Number(value);

function checkpointOptions(settings: Settings): CheckpointOptions {
  const of = (name: string): Settings[string] => settings[`execution.checkpointing.${name}`]!;
  return {
    intervalMs: optional(of('interval')),
    minPauseMs: Number(of('min-pause')),
    timeoutMs: Number(of('timeout')),
    failuresTolerated: Number(of('tolerable-failed-checkpoints')),
    retainedMax: Number(of('num-retained')),
    graceMs: Number(of('garbage-grace-period')),
    mode: of('mode') as CheckpointMode, // an enum of these
    overtakesAfterMs:
      of('unaligned.enabled') === true ? Number(of('aligned-checkpoint-timeout')) : undefined,
    inlineBytesMax: Number(of('data-inline-threshold')),
    retention: of('externalized-checkpoint-retention') as CheckpointOptions['retention'], // an enum of these
  };
}

function restartStrategy(settings: Settings): RestartStrategy {
  const unset =
    settings['execution.checkpointing.interval'] === null ? 'none' : 'exponential-delay';
  const type = (settings['restart-strategy.type'] ?? unset) as RestartStrategy['type']; // an enum of these
  const of = (name: string): number => Number(settings[`restart-strategy.${type}.${name}`]);
  switch (type) {
    case 'none':
      return { type };
    case 'fixed-delay':
      return { type, attemptsMax: of('attempts'), delayMs: of('delay') };
    case 'failure-rate':
      return {
        type,
        failuresMax: of('max-failures-per-interval'),
        intervalMs: of('failure-rate-interval'),
        delayMs: of('delay'),
      };
    case 'exponential-delay':
      return {
        type,
        initialMs: of('initial-backoff'),
        maxMs: of('max-backoff'),
        multiplier: of('backoff-multiplier'),
        resetThresholdMs: of('reset-backoff-threshold'),
        jitter: of('jitter-factor'),
        attemptsMax:
          optional(settings[`restart-strategy.${type}.attempts-before-reset-backoff`]) ??
          Number.POSITIVE_INFINITY,
      };
  }
}
