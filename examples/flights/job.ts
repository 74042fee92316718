/**
 * Punctuality of American airports, day by day: a stateful event-time job on real data.
 *
 * Reads 20,000 departures of early 2001 in the order in which they were reported, computes each airport's day (departures, mean and
 * worst delay) and each day's least punctual large airport, and publishes both exactly once. Kill it whenever you like, with any signal; the
 * same command goes on where it was, and the output is that of an undisturbed run.
 *
 *   node examples/flights/job.ts [--dir out/flights] [--rate 500] [--parallelism 2] [--backend hashmap|forst]
 *                                [--checkpoints s3://bucket/flights]
 */
import { parseArgs } from 'node:util';
import { fileSink, fileSource, jsonLines } from '../../connectors/files/index.ts';
import { environment, TumblingEventTimeWindows, WatermarkStrategy } from '../../src/index.ts';
import { airportDaySchema, dayOf, leastPunctual, punctuality } from './airport-day.ts';
import { type Flight, flightSchema } from './flight.ts';
import { prepareInput } from './prepare-input.ts';

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string', default: 'out/flights' },
    /** Records per second and subtask: slow enough to watch, and to be killed. */
    rate: { type: 'string', default: '500' },
    parallelism: { type: 'string', default: '2' },
    /** Where state lives: on the heap, or on the object store. */
    backend: { type: 'string', default: 'hashmap' },
    /** A folder or s3://bucket/prefix; default is a folder in `dir`. */
    checkpoints: { type: 'string' },
  },
});
prepareInput(`${options.dir}/input`);

const env = environment({
  'parallelism.default': Number(options.parallelism),
  'execution.checkpointing.interval': '500 ms',
  'execution.checkpointing.dir': options.checkpoints ?? `${options.dir}/checkpoints`,
  'state.backend.type': options.backend,
});

const departures = env.fromSource(
  fileSource({
    path: `${options.dir}/input`,
    format: jsonLines(flightSchema),
    rateLimit: Number(options.rate),
  }),
  // The longest delay in the data is under nine hours: nothing is late.
  WatermarkStrategy.forBoundedOutOfOrderness<Flight>('9 h').withTimestampAssigner(
    (flight) => flight.scheduled,
  ),
  'departures',
);

const airportDays = departures
  .keyBy('origin')
  .window(TumblingEventTimeWindows.of('1 d'))
  .aggregate(
    punctuality,
    (airport, window, day) => ({ airport, day: dayOf(window.start), ...day }),
    airportDaySchema,
  )
  .name('airport days');

const worstOfDay = airportDays
  .filter((day) => day.departures >= 8)
  .windowAll(TumblingEventTimeWindows.of('1 d'))
  .reduce(leastPunctual);

airportDays.sinkTo(
  fileSink({ path: `${options.dir}/airport-days`, format: jsonLines(airportDaySchema) }),
);
worstOfDay.sinkTo(
  fileSink({ path: `${options.dir}/worst-of-day`, format: jsonLines(airportDaySchema) }),
);
worstOfDay
  .map(
    ({ day, airport, departures, meanDelay, worstDelay }) =>
      `${day}  ${airport}  ${departures} departures, ${meanDelay} min late on average, ${worstDelay} at worst`,
  )
  .print();

const result = await env.execute('flights');
console.log(
  result.state === 'already-finished'
    ? `This job has finished; its results are in ${options.dir}. Remove that folder to run it again.`
    : `Done. Every airport's days are in ${options.dir}/airport-days, each exactly once.`,
);
