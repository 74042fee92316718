/** Servers from the Go module proxy, built once into `.services/` of the repository root. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Missing } from './service.ts';

const run = promisify(execFile);

const CACHE = `${import.meta.dirname}/../../.services`;
const BUILD_MS_MAX = 400_000;

/** The path of the binary that `go install <module>@v<version>` makes, or what this machine lacks for it. */
export async function goBinary(module: string, version: string): Promise<string | Missing> {
  const name = module
    .replace(/\/v\d+$/, '')
    .split('/')
    .at(-1)!;
  const binary = `${CACHE}/${name}-${version}`;
  if (await exists(binary)) return binary;
  await mkdir(CACHE, { recursive: true });
  const bin = await mkdtemp(`${CACHE}/build-`);
  try {
    await run('go', ['install', `${module}@v${version}`], {
      env: { ...process.env, GOBIN: bin },
      timeout: BUILD_MS_MAX,
    });
    await rename(`${bin}/${name}`, binary);
    return binary;
  } catch (error) {
    return { missing: `${name} could not be built with Go: ${(error as Error).message}` };
  } finally {
    await rm(bin, { recursive: true, force: true });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
