/** The store at a location, for who has nothing but the location: what connectors are given as a `path`. */
import type { JsonValue } from '../base/json.ts';
import { realEnvironment, realWorld } from '../base/real-world.ts';
import type { ObjectStore } from './object-store.ts';
import { openObjectStore } from './open-store.ts';

/**
 * A folder, or `s3://bucket/prefix`; `config` holds options such as `s3.endpoint`. The folder is made when the first object is stored.
 * @throws `invalid` BAD_STORE_LOCATION, S3_NO_CREDENTIALS
 */
export const storeAt = (
  location: string,
  config: Readonly<Record<string, JsonValue>> = {},
): ObjectStore =>
  openObjectStore(location, { config, environment: realEnvironment(), world: realWorld() });
