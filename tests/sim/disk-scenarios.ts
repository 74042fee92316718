/** The cache on local disk breaks (F20), or holds what it should not (F21). */
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { DiskTrouble, MemoryDisk } from '../../src/testing/memory-disk.ts';
import type { Scenario } from './scenario.ts';
import type { Settings } from './settings.ts';
import { CRASHES, drawFaults, drawShort } from './short-settings.ts';

/** The short job on forst with a disk cache, and crashes: what it reads is on disk or in the store, seldom in memory. */
function withDisk(seed: number, name: string): Settings {
  const settings = drawShort(seed, name);
  const random = new SeededRandom(seed).fork(`disk of ${name}`);
  return {
    ...settings,
    usesDisk: true,
    memoryBytes: 2048,
    config: {
      ...settings.config,
      'state.backend.type': 'forst',
      'state.backend.forst.cache.dir': 'cache',
      'state.backend.forst.cache.size-based-limit': random.pick([16_384, 1_048_576]),
    },
    faults: drawFaults(random, CRASHES, { most: 4 }),
  };
}

const TROUBLES: readonly DiskTrouble[] = [
  'full',
  'readOnly',
  'short',
  'failing',
  'vanished',
  'corrupt',
];

const F20: Scenario = {
  name: 'F20',
  title: 'the cache disk is full, read-only, fails, writes short, or vanishes',
  settings: (seed) => withDisk(seed, 'F20'),
  stage: ({ sim, random, disks, met }) => {
    for (let i = random.between(1, 3); i > 0; i--) {
      const trouble = random.pick(TROUBLES);
      sim.at(random.float(0, 300), `the disk is ${trouble}`, () => {
        disks.trouble = trouble;
        met(trouble);
      });
      if (random.chance(0.5))
        sim.at(random.float(0, 500), 'the disk is well', () => {
          disks.trouble = undefined;
        });
    }
  },
  meets: [...TROUBLES, 'disk read', 'disk write refused'],
};

const SPOILERS: readonly ((disk: MemoryDisk, at: (length: number) => number) => void)[] = [
  (disk, at) => disk.spoil(at),
  (disk) => disk.spoil((length) => Math.min(5, length - 1)), // the header's version
  (disk, at) => disk.tear((length) => at(length + 1)),
  (disk) => disk.exchange(),
];

const F21: Scenario = {
  name: 'F21',
  title: 'the cache on disk is corrupt, torn, of another version, or another job left it',
  settings: (seed) => {
    const settings = withDisk(seed, 'F21');
    const random = new SeededRandom(seed).fork('crashes of F21');
    const crashes = drawFaults(random, ['crash-all-workers', 'crash-master'], { most: 4 });
    return { ...settings, faults: crashes };
  },
  stage: ({ sim, random, disks, startAnother, met }) => {
    // Both take the folders that the other leaves when it crashes.
    if (random.chance(0.3))
      sim.at(random.float(0, 100), 'another job', () => {
        startAnother('other');
        met('another job');
      });
    for (let i = 0; i < 6; i++)
      sim.at(random.float(20, 600), 'spoils what is left on disk', () => {
        disks.spoilLeft((disk) => {
          random.pick(SPOILERS)(disk, (length) => random.int(length));
          met('spoiled');
        });
      });
  },
  meets: ['spoiled', 'another job', 'disk read'],
};

export const DISK_SCENARIOS: readonly Scenario[] = [F20, F21];
