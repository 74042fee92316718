/** The tree against its model at length: one half of two hundred seeds of 100,000 operations; the other half is in a file beside. */
import { modelSeeds } from './model-seeds.ts';

modelSeeds(101, 200);
