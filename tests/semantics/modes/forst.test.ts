/** The tables on `forst`. */
import { runTablesIn } from '../run.ts';

runTablesIn({ backend: 'forst' });
await import('../async-functions.test.ts');
await import('../joins.test.ts');
await import('../panes.test.ts');
await import('../process.test.ts');
await import('../windows.test.ts');
