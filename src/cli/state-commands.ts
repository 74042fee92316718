/** `millrace state inspect` and `millrace state list`: what is in a checkpoint, and which there are. */
import type { Command } from 'commander';
import { realWorld } from '../base/real-world.ts';
import type { JsonValue } from '../base/json.ts';
import { diffCheckpoints, type StateDifference } from '../cluster/diff-checkpoints.ts';
import {
  type CheckpointReport,
  inspectCheckpoint,
  type OperatorReport,
  type StateReport,
} from '../cluster/inspect-checkpoint.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { isTimers } from '../state/snapshot-inspector.ts';
import { describeSchema, schemaFromJson } from '../types/schema-json.ts';
import { findCheckpoint, jobsOf } from './checkpoint-location.ts';
import { openStoreAt } from './fork-origin.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

export function addStateCommands(program: Command, property: Property): void {
  const state = program.command('state').description('looks into checkpoints');
  state
    .command('inspect <checkpoint>')
    .description(
      'operators, states, schemas, keys, sizes and files of a checkpoint, of a job, or of the only job in a folder',
    )
    .option('--json', 'as one JSON object')
    .option('--no-count', 'does not read the entries: no counts, but at once')
    .option(
      '--keys <n>',
      'so many of the hottest keys of each operator, and of the largest of each state',
      '5',
    )
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(inspect);
  state
    .command('diff <a> <b>')
    .description(
      'entries that were added, removed or changed from one checkpoint or savepoint to another',
    )
    .option('--json', 'as one JSON object')
    .option('--keys <n>', 'so many examples of each', '5')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(diff);
  state
    .command('list <dir>')
    .description('jobs and their checkpoints')
    .option('--json', 'as one JSON object')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .action(list);
}

async function diff(
  a: string,
  b: string,
  { json = false, keys, D }: { readonly json?: boolean; readonly keys: string; readonly D: Config },
): Promise<void> {
  const world = realWorld();
  const [before, after] = [await findCheckpoint(a, D), await findCheckpoint(b, D)];
  const sideOf = ({ store, record }: typeof before) => ({
    record,
    source: {
      ...{ store, reader: new StoreSnapshotReader(store) },
      yieldToLoop: () => new Promise<void>((resolve) => world.timers.soon(resolve)),
    },
  });
  try {
    const differences = await diffCheckpoints(sideOf(before), sideOf(after), {
      examplesMax: Math.max(0, Math.trunc(Number(keys)) || 0),
    });
    if (json) world.print(JSON.stringify(differences, undefined, 2));
    else for (const difference of differences) printDifference(difference);
  } finally {
    await before.store.close();
    await after.store.close();
  }
}

function printDifference({ operator, state, kind, ...counts }: StateDifference): void {
  const { print } = realWorld();
  const { same, added, removed, changed, examples } = counts;
  print(
    `operator "${operator}" ${kind} "${state}": ${same} the same, ${added} added, ${removed} removed, ${changed} changed`,
  );
  for (const { key, what, before, after } of examples)
    print(
      `  ${what.padEnd(8)} ${JSON.stringify(key)}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`,
    );
}

interface InspectOptions {
  readonly json?: boolean;
  readonly count: boolean;
  readonly keys: string;
  readonly D: Config;
}

async function inspect(location: string, { json, count, keys, D }: InspectOptions): Promise<void> {
  const world = realWorld();
  const { store, key, record } = await findCheckpoint(location, D);
  try {
    const report = await inspectCheckpoint(
      record,
      {
        store,
        reader: new StoreSnapshotReader(store),
        yieldToLoop: () => new Promise((resolve) => world.timers.soon(resolve)),
      },
      { countsEntries: count, keysMax: Math.max(0, Math.trunc(Number(keys)) || 0) },
    );
    if (json === true) world.print(JSON.stringify({ record: key, ...report }, undefined, 2));
    else for (const line of linesOf(key, report)) world.print(line);
  } finally {
    await store.close();
  }
}

