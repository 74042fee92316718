import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseConfiguration } from './config-file.ts';

describe('configuration files', () => {
  test('nested, flat and mixed keys are the same options', () => {
    const expected = { 'execution.checkpointing.interval': '10 s', 'parallelism.default': 4 };
    for (const yaml of [
      'execution:\n  checkpointing:\n    interval: 10 s\nparallelism.default: 4',
      'execution.checkpointing.interval: 10 s\nparallelism:\n  default: 4',
      'execution:\n  checkpointing.interval: 10 s\nparallelism: { default: 4 }',
    ])
      assert.deepEqual(parseConfiguration(yaml), expected);
  });

  test('an empty file sets nothing', () => {
    assert.deepEqual(parseConfiguration('# nothing\n'), {});
  });

  test('every fault is reported, with its line', () => {
    const yaml = 'a: 1\na.b: 2\na:\n  b: 3\nlist: [1]\n7: x\n';
    assert.throws(
      () => parseConfiguration(yaml),
      (error: { code: string; details: { faults: readonly string[] } }) => {
        assert.equal(error.code, 'CONFIG_INVALID');
        assert.ok(error.details.faults.every((fault) => /^line \d+: /.test(fault)));
        return true;
      },
    );
    assert.throws(() => parseConfiguration('just text'), { code: 'CONFIG_INVALID' });
    assert.throws(() => parseConfiguration('x: [1]\ny: {z: [2]}'), {
      message: /line 1: x: expected one value[^]*line 2: y\.z: expected one value/,
    });
  });

  test('__proto__ pollutes nothing', () => {
    const settings = parseConfiguration('__proto__:\n  polluted: true\n');
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
    assert.deepEqual(Object.keys(settings), ['__proto__.polluted']);
  });
});
