/** What the job computes: one airport's day. */
import { type Infer, t, type WindowAggregate } from '../../src/index.ts';
import type { Flight } from './flight.ts';

export const airportDaySchema = t.struct({
  airport: t.string(),
  /** ISO date, UTC. */
  day: t.string(),
  departures: t.int32(),
  /** Minutes, rounded to a tenth. */
  meanDelay: t.double(),
  worstDelay: t.int32(),
});

export type AirportDay = Infer<typeof airportDaySchema>;

interface Delays {
  readonly departures: number;
  readonly total: number;
  readonly worst: number;
}

const delaysSchema = t.struct({ departures: t.int32(), total: t.int64(), worst: t.int32() });

export const punctuality: WindowAggregate<Flight, Delays, Omit<AirportDay, 'airport' | 'day'>> = {
  accumulatorSchema: delaysSchema,
  createAccumulator: () => ({ departures: 0, total: 0, worst: -1440 }),
  add: ({ delay }, { departures, total, worst }) => ({
    departures: departures + 1,
    total: total + delay,
    worst: Math.max(worst, delay),
  }),
  getResult: ({ departures, total, worst }) => ({
    departures,
    meanDelay: Math.round((total / departures) * 10) / 10,
    worstDelay: worst,
  }),
  merge: (a, b) => ({
    departures: a.departures + b.departures,
    total: a.total + b.total,
    worst: Math.max(a.worst, b.worst),
  }),
};

/** The less punctual of two airports; ties go to the first in the alphabet, so that the result is the same in any order. */
export function leastPunctual(a: AirportDay, b: AirportDay): AirportDay {
  if (a.meanDelay !== b.meanDelay) return a.meanDelay > b.meanDelay ? a : b;
  return a.airport < b.airport ? a : b;
}

export const dayOf = (epochMs: number): string => new Date(epochMs).toISOString().slice(0, 10);
