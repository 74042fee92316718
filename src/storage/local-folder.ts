/** A local folder as an object store, by its path alone. */
import { randomIds } from '../base/random-ids.ts';
import { LocalStore } from './local-store.ts';
import type { ObjectStore } from './object-store.ts';

/** @throws nothing; the folder is made when the first object is stored. */
export function localFolder(path: string): ObjectStore {
  return new LocalStore(path, randomIds);
}
