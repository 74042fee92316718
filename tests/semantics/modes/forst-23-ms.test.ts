/** The tables on `forst` with reads that take 23 ms, the latency of object storage; time is virtual. */
import { runTablesIn } from '../run.ts';

runTablesIn({ backend: 'forst', readLatencyMs: 23 });
await import('../async-functions.test.ts');
await import('../bundles.test.ts');
await import('../joins.test.ts');
await import('../panes.test.ts');
await import('../process.test.ts');
await import('../windows.test.ts');
