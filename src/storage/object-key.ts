/** Object keys: what is allowed, checked once at every store's door. */
import { invalid, MillraceError } from '../base/errors.ts';
import type { ByteRange } from './object-store.ts';

const KEY = /^[A-Za-z0-9._=-]+(?:\/[A-Za-z0-9._=-]+)*$/;
const KEY_BYTES_MAX = 1024;

/** A segment that is `.` or `..`. */
const DOTS = /(?:^|\/)\.\.?(?:\/|$)/;

export const isKey = (text: string): boolean =>
  text.length <= KEY_BYTES_MAX && KEY.test(text) && !DOTS.test(text);

/** @throws `invalid` BAD_OBJECT_KEY; no key can leave the store's folder. */
export function checkKey(key: string): void {
  if (!isKey(key)) {
    throw invalid(
      'BAD_OBJECT_KEY',
      `${JSON.stringify(key)} is no object key: segments of [A-Za-z0-9._=-] joined by "/", at most ${KEY_BYTES_MAX} bytes`,
      { key },
    );
  }
}

const PREFIX = /^(?:[A-Za-z0-9._=-]+\/)*[A-Za-z0-9._=-]*$/;

/** Of a key, with the last segment cut anywhere. @throws `invalid` BAD_OBJECT_KEY */
export function checkPrefix(prefix: string): void {
  const folder = prefix.slice(0, Math.max(0, prefix.lastIndexOf('/')));
  if (folder !== '') checkKey(folder);
  if (!PREFIX.test(prefix))
    throw invalid('BAD_OBJECT_KEY', `no object key begins with ${JSON.stringify(prefix)}`, {
      prefix,
    });
}

/** @throws `invalid` BAD_RANGE */
export function checkRange(key: string, range: ByteRange, size: number): void {
  const { offset, length } = range;
  const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (!sound || offset < 0 || length < 0 || offset + length > size) {
    throw invalid(
      'BAD_RANGE',
      `bytes ${offset} to ${offset + length} of ${key}, which has ${size}`,
      { key, size },
    );
  }
}

export function objectNotFound(key: string): MillraceError {
  return new MillraceError('data', 'OBJECT_NOT_FOUND', `object ${key} does not exist`, {
    details: { key },
  });
}
