/** Whether and when a failed job is restarted: Flink's strategies, as pure functions over what happened so far. */
import type { Settings } from '../options.ts';

/** Everything a strategy remembers: when failures happened. */
export interface RestartHistory {
  readonly failuresMs: readonly number[];
  /** Restarts since the backoff was reset. */
  readonly attempts: number;
  readonly backoffMs: number;
}

export const NO_RESTARTS: RestartHistory = { failuresMs: [], attempts: 0, backoffMs: 0 };

export type RestartDecision =
  | { readonly restart: true; readonly delayMs: number; readonly history: RestartHistory }
  | { readonly restart: false; readonly reason: string };

/** `random` is uniform in [0, 1). */
export function decideRestart(
  settings: Settings,
  history: RestartHistory,
  nowMs: number,
  random: number,
): RestartDecision {
  const number = (key: string): number => Number(settings[`restart-strategy.${key}`]);
  const failuresMs = [...history.failuresMs, nowMs];
  switch (strategyOf(settings)) {
    case 'none':
      return { restart: false, reason: 'restart-strategy.type is none' };
    case 'fixed-delay': {
      const attempts = history.attempts + 1;
      const allowed = number('fixed-delay.attempts');
      if (attempts > allowed)
        return {
          restart: false,
          reason: `the ${allowed} restarts of the fixed-delay strategy are used up`,
        };
      return {
        restart: true,
        delayMs: number('fixed-delay.delay'),
        history: { ...history, failuresMs, attempts },
      };
    }
    case 'failure-rate': {
      const interval = number('failure-rate.failure-rate-interval');
      const allowed = number('failure-rate.max-failures-per-interval');
      const recent = failuresMs.filter((failure) => nowMs - failure < interval);
      if (recent.length > allowed)
        return {
          restart: false,
          reason: `${recent.length} failures within ${interval} ms; ${allowed} are allowed`,
        };
      return {
        restart: true,
        delayMs: number('failure-rate.delay'),
        history: { ...history, failuresMs: recent },
      };
    }
    default:
      return exponential(settings, history, nowMs, random);
  }
}

function exponential(
  settings: Settings,
  history: RestartHistory,
  nowMs: number,
  random: number,
): RestartDecision {
  const number = (key: string): number =>
    Number(settings[`restart-strategy.exponential-delay.${key}`]);
  const last = history.failuresMs.at(-1);
  const calm =
    last === undefined || nowMs - last >= number('reset-backoff-threshold') + history.backoffMs;
  const attempts = calm ? 1 : history.attempts + 1;
  const limit = settings['restart-strategy.exponential-delay.attempts-before-reset-backoff'];
  if (limit !== null && attempts > Number(limit))
    return {
      restart: false,
      reason: `the ${Number(limit)} restarts of the exponential-delay strategy are used up`,
    };
  const backoffMs = calm
    ? number('initial-backoff')
    : Math.min(history.backoffMs * number('backoff-multiplier'), number('max-backoff'));
  const jitter = (random * 2 - 1) * number('jitter-factor');
  const delayMs = Math.min(Math.round(backoffMs * (1 + jitter)), number('max-backoff'));
  return { restart: true, delayMs, history: { failuresMs: [nowMs], attempts, backoffMs } };
}

function strategyOf(settings: Settings): string {
  const given = settings['restart-strategy.type'];
  if (given !== null) return String(given);
  return settings['execution.checkpointing.interval'] === null ? 'none' : 'exponential-delay';
}
