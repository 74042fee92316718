/**
 * Lets a command have the programs of a module instead of running them. It hangs on the process, not on this module: the program may come
 * with a copy of Millrace of its own, and must not be run by mistake.
 */
import type { Program } from '../graph/program.ts';

type Intercept = (program: Program) => void;

const KEY = Symbol.for('millrace.intercept');
const holder = globalThis as { [KEY]?: Intercept };

/** Undefined where programs are to be run. */
export const interceptor = (): Intercept | undefined => holder[KEY];

/** The programs that `run` executes; each of their `execute` settles at once, as of a job that has finished before. */
export async function interceptPrograms(run: () => Promise<void>): Promise<readonly Program[]> {
  const programs: Program[] = [];
  holder[KEY] = (program) => programs.push(program);
  try {
    await run();
  } finally {
    delete holder[KEY];
  }
  return programs;
}
