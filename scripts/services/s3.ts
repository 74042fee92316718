/**
 * A real S3-compatible server for tests: versitygw over a temporary folder, on a free loopback port.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { S3Options } from '../../src/storage/s3/s3-client.ts';
import { goBinary } from './go-binary.ts';
import { freePort, type Missing, ServiceProcess } from './service.ts';

const VERSION = '1.8.0';
const READY_MS_MAX = 20_000;
const CREDENTIALS = { accessKeyId: 'millrace-tests', secretAccessKey: 'millrace-tests-secret' };
const REGION = 'us-east-1';

export interface S3Service {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: typeof CREDENTIALS;
  readonly process: ServiceProcess;
  /** Options of a store in a fresh bucket. */
  bucket(name: string): Promise<S3Options>;
  stop(): Promise<void>;
}

/** Starts a server, or says what this machine lacks. */
export async function startS3(): Promise<S3Service | Missing> {
  const binary = await goBinary('github.com/versity/versitygw/cmd/versitygw', VERSION);
  if (typeof binary !== 'string') return binary;
  const folder = await mkdtemp(`${tmpdir()}/millrace-s3-`);
  await mkdir(`${folder}/objects`);
  await mkdir(`${folder}/meta`);
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const process = new ServiceProcess({
    name: 'versitygw',
    command: binary,
    args: [
      ...['--port', `127.0.0.1:${port}`, '--region', REGION, '--quiet'],
      ...['--access', CREDENTIALS.accessKeyId, '--secret', CREDENTIALS.secretAccessKey],
      ...['posix', '--sidecar', `${folder}/meta`, `${folder}/objects`],
    ],
    isReady: async () => (await fetch(endpoint).catch(() => undefined)) !== undefined,
    readyMsMax: READY_MS_MAX,
  });
  const stop = async (): Promise<void> => {
    await process.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await process.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    region: REGION,
    credentials: CREDENTIALS,
    process,
    // A bucket of this server is a folder.
    bucket: async (name) => {
      await mkdir(`${folder}/objects/${name}`, { recursive: true });
      return {
        endpoint,
        region: REGION,
        bucket: name,
        credentials: CREDENTIALS,
        wallMs: () => Date.now(),
      };
    },
    stop,
  };
}
