/** The tables with process functions that are async. */
import { runTablesIn } from '../run.ts';
import { makeFunctionsAsync } from './async-functions.ts';

runTablesIn({ backend: 'forst', readLatencyMs: 23, asyncFunctions: true });
makeFunctionsAsync();
await import('../joins.test.ts');
await import('../process.test.ts');
