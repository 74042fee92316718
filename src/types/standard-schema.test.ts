import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import type { Logger } from '../base/world.ts';
import { checkValue } from './check-value.ts';
import { warnGeneric } from './generic-values.ts';
import { isStandardSchema, type StandardSchema, validateWith } from './standard-schema.ts';
import { t } from './t.ts';

const standard = <T>(validate: StandardSchema<T>['~standard']['validate']): StandardSchema<T> => ({
  '~standard': { version: 1, vendor: 'test', validate },
});

suite('standard schemas', () => {
  test('give the value they make of the input', () => {
    const trimmed = standard((value) => ({ value: String(value).trim() }));
    assert.deepEqual(validateWith(trimmed)(' a '), { ok: true, value: 'a' });
  });

  test('give every issue with its path as the reason', () => {
    const strict = standard<never>(() => ({
      issues: [{ message: 'no' }, { message: 'bad', path: ['a', { key: 0 }, 'b'] }],
    }));
    assert.deepEqual(validateWith(strict)(1), { ok: false, reason: 'no; a.0.b: bad' });
  });

  test('are refused when they validate asynchronously, whatever kind of promise they give', async () => {
    const rejecting = standard<never>(() => Promise.reject(new RangeError('later')));
    const foreign = runInNewContext('Promise.resolve({ value: 1 })') as Promise<{ value: never }>; // what the text says
    const thenable = standard<never>(() => foreign);
    for (const schema of [rejecting, thenable])
      assert.throws(() => validateWith(schema)(1), { kind: 'invalid', code: 'ASYNC_VALIDATOR' });
    await Promise.resolve();
  });

  test('are told from other things', () => {
    for (const other of [
      null,
      undefined,
      1,
      {},
      { '~standard': null },
      { '~standard': { version: 2 } },
    ]) {
      assert.equal(isStandardSchema(other), false);
      assert.throws(() => validateWith(other as never), { code: 'NOT_A_STANDARD_SCHEMA' }); // wrong on purpose
    }
    const callable = Object.assign(
      () => 0,
      standard((value) => ({ value })),
    );
    assert.ok(isStandardSchema(callable));
  });
});

suite('plain data against a schema', () => {
  test('takes what the codec can write, and says where it does not fit', () => {
    const schema = t.struct({
      a: t.optional(t.int8()),
      d: t.field(t.decimal(4, 2), { default: '0' }),
    });
    assert.deepEqual(checkValue(schema, { a: null, extra: 1 }), {
      ok: true,
      value: { a: undefined, d: '0' },
    });
    assert.deepEqual(checkValue(schema, { a: 200 }), {
      ok: false,
      reason: 'a: expected int8, got number',
    });
    assert.equal(checkValue(schema, { d: '123.4' }).ok, false);
  });
});

suite('schemaless types', () => {
  test('are warned of once per place', () => {
    const lines: string[] = [];
    const logger: Logger = { log: (level, message) => lines.push(`${level} ${message}`) };
    warnGeneric('map "a" of the test', logger);
    warnGeneric('map "a" of the test', logger);
    warnGeneric('map "b" of the test', logger);
    assert.equal(lines.length, 2);
    assert.match(lines[0]!, /^warn map "a" of the test has no schema/);
  });
});
