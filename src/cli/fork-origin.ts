/** Where a fork comes from: an object in its folder, and the store whose objects its checkpoints name beside its own. */
import { realEnvironment, realWorld } from '../base/real-world.ts';
import type { JsonValue } from '../base/json.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { openObjectStore } from '../storage/open-store.ts';
import { OverlayStore } from '../storage/overlay-store.ts';

type Config = Readonly<Record<string, JsonValue>>;

const ORIGIN_KEY = 'fork';

export interface ForkOrigin {
  readonly version: 1;
  /** The folder or s3://bucket/prefix of the checkpoints. */
  readonly location: string;
  readonly jobId: string;
  readonly pinId: string;
  readonly config: Config;
}

export const openStoreAt = (location: string, config: Config): ObjectStore =>
  openObjectStore(location, { config, environment: realEnvironment(), world: realWorld() });

/** The origin of the fork in that folder; undefined: there is none. */
export async function readForkOrigin(folder: ObjectStore): Promise<ForkOrigin | undefined> {
  if ((await folder.head(ORIGIN_KEY)) === undefined) return undefined;
  return JSON.parse(Buffer.from(await folder.get(ORIGIN_KEY)).toString('utf8')) as ForkOrigin; // written below
}

export async function writeForkOrigin(folder: ObjectStore, origin: ForkOrigin): Promise<void> {
  await folder.put(ORIGIN_KEY, Buffer.from(JSON.stringify(origin)));
}

/** A folder to read checkpoints from: of a fork, with what its origin's store has. The caller closes it. */
export async function openToRead(location: string, config: Config): Promise<ObjectStore> {
  const store = openStoreAt(location, config);
  try {
    const origin = await readForkOrigin(store);
    if (origin === undefined) return store;
    return new OverlayStore(store, openStoreAt(origin.location, origin.config));
  } catch (error) {
    await store.close();
    throw error;
  }
}
