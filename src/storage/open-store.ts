/**
 * The object store that a location names:  a folder (`/data/checkpoints`, `file:///data/checkpoints`) or `s3://bucket/prefix`.
 *
 * Stores that are reached over a network retry and count their requests. Credentials come from the options, else from the standard
 * environment variables of AWS.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { World } from '../base/world.ts';
import { LocalStore } from './local-store.ts';
import { MeteringStore } from './metering-store.ts';
import type { ObjectStore } from './object-store.ts';
import { RetryingStore } from './retrying-store.ts';
import type { S3Options } from './s3/s3-client.ts';
import { S3Store } from './s3/s3-store.ts';

export interface StoreSettings {
  /** Job options, by Flink's keys: those beginning with `s3.`. */
  readonly config: Readonly<Record<string, JsonValue>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly world: Pick<World, 'clock' | 'timers' | 'random' | 'ids'>;
}

const REGION_DEFAULT = 'us-east-1';

/** @throws `invalid` BAD_STORE_LOCATION, S3_NO_CREDENTIALS */
export function openObjectStore(location: string, settings: StoreSettings): ObjectStore {
  const { world } = settings;
  const scheme = /^([a-z][a-z0-9+]*):\/\//.exec(location)?.[1];
  if (scheme === undefined || scheme === 'file')
    return new LocalStore(location.replace(/^file:\/\//, ''), world.ids);
  if (scheme === 's3' || scheme === 's3a') {
    const store = new S3Store(s3OptionsOf(location, settings));
    return new RetryingStore(new MeteringStore(store, world), world);
  }
  throw invalid(
    'BAD_STORE_LOCATION',
    `${location}: objects can be kept in a folder (a path, or file://) or in S3 (s3://bucket/prefix)`,
    { location },
  );
}

function s3OptionsOf(location: string, { config, environment, world }: StoreSettings): S3Options {
  const [, bucket, prefix] = /^s3a?:\/\/([^/]+)\/?(.*?)\/*$/.exec(location) ?? [];
  if (bucket === undefined)
    throw invalid('BAD_STORE_LOCATION', `${location} names no bucket: s3://bucket/prefix`);
  const text = (key: string, ...variables: readonly string[]): string | undefined => {
    const set = config[key];
    if (typeof set === 'string') return set;
    return variables.map((name) => environment[name]).find((value) => value !== undefined);
  };
  const region = text('s3.region', 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? REGION_DEFAULT;
  const accessKeyId = text('s3.access-key', 'AWS_ACCESS_KEY_ID');
  const secretAccessKey = text('s3.secret-key', 'AWS_SECRET_ACCESS_KEY');
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw invalid(
      'S3_NO_CREDENTIALS',
      `${location} needs credentials: set s3.access-key and s3.secret-key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment`,
    );
  const sessionToken = text('s3.session-token', 'AWS_SESSION_TOKEN');
  const ca = text('s3.ssl.ca');
  const pathStyle = config['s3.path.style.access'];
  return {
    endpoint:
      text('s3.endpoint', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL') ??
      `https://s3.${region}.amazonaws.com`,
    region,
    bucket,
    prefix: prefix ?? '',
    credentials: {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    ...(typeof pathStyle === 'boolean' ? { pathStyle } : {}),
    ...(ca === undefined ? {} : { ca }),
    wallMs: () => world.clock.wallMs(),
  };
}
