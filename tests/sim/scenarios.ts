/** All named scenarios of a job in the simulated world, in the order of the list of fault scenarios. */
import { invalid } from '../../src/base/errors.ts';
import type { Scenario } from './scenario.ts';
import { STORE_SCENARIOS } from './store-scenarios.ts';

export const SCENARIOS: readonly Scenario[] = [...STORE_SCENARIOS];

export function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one.name === name);
  if (scenario !== undefined) return scenario;
  const known = SCENARIOS.map((one) => one.name).join(', ');
  throw invalid('NO_SUCH_SCENARIO', `there is no scenario ${name}; there are ${known}`);
}
