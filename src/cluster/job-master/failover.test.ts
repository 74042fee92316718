import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorDetails, type ErrorKind, MillraceError } from '../../base/errors.ts';
import { decideFailover, type Region } from './failover.ts';
import { NO_RESTARTS } from './restart-strategy.ts';

const region: Region = new Set(['v']);

const decide = (kind: ErrorKind, code: string, details: ErrorDetails = {}): string =>
  decideFailover(
    {
      error: new MillraceError(kind, code, 'failed', { details }),
      regions: [region],
      moment: { nowMs: 0, random: 0.5 },
    },
    new Set(),
    { type: 'fixed-delay', attemptsMax: 10, delayMs: 1 },
    NO_RESTARTS,
  ).type;

describe('a failure', () => {
  test('that a restart may mend restarts its regions', () => {
    assert.equal(decide('unavailable', 'KAFKA_UNAVAILABLE'), 'restart');
    assert.equal(decide('data', 'MALFORMED_RECORD'), 'restart');
    assert.equal(decide('invalid', 'USER_CODE_FAILED'), 'restart');
  });

  test('that would happen again fails the job: lost ownership, a wrong program, what a connector calls permanent', () => {
    assert.equal(decide('fenced', 'ANY'), 'fail');
    assert.equal(decide('invalid', 'BAD_KAFKA_SINK'), 'fail');
    assert.equal(decide('data', 'KAFKA_COMMIT_REFUSED', { permanent: true }), 'fail');
    assert.equal(decide('data', 'KAFKA_COMMIT_REFUSED', { permanent: 'no' }), 'restart');
  });
});
