/**
 * The peer: RocksDB through its fastest Node binding, with packed multi-gets and write batches, no compression, bloom filters. The binding
 * cannot turn the write-ahead log off; it is not synced.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RocksLevel } from '@nxtedition/rocksdb';

/** What is used of the binding, which has no types. */
interface Binding {
  open(options: object): Promise<void>;
  batch(): {
    put(key: Buffer, value: Buffer): unknown;
    write(): Promise<void>;
  };
  _getManySync(keys: readonly Buffer[], options: object): readonly (Buffer | undefined)[];
  getProperty(name: string): string;
  close(): Promise<void>;
}

export interface RocksDb {
  /** Writes a batch. */
  put(entries: readonly (readonly [Buffer, Buffer])[]): Promise<void>;
  getMany(keys: readonly Buffer[]): readonly (Buffer | undefined)[];
  /** Waits until nothing is left to flush or to compact in the background. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

const UNSETTLED = [
  'rocksdb.mem-table-flush-pending',
  'rocksdb.num-running-flushes',
  'rocksdb.compaction-pending',
  'rocksdb.num-running-compactions',
];

export async function openRocksDb(folder: string, cacheBytes: number): Promise<RocksDb> {
  const db = new RocksLevel(folder, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
  }) as unknown as Binding;
  await db.open({
    createIfMissing: true,
    compression: false,
    walCompression: false,
    parallelism: 2,
    columns: {
      default: {
        cacheSize: cacheBytes,
        blockSize: 4 * 1024,
        filterPolicy: 'rocksdb.BuiltinBloomFilter:10',
        compression: false,
        memtableMemoryBudget: 128 * 1024 * 1024,
        compaction: 'level',
      },
    },
  });
  return {
    async put(entries) {
      const batch = db.batch();
      for (const [key, value] of entries) batch.put(key, value);
      await batch.write();
    },
    getMany: (keys) => db._getManySync(keys, { keyEncoding: 'buffer', valueEncoding: 'buffer' }),
    settle: async () => {
      while (UNSETTLED.some((property) => db.getProperty(property) !== '0')) await delay(10);
    },
    close: () => db.close(),
  };
}
