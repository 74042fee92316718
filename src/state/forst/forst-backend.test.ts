import { forstInMemory } from '../../testing/forst-testing.ts';
import { stateBackendContract } from '../../testing/state-backend-contract.ts';

stateBackendContract('forst', (store) => forstInMemory(store));
stateBackendContract('forst without a cache', (store) =>
  forstInMemory(store, { cacheBytes: 0, memtableBytes: 256 }),
);
stateBackendContract('forst with few timers in memory', (store) =>
  forstInMemory(store, { timersMost: 7 }),
);
stateBackendContract('forst with a changelog', (store) =>
  forstInMemory(store, { tailBytesMax: 100, memtableBytes: 256 }),
);
stateBackendContract('forst with its files on local disk', (store) =>
  forstInMemory(store, { local: true, cacheBytes: 0, memtableBytes: 256 }),
);
