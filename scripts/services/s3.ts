/**
 * A real S3-compatible server for tests: versitygw over a temporary folder, on a free loopback port.
 *
 * The binary is built once from the Go module proxy into `.services/` of the repository root.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import type { S3Options } from '../../src/storage/s3/s3-client.ts';
import { freePort, type Missing, ServiceProcess } from './service.ts';

const run = promisify(execFile);

const VERSION = '1.8.0';
const ROOT = `${import.meta.dirname}/../..`;
const CACHE = `${ROOT}/.services`;
const BINARY = `${CACHE}/versitygw-${VERSION}`;
const BUILD_MS_MAX = 400_000;
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
  const missing = await build();
  if (missing !== undefined) return missing;
  const folder = await mkdtemp(`${tmpdir()}/millrace-s3-`);
  await mkdir(`${folder}/objects`);
  await mkdir(`${folder}/meta`);
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const process = new ServiceProcess({
    name: 'versitygw',
    command: BINARY,
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

async function build(): Promise<Missing | undefined> {
  if (await exists(BINARY)) return undefined;
  await mkdir(CACHE, { recursive: true });
  const bin = await mkdtemp(`${CACHE}/build-`);
  try {
    await run('go', ['install', `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`], {
      env: { ...process.env, GOBIN: bin },
      timeout: BUILD_MS_MAX,
    });
    await rename(`${bin}/versitygw`, BINARY);
    return undefined;
  } catch (error) {
    return { missing: `versitygw could not be built with Go: ${(error as Error).message}` };
  } finally {
    await rm(bin, { recursive: true, force: true });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
