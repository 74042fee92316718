import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../base/errors.ts';
import { readVerified } from './read-verified.ts';

const open = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString();
  if (text !== 'good') throw new MillraceError('data', 'BAD', text);
  return text;
};

const reading = (...answers: readonly string[]) => {
  const left = [...answers];
  return async () => Buffer.from(left.shift()!);
};

test('what was altered on its way is read again, what is wrong twice is an error', async () => {
  assert.equal(await readVerified(reading('good'), open), 'good');
  assert.equal(await readVerified(reading('bad', 'good'), open), 'good');
  await assert.rejects(readVerified(reading('bad', 'worse', 'good'), open), { message: 'worse' });
});

test('what is no matter of the bytes is not read again', async () => {
  let reads = 0;
  const failing = async (): Promise<Uint8Array> => {
    reads++;
    throw new MillraceError('data', 'OBJECT_NOT_FOUND', 'gone');
  };
  await assert.rejects(readVerified(failing, open), { code: 'OBJECT_NOT_FOUND' });
  assert.equal(reads, 1);
});
