/** The other engines by name, and whether they compute the same. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Event } from './model.ts';
import type { Peer, PeerEngine } from './peer.ts';
import { QUERIES } from './queries.ts';
import { referenceOf } from './reference.ts';
import { settled } from './settled.ts';

const ENGINES: Readonly<Record<string, () => Promise<PeerEngine>>> = {
  flink: () => import('../peers/flink/flink.ts'),
};

export async function loadPeer(name: string): Promise<PeerEngine> {
  const load = ENGINES[name];
  if (load === undefined)
    throw new RangeError(`no peer ${name}; there are: ${Object.keys(ENGINES).join(', ')}`);
  return load();
}

/** @throws RangeError when the peer yields other results than the reference */
export async function checkPeer(
  peer: Peer,
  queries: readonly string[],
  { events, dir }: { readonly events: readonly Event[]; readonly dir: string },
): Promise<void> {
  for (const query of queries) {
    const reference = referenceOf(query, events);
    // What q10 yields is files, and what it writes is measured.
    if (reference === undefined || QUERIES[query]!.sink !== undefined) continue;
    const file = join(dir, `${query}.json`);
    await peer.dump(query, file);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    const results = lines.map((line) => JSON.parse(line) as object); // one result a line
    const actual = settled(results, QUERIES[query]!);
    const expected = settled(reference, QUERIES[query]!);
    const at = expected.findIndex((result, i) => result !== actual[i]);
    if (at !== -1 || actual.length !== expected.length)
      throw new RangeError(
        `${query} of the peer has ${actual.length} results, the reference ${expected.length}: ${actual[at]} is not ${expected[at]}`,
      );
  }
}