async function list(dir: string, { json, D }: Pick<InspectOptions, 'json' | 'D'>): Promise<void> {
  const world = realWorld();
  const store = openStoreAt(dir.replace(/\/+$/, ''), D);
  try {
    const jobs = await jobsOf(store);
    if (json === true) world.print(JSON.stringify({ jobs }, undefined, 2));
    else if (jobs.length === 0) world.print(`no jobs in ${dir}`);
    else
      for (const { jobId, status, generation, checkpoints, condemned, pins } of jobs) {
        world.print(`${jobId}  ${status}, started ${generation} times`);
        for (const { checkpointId, key, completedAtMs } of checkpoints)
          world.print(`  checkpoint ${checkpointId}  ${timeOf(completedAtMs)}  ${key}`);
        if (condemned.length > 0) world.print(`  ${condemned.length} dropped, being deleted`);
        for (const { id, checkpointId, owner } of pins)
          world.print(`  checkpoint ${checkpointId} is pinned for ${owner} (${id})`);
      }
  } finally {
    await store.close();
  }
}

const timeOf = (ms: number): string => new Date(ms).toISOString();

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

function sizeOf(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

function* linesOf(key: string, report: CheckpointReport): Iterable<string> {
  const { jobName, jobId, checkpointId, triggeredAtMs, completedAtMs, operators, files } = report;
  yield `checkpoint ${checkpointId} of "${jobName}" (${jobId})`;
  yield `  record ${key}, completed ${timeOf(completedAtMs)}, took ${completedAtMs - triggeredAtMs} ms`;
  const { mode, sizeBytes } = report;
  if (sizeBytes !== null) yield `  ${mode ?? ''}, ${sizeOf(sizeBytes)} written for it`;
  const { inFlight } = report;
  if (inFlight !== null)
    yield `  unaligned: ${inFlight.elements} stream elements in flight, ${sizeOf(inFlight.bytes)}`;
  for (const operator of operators) yield* operatorLines(operator);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  yield `${files.length} objects, ${sizeOf(total)}`;
  for (const { object, bytes, ranges, isShared } of files)
    yield `  ${sizeOf(bytes).padStart(10)}  ${object}${isShared ? ` (shared, ${ranges} files)` : ''}`;
}

function* operatorLines(operator: OperatorReport): Iterable<string> {
  const { id, uid, name, parallelism, maxParallelism, backends, keySchema, states } = operator;
  const { keyedBytes, operatorStateBytes, waitingBytes, hasCoordinatorState, hottestKeys } =
    operator;
  yield `operator "${name}"${uid === null ? '' : ` uid ${uid}`} (${id}), parallelism ${parallelism} of ${maxParallelism}`;
  if (keySchema !== null)
    yield `  keyed by ${schemaText(keySchema)}, ${sizeOf(keyedBytes)} in ${backends.join(', ')}`;
  if (waitingBytes > 0) yield `  ${sizeOf(waitingBytes)} of records that waited for state`;
  if (operatorStateBytes > 0) yield `  ${sizeOf(operatorStateBytes)} of operator state`;
  if (hasCoordinatorState) yield '  state of the source’s enumerator';
  if (hottestKeys.length > 0) yield '  hottest keys, by samples:';
  for (const { key, share } of hottestKeys)
    yield `      ${JSON.stringify(key)}: ${(100 * share).toFixed(1)} % of the records`;
  for (const state of states) yield* stateLines(state);
}

const schemaText = (json: JsonValue): string => describeSchema(schemaFromJson(json));

function* stateLines(state: StateReport): Iterable<string> {
  const { name, kind, valueSchema, namespaceSchema, userKeySchema } = state;
  const of = userKeySchema === null ? '' : `${schemaText(userKeySchema)} to `;
  const value = isTimers(kind) || valueSchema === null ? '' : ` of ${of}${schemaText(valueSchema)}`;
  const by = namespaceSchema === null ? '' : `, by namespace ${schemaText(namespaceSchema)}`;
  yield `  ${kind} "${name}"${value}${by}`;
  if (state.entries === null) return;
  const keys = state.keys === null ? 'too many keys to count' : `${state.keys} keys`;
  yield `    ${state.entries} entries, ${keys}, ${sizeOf(state.bytes ?? 0)}`;
  for (const { key, entries, bytes } of state.largestKeys)
    yield `      ${JSON.stringify(key)}: ${entries} entries, ${sizeOf(bytes)}`;
}
