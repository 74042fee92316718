/** Ids from the operating system's randomness: for names of temporary files, which nothing else depends on. */
import { randomBytes } from 'node:crypto';
import type { Ids } from './world.ts';

export const randomIds: Ids = { next: () => randomBytes(16).toString('hex') };
