/** `millrace check` and `millrace explain`: what a program would do, without running it. */
import type { Command } from 'commander';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { keepAlive, realWorld, setExitCode } from '../base/real-world.ts';
import { checkState, type OperatorVerdict, type StateVerdict } from '../cluster/check-state.ts';
import { checkDelivery } from '../graph/delivery.ts';
import { explainJson, explainText } from '../graph/explain.ts';
import type { Program } from '../graph/program.ts';
import { StoreSnapshotReader } from '../state/checkpoint-storage.ts';
import { findCheckpoint } from './checkpoint-location.ts';
import { interceptPrograms } from './intercept.ts';
import { loadProgram } from './run-command.ts';

type Config = Readonly<Record<string, JsonValue>>;
type Property = (given: string, before: Config) => Config;

export function addCheckCommands(program: Command, property: Property): void {
  program
    .command('check <program> [arguments...]')
    .description(
      'whether a program can start from a savepoint or checkpoint, and what becomes of its state',
    )
    .requiredOption('--against <savepoint>', 'a savepoint, a checkpoint, or a job')
    .option('-n, --allowNonRestoredState', 'state that would be dropped is no failure')
    .option('--json', 'as one JSON object')
    .option('-D <key=value>', 'an option such as s3.endpoint', property, {})
    .passThroughOptions()
    .action(check);
  program
    .command('explain <program> [arguments...]')
    .description('the plan, what is promised, and what to look at')
    .option('--json', 'as one JSON object')
    .option('-D <key=value>', 'an option such as parallelism.default', property, {})
    .passThroughOptions()
    .action(explain);
}

const programsOf = (file: string, args: readonly string[], options: Config) =>
  interceptPrograms(() => loadProgram(file, args, options));

async function explain(
  file: string,
  args: readonly string[],
  { json = false, D }: { readonly json?: boolean; readonly D: Config },
): Promise<void> {
  for (const program of await programsOf(file, args, D))
    realWorld().print(json ? JSON.stringify(explainJson(program)) : explainText(program).trimEnd());
}

interface CheckOptions {
  readonly against: string;
  readonly allowNonRestoredState?: boolean;
  readonly json?: boolean;
  readonly D: Config;
}

async function check(
  file: string,
  args: readonly string[],
  { against, allowNonRestoredState = false, json = false, D }: CheckOptions,
): Promise<void> {
  const world = realWorld();
  const release = keepAlive();
  const programs = await programsOf(file, args, D);
  const { store, record } = await findCheckpoint(against, D);
  try {
    const program = programOf(programs, record.jobName, file);
    checkDelivery(program.graph, program.config);
    const yieldToLoop = () => new Promise<void>((resolve) => world.timers.soon(resolve));
    const source = { store, reader: new StoreSnapshotReader(store), yieldToLoop };
    const operators = await checkState({ program, record, source, world });
    const isLost = operators.some(({ states }) =>
      states.some(({ fate }) => isLoss(fate, allowNonRestoredState)),
    );
    if (json) world.print(JSON.stringify({ fits: !isLost, operators }, undefined, 2));
    else for (const line of linesOf(operators)) world.print(line);
    if (isLost) setExitCode(1);
  } finally {
    release();
    await store.close();
  }
}

const isLoss = (fate: StateVerdict['fate'], mayDrop: boolean): boolean =>
  fate === 'impossible' || (fate === 'dropped' && !mayDrop);

/** Of several jobs in a module, the one of that name. */
function programOf(programs: readonly Program[], jobName: string, file: string): Program {
  const named = programs.find(({ graph }) => graph.name === jobName);
  const [only, ...others] = programs;
  if (named !== undefined) return named;
  if (only !== undefined && others.length === 0) return only;
  throw invalid(
    'NO_SUCH_PROGRAM',
    `${file} executes ${programs.map(({ graph }) => `"${graph.name}"`).join(', ') || 'no job'}, and the state is of "${jobName}"`,
  );
}

function* linesOf(operators: readonly OperatorVerdict[]): Iterable<string> {
  for (const { name, uid, states } of operators) {
    yield `operator "${name}"${uid === null ? '' : ` uid ${uid}`}`;
    for (const { state, kind, fate, because } of states) {
      const what = state === null ? 'its state' : `${kind} "${state}"`;
      yield `  ${fate.padEnd(10)} ${what}${because.length === 0 ? '' : `: ${because.join('; ')}`}`;
    }
  }
}
