/** Object keys: what is allowed, checked once at every store's door. */
import { invalid, MillraceError } from '../base/errors.ts';
import type { ByteRange } from './object-store.ts';

const KEY = /^[A-Za-z0-9._=-]+(?:\/[A-Za-z0-9._=-]+)*$/;
const KEY_BYTES_MAX = 1024;

/** @throws `invalid` BAD_OBJECT_KEY; no key can leave the store's folder. */
export function checkKey(key: string): void {
  const dots = key.split('/').some((segment) => segment === '.' || segment === '..');
  if (!KEY.test(key) || dots || key.length > KEY_BYTES_MAX) {
    throw invalid(
      'BAD_OBJECT_KEY',
      `${JSON.stringify(key)} is no object key: segments of [A-Za-z0-9._=-] joined by "/", at most ${KEY_BYTES_MAX} bytes`,
      { key },
    );
  }
}

/** @throws `invalid` BAD_RANGE */
export function checkRange(key: string, range: ByteRange, size: number): void {
  if (range.offset < 0 || range.length < 0 || range.offset + range.length > size) {
    throw invalid(
      'BAD_RANGE',
      `bytes ${range.offset} to ${range.offset + range.length} of ${key}, which has ${size}`,
      { key, size },
    );
  }
}

export function objectNotFound(key: string): MillraceError {
  return new MillraceError('data', 'OBJECT_NOT_FOUND', `object ${key} does not exist`, {
    details: { key },
  });
}
