/** The program of a job that runs until now: the same graph and state, over sources that end where their input ends when it is looked at. */
import { invalid } from '../base/errors.ts';
import type { Source } from '../connector/source.ts';
import type { Program } from '../graph/program.ts';

/** @throws `invalid` UNTIL_NOW_UNSUPPORTED naming the sources that have no "now" */
export function boundedNow(program: Program): Program {
  if (program.config['execution.until'] !== 'now') return program;
  const nodes = new Map(program.nodes);
  const endless: string[] = [];
  for (const { id, kind, name } of program.graph.nodes) {
    if (kind !== 'source') continue;
    const code = nodes.get(id)!;
    const source = code.source as Source<unknown>; // a source node's code, by the graph's contract
    if (source.untilNow !== undefined) nodes.set(id, { ...code, source: source.untilNow() });
    else if (source.boundedness !== 'bounded') endless.push(name);
  }
  if (endless.length > 0)
    throw invalid(
      'UNTIL_NOW_UNSUPPORTED',
      `execution.until is now, and these sources cannot tell what exists now: ${endless.join(', ')}; bound them in the program`,
      { sources: endless },
    );
  return { ...program, nodes };
}
