#!/usr/bin/env node
/**
 * The `millrace` command. What has been compiled once is kept by Node for the next start: jobs that run until now start often, and a third of a
 * cold start would be compilation.
 */
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { runCommand } = await import('./commands.ts');
await runCommand();
