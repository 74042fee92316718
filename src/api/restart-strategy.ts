/** Restart strategies by name, as options. */
import type { Duration } from '../base/duration.ts';
import type { JsonValue } from '../base/json.ts';

/** What happens after a failure; see the `restart-strategy` options for the defaults. */
export type RestartStrategy =
  | { readonly type: 'none' }
  | { readonly type: 'fixed-delay'; readonly attempts?: number; readonly delay?: Duration }
  | {
      readonly type: 'failure-rate';
      readonly maxFailuresPerInterval?: number;
      readonly failureRateInterval?: Duration;
      readonly delay?: Duration;
    }
  | {
      readonly type: 'exponential-delay';
      readonly initialBackoff?: Duration;
      readonly maxBackoff?: Duration;
      readonly backoffMultiplier?: number;
      readonly resetBackoffThreshold?: Duration;
      readonly jitterFactor?: number;
      readonly attemptsBeforeResetBackoff?: number;
    };

/** `maxBackoff` of exponential-delay is `restart-strategy.exponential-delay.max-backoff`, and so on. */
export function restartOptions({
  type,
  ...parameters
}: RestartStrategy): Readonly<Record<string, JsonValue>> {
  const entries = Object.entries(parameters).map(([name, value]): [string, JsonValue] => [
    `restart-strategy.${type}.${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    value,
  ]);
  return Object.fromEntries([['restart-strategy.type', type], ...entries]);
}
