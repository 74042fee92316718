/**
 * Options given from outside the program, in the environment variable `MILLRACE_OPTIONS` as one JSON object: `millrace run` puts its own there,
 * and worker threads inherit them. They win over the program's, since programs are where most configuration is: Flink has it the other way
 * round.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';

export const OPTIONS_VARIABLE = 'MILLRACE_OPTIONS';

/** @throws `invalid` CONFIG_INVALID */
export function givenOptions(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, JsonValue>> {
  const text = environment[OPTIONS_VARIABLE];
  if (text === undefined || text === '') return {};
  let options: unknown;
  try {
    options = JSON.parse(text);
  } catch (cause) {
    throw notAnObject(cause);
  }
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw notAnObject(undefined);
  return options as Readonly<Record<string, JsonValue>>; // JSON, checked to be an object
}

const notAnObject = (cause: unknown) =>
  invalid(
    'CONFIG_INVALID',
    `${OPTIONS_VARIABLE} is not a JSON object of options such as {"parallelism.default": 4}`,
    { reason: String(cause) },
  );
