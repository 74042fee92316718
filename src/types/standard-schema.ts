/** Standard Schema (standardschema.dev, version 1): the validators of zod, valibot, arktype and others, accepted at sources. */
import { invalid } from '../base/errors.ts';

export interface StandardSchema<Output> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

export type Validated<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export function isStandardSchema(value: unknown): value is StandardSchema<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    '~standard' in value &&
    (value as Partial<StandardSchema<unknown>>)['~standard']?.version === 1 // whatever it is, reading a version of it is safe
  );
}

const pathOf = (issue: StandardIssue): string =>
  (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');

const isThenable = (result: object): boolean =>
  'then' in result && typeof result.then === 'function';

/**
 * Validates one value: what the schema makes of it, or why it is malformed.
 * @throws `invalid` ASYNC_VALIDATOR when the schema validates asynchronously.
 */
export function validate<T>(schema: StandardSchema<T>, value: unknown): Validated<T> {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise || isThenable(result)) {
    // Nobody waits for the answer: its failure must not become an unhandled rejection.
    Promise.resolve(result).catch(() => {});
    throw invalid(
      'ASYNC_VALIDATOR',
      `the ${schema['~standard'].vendor} schema validates asynchronously; sources need a synchronous one`,
    );
  }
  if (result.issues === undefined) return { ok: true, value: result.value };
  const reasons = result.issues.map((issue) =>
    pathOf(issue) === '' ? issue.message : `${pathOf(issue)}: ${issue.message}`,
  );
  return { ok: false, reason: reasons.join('; ') };
}

/** `validate` for the records of one source, its schema checked once. @throws `invalid` NOT_A_STANDARD_SCHEMA @public */
export function validateWith<T>(schema: StandardSchema<T>): (value: unknown) => Validated<T> {
  if (!isStandardSchema(schema) || typeof schema['~standard'].validate !== 'function')
    throw invalid(
      'NOT_A_STANDARD_SCHEMA',
      'a validator must be a Standard Schema, version 1: zod, valibot, arktype and others are',
    );
  return (value) => validate(schema, value);
}
