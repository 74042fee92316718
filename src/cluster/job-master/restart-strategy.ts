/**
 * Whether and when a failed job is restarted: Flink's strategies, as pure functions over what happened so far.
 *
 *   fixed-delay        so many restarts in all, each after the same delay
 *   failure-rate       restarts while at most `failuresMax` failures fall into any interval
 *   exponential-delay  delay = initial * multiplier^n, with jitter, between initial and maximum; n starts again from 0 after a calm time
 *                      since the last restart; failures that happen before the restart is due are part of it
 */
import type { RestartStrategy } from '../job-options.ts';

/** All that a strategy remembers; monotonic milliseconds. */
export interface RestartHistory {
  /** Of failure-rate: within the interval, oldest first. */
  readonly failuresMs: readonly number[];
  /** Restarts so far; of exponential-delay: since the last calm time. */
  readonly attempts: number;
  /** When the last restart was, or is, due. */
  readonly restartAtMs: number;
}

export const NO_RESTARTS: RestartHistory = {
  failuresMs: [],
  attempts: 0,
  restartAtMs: Number.NEGATIVE_INFINITY,
};

export type RestartDecision =
  | { readonly restart: true; readonly history: RestartHistory }
  | { readonly restart: false; readonly reason: string };

export interface FailureMoment {
  readonly nowMs: number;
  /** Uniform in [0, 1). */
  readonly random: number;
}

export function decideRestart(
  strategy: RestartStrategy,
  history: RestartHistory,
  failure: FailureMoment,
): RestartDecision {
  switch (strategy.type) {
    case 'none':
      return { restart: false, reason: 'restart-strategy.type is none' };
    case 'fixed-delay':
      return fixedDelay(strategy, history, failure);
    case 'failure-rate':
      return failureRate(strategy, history, failure);
    case 'exponential-delay':
      return exponentialDelay(strategy, history, failure);
  }
}

type Strategy<Type extends RestartStrategy['type']> = Extract<RestartStrategy, { type: Type }>;

const usedUp = (type: string, attemptsMax: number): RestartDecision => ({
  restart: false,
  reason: `the ${attemptsMax} restarts of the ${type} strategy are used up`,
});

function fixedDelay(
  { type, attemptsMax, delayMs }: Strategy<'fixed-delay'>,
  history: RestartHistory,
  { nowMs }: FailureMoment,
): RestartDecision {
  const attempts = history.attempts + 1;
  if (attempts > attemptsMax) return usedUp(type, attemptsMax);
  return { restart: true, history: { ...history, attempts, restartAtMs: nowMs + delayMs } };
}

function failureRate(
  { failuresMax, intervalMs, delayMs }: Strategy<'failure-rate'>,
  history: RestartHistory,
  { nowMs }: FailureMoment,
): RestartDecision {
  const failuresMs = [...history.failuresMs, nowMs].filter((at) => nowMs - at <= intervalMs);
  if (failuresMs.length > failuresMax)
    return {
      restart: false,
      reason: `${failuresMs.length} failures within ${intervalMs} ms; ${failuresMax} are allowed`,
    };
  const attempts = history.attempts + 1;
  return { restart: true, history: { failuresMs, attempts, restartAtMs: nowMs + delayMs } };
}

function exponentialDelay(
  strategy: Strategy<'exponential-delay'>,
  history: RestartHistory,
  { nowMs, random }: FailureMoment,
): RestartDecision {
  if (nowMs <= history.restartAtMs) return { restart: true, history };
  const { type, initialMs, maxMs, multiplier, resetThresholdMs, jitter, attemptsMax } = strategy;
  const before = nowMs - history.restartAtMs >= resetThresholdMs ? 0 : history.attempts;
  if (before + 1 > attemptsMax) return usedUp(type, attemptsMax);
  // After many attempts the power is beyond any number.
  const backoffMs = Math.min(initialMs * multiplier ** before, Number.MAX_SAFE_INTEGER);
  const offsetMs = (random * 2 - 1) * backoffMs * jitter;
  const delayMs = Math.max(initialMs, Math.min(Math.trunc(backoffMs + offsetMs), maxMs));
  const restartAtMs = nowMs + delayMs;
  return { restart: true, history: { failuresMs: [], attempts: before + 1, restartAtMs } };
}
