/**
 * Nexmark: every query as a program and as a hand-written loop, in turn over the same events in memory, each query in a process of its
 * own; with `--peer`, another engine over the same event file besides, which takes its turns with them. Throughput is in events, all kinds
 * counted, per second and per second of CPU (all threads of the process, garbage collection and compilation included).
 *
 * Not measured: reading events, connectors other than q10's files, networks.
 */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contest } from './contest.ts';
import { HEADER_BYTES, readEventFile, readHeader, writeEventFile } from './event-file.ts';
import type { PeerEngine } from './peer.ts';
import { checkPeer, loadPeer } from './peers.ts';
import { type Section, type Settings, settingsOf } from './settings.ts';
import { figuresOf, HEADING, print, type Row, rowOf } from './table.ts';

export { USAGE } from './settings.ts';

/** What a peer's results are compared over: forty seconds of event time. */
const CHECKED = { events: 20_000, eventsPerSecond: 500, seed: 3 };

async function countOf(eventFile: string): Promise<number> {
  const file = await open(eventFile);
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    await file.read(header);
    return readHeader(header).events;
  } finally {
    await file.close();
  }
}

async function runSection(
  { backend, queries, events }: Section,
  settings: Settings,
  { engine, dir }: { readonly engine: PeerEngine | undefined; readonly dir: string },
): Promise<readonly Row[]> {
  const eventFile = settings.eventFile ?? join(dir, 'events');
  const { eventsPerSecond } = settings;
  if (settings.eventFile === undefined)
    await writeEventFile(eventFile, { events, eventsPerSecond });
  const eventsIn = await countOf(eventFile);
  if (engine !== undefined) await checkSection(engine, backend, { queries, dir });
  console.log(`${backend}, ${eventsIn} events\n${HEADING}`);
  const rows: Row[] = [];
  // State is compared with a peer's, and loops have none to compare with.
  const withLoop = settings.withLoop && backend === settings.sections[0]!.backend;
  for (const query of queries) {
    const work = await mkdtemp(join(dir, query));
    const options = { query, backend, eventFile, withLoop, settings, engine, dir: work };
    const row = rowOf(await contest(options), eventsIn);
    await rm(work, { recursive: true });
    print(row);
    rows.push(row);
  }
  return rows;
}

/** What computes something else is not compared. */
async function checkSection(
  engine: PeerEngine,
  ours: string,
  { queries, dir }: { readonly queries: readonly string[]; readonly dir: string },
): Promise<void> {
  const eventFile = join(dir, 'checked-events');
  await writeEventFile(eventFile, CHECKED);
  const events = await readEventFile(eventFile);
  for (const backend of engine.backendsFor(ours)) {
    const work = join(dir, `check-${backend}`);
    await mkdir(work);
    const options = {
      eventFile,
      backend,
      parallelism: 1,
      managedBytes: 1 << 26,
      dir: work,
      config: {},
    };
    const peer = await engine.start(options);
    try {
      await checkPeer(peer, queries, { events, dir });
    } finally {
      await peer.close();
    }
    console.log(`results of the peer (${backend}) are those of the reference`);
  }
}

export async function run({
  quick,
  args,
}: {
  quick: boolean;
  args: readonly string[];
}): Promise<Readonly<Record<string, number>>> {
  const settings = settingsOf(args, quick);
  const engine = settings.peer === undefined ? undefined : await loadPeer(settings.peer);
  const dir = await mkdtemp(join(tmpdir(), 'millrace-nexmark-events-'));
  try {
    const rows: Row[] = [];
    for (const section of settings.sections)
      rows.push(...(await runSection(section, settings, { engine, dir })));
    return figuresOf(rows, settings.peer);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
