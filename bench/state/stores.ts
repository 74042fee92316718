/** Stores of the state benchmarks. */
import { realWorld } from '../../src/base/real-world.ts';
import type { TableFiles } from '../../src/lsm/table-files.ts';
import { LocalStore } from '../../src/storage/local-store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';

export const localStore = (folder: string): LocalStore => new LocalStore(folder, realWorld().ids);

let attempts = 0;

/** Every file an object of its own. */
export function plainFiles(store: ObjectStore): TableFiles {
  const attempt = `a${attempts++}`;
  let files = 0;
  return {
    async write(bytes) {
      const id = `${attempt}-${files++}`;
      await store.put(id, bytes);
      return { id, object: id, offset: 0 };
    },
  };
}

export const yieldToLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
