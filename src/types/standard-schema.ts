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
    '~standard' in value
  );
}

const pathOf = (issue: StandardIssue): string =>
  (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.');

/** Validates one value. @throws `invalid` ASYNC_VALIDATOR when the schema validates asynchronously. */
export function validate<T>(schema: StandardSchema<T>, value: unknown): Validated<T> {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
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
