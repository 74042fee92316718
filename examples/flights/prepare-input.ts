/**
 * Turns the flights of the `vega-datasets` package into the files the job reads: one NDJSON file per part of the country, in the
 * order in which a control room would hear of them: when the plane has left, not when it should have. So a file is out of
 * order by event time as far as planes were late.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Flight } from './flight.ts';

const FILES = 4;
const MINUTE_MS = 60_000;

interface ReportedFlight {
  readonly date: string;
  readonly delay: number;
  readonly distance: number;
  readonly origin: string;
  readonly destination: string;
}

function readFlights(): readonly Flight[] {
  const path = fileURLToPath(
    new URL('../../node_modules/vega-datasets/data/flights-20k.json', import.meta.url),
  );
  const reported: readonly ReportedFlight[] = JSON.parse(readFileSync(path, 'utf8'));
  return reported.map(({ date, delay, distance, origin, destination }) => ({
    scheduled: Date.parse(`${date.replaceAll('/', '-').replace(' ', 'T')}:00Z`),
    delay,
    distance,
    origin,
    destination,
  }));
}

const fileOf = (flight: Flight): number => flight.origin.charCodeAt(0) % FILES;

/** Writes the input folder once, atomically; leaves a complete one alone. */
export function prepareInput(folder: string): void {
  if (existsSync(folder)) return;
  const staging = `${folder}.preparing`;
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  const left = (flight: Flight): number => flight.scheduled + flight.delay * MINUTE_MS;
  const flights = readFlights().toSorted((a, b) => left(a) - left(b));
  for (let file = 0; file < FILES; file++) {
    const lines = flights
      .filter((flight) => fileOf(flight) === file)
      .map((flight) => JSON.stringify(flight));
    writeFileSync(`${staging}/departures-${file}.ndjson`, `${lines.join('\n')}\n`);
  }
  renameSync(staging, folder);
}
