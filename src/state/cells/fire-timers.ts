/** Fires timers of all services of an operator, the earliest first, so that services interleave by time. */
import type { TimerProgress } from '../keyed-state-backend.ts';
import type { CellTimerService, TimerDomain } from './timer-service.ts';
import type { TimerTable } from './cell-table.ts';

export function fireTimers<T extends TimerTable>(
  services: ReadonlyMap<string, CellTimerService<unknown, T>>,
  domain: TimerDomain,
  until: number,
  limit: number,
): TimerProgress {
  let left = limit;
  for (;;) {
    let earliest: CellTimerService<unknown, T> | undefined;
    for (const service of services.values()) {
      const next = service.next(domain);
      if (
        next !== Number.POSITIVE_INFINITY &&
        next <= until &&
        next < (earliest?.next(domain) ?? Number.POSITIVE_INFINITY)
      )
        earliest = service;
    }
    if (earliest === undefined) return 'done';
    if (left === 0) return 'more';
    const fired = earliest.fireNext(domain, until);
    if (fired === 'load') return 'load';
    if (fired === 'fired') left--;
  }
}
