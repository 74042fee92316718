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
  const all = [...services.values()];
  let left = limit;
  for (;;) {
    const earliest = all.length === 1 ? all[0]! : earliestOf(all, domain);
    if (earliest === undefined || !isDue(earliest.next(domain), until)) return 'done';
    if (left === 0) return 'more';
    const fired = earliest.fireNext(domain, until);
    if (fired === 'load') return 'load';
    if (fired === 'fired') left--;
  }
}

/** +Infinity is no time: there is no timer. */
const isDue = (next: number, until: number): boolean =>
  next !== Number.POSITIVE_INFINITY && next <= until;

/** The first of those that come first. */
function earliestOf<T extends TimerTable>(
  services: readonly CellTimerService<unknown, T>[],
  domain: TimerDomain,
): CellTimerService<unknown, T> | undefined {
  let earliest = services[0];
  for (const service of services)
    if (service.next(domain) < earliest!.next(domain)) earliest = service;
  return earliest;
}
