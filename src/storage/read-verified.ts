/**
 * Reads what carries a checksum. Bytes can be altered on their way, by a proxy, a cache, or memory that fails: what does not verify is asked
 * for once more, and only what fails twice is taken to be wrong where it is stored.
 */
import { isMillraceError } from '../base/errors.ts';

/** @throws what `read` throws; the `data` error of `open` when it fails twice */
export async function readVerified<T>(
  read: () => Promise<Uint8Array>,
  open: (bytes: Uint8Array) => T,
): Promise<T> {
  const bytes = await read();
  try {
    return open(bytes);
  } catch (error) {
    if (!isMillraceError(error) || error.kind !== 'data') throw error;
  }
  return open(await read());
}
