/** Apache Flink as a peer of `bench -- nexmark`: builds the Maven project beside this when its sources changed, and runs it. README.md says how it is tuned. */
import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LineProcess } from '../../nexmark/line-process.ts';
import type { Peer, PeerOptions } from '../../nexmark/peer.ts';

const PROJECT = import.meta.dirname;
const SOURCES = join(PROJECT, 'src/main/java/millrace/nexmark');
const CLASSES = join(PROJECT, 'target/classes');
/** Written last by the build. */
const CLASS_PATH = join(PROJECT, 'target/classpath');
const BUILD_MS_MAX = 600_000;

/** State that is not on the heap is compared with the best that Flink has for it. */
const BACKENDS_FOR: Readonly<Record<string, readonly string[]>> = {
  hashmap: ['hashmap'],
  forst: ['rocksdb', 'forst'],
};

const JVM_OPTIONS = [
  ...['-Xms3g', '-Xmx3g', '-XX:-UsePerfData', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'],
  // What Flink's own start scripts open.
  ...['lang', 'net', 'io', 'nio', 'lang.reflect', 'text', 'time', 'util', 'util.concurrent'].map(
    (name) => `--add-opens=java.base/java.${name}=ALL-UNNAMED`,
  ),
];

export const backendsFor = (backend: string): readonly string[] =>
  BACKENDS_FOR[backend] ?? [backend];

async function isBuilt(): Promise<boolean> {
  const built = await stat(CLASS_PATH).catch(() => undefined);
  if (built === undefined) return false;
  const sources = (await readdir(SOURCES)).map((name) => join(SOURCES, name));
  const times = await Promise.all(
    [join(PROJECT, 'pom.xml'), ...sources].map(async (path) => (await stat(path)).mtimeMs),
  );
  return times.every((time) => time < built.mtimeMs);
}

async function build(): Promise<void> {
  if (await isBuilt()) return;
  const goals = ['clean', 'compile', 'dependency:build-classpath'];
  await promisify(execFile)('mvn', ['-q', '-B', ...goals, `-Dmdep.outputFile=${CLASS_PATH}`], {
    cwd: PROJECT,
    timeout: BUILD_MS_MAX,
  });
}

/** README.md has the reasons. */
const optionsOf = ({ backend, dir, managedBytes, config }: PeerOptions) => ({
  'state.backend.type': backend,
  'pipeline.object-reuse': 'true',
  'restart-strategy.type': 'none',
  'rest.bind-port': '0',
  'io.tmp.dirs': dir,
  'taskmanager.memory.managed.size': String(managedBytes),
  'execution.checkpointing.dir': `file://${join(dir, 'checkpoints')}`,
  'execution.checkpointing.incremental': 'true',
  'state.backend.rocksdb.timer-service.factory': 'HEAP',
  'state.backend.forst.timer-service.factory': 'HEAP',
  'state.backend.forst.primary-dir': 'local',
  ...config,
});

export async function start(options: PeerOptions): Promise<Peer> {
  await build();
  const classPath = `${CLASSES}:${await readFile(CLASS_PATH, 'utf8')}`;
  const pairs = Object.entries(optionsOf(options)).map(([key, value]) => `${key}=${value}`);
  const child = new LineProcess(`Flink (${options.backend})`, 'java', [
    ...JVM_OPTIONS,
    ...['-cp', classPath, 'millrace.nexmark.Main', options.eventFile],
    ...[String(options.parallelism), ...pairs],
  ]);
  return {
    run: async (query) => JSON.parse(await child.ask(`run ${query} ${options.dir}`)), // Main.java's shape
    dump: async (query, file) => {
      await child.ask(`dump ${query} ${options.dir} ${file}`);
    },
    close: () => child.close(),
  };
}
