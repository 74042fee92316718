/** All named scenarios of a job in the simulated world, in the order of the list of fault scenarios. */
import { invalid } from '../../src/base/errors.ts';
import { F27 } from './backpressure-scenario.ts';
import { F19 } from './collector-scenarios.ts';
import { F22 } from './corruption-scenario.ts';
import { DISK_SCENARIOS } from './disk-scenarios.ts';
import type { Scenario } from './scenario.ts';
import { PROCESS_SCENARIOS } from './process-scenarios.ts';
import { STORE_SCENARIOS } from './store-scenarios.ts';
import { ZOMBIE_SCENARIOS } from './zombie-scenarios.ts';

const numberOf = ({ name }: Scenario): number => Number(name.slice(1));

/** By number. */
export const SCENARIOS: readonly Scenario[] = [
  ...PROCESS_SCENARIOS,
  ...ZOMBIE_SCENARIOS,
  ...STORE_SCENARIOS,
  F19,
  ...DISK_SCENARIOS,
  F22,
  F27,
].toSorted((a, b) => numberOf(a) - numberOf(b));

export function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario !== undefined) return scenario;
  const known = SCENARIOS.map((one) => one.name).join(', ');
  throw invalid('NO_SUCH_SCENARIO', `there is no scenario ${name}; there are ${known}`);
}
