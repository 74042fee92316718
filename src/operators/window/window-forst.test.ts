/** The tables of window semantics, on the forst backend. */
import { ASSIGNER_CASES } from '../../testing/window-cases/assigners.ts';
import { FUNCTION_CASES } from '../../testing/window-cases/functions.ts';
import { LATENESS_CASES } from '../../testing/window-cases/lateness.ts';
import { SESSION_CASES } from '../../testing/window-cases/sessions.ts';
import { TRIGGER_CASES } from '../../testing/window-cases/triggers.ts';
import { forstInMemory, liveEntries } from '../../testing/forst-testing.ts';
import { windowContract, type WindowBackend } from '../../testing/window-contract.ts';

const forst: WindowBackend = {
  backend: (store) => forstInMemory(store, { cacheBytes: 0, memtableBytes: 256 }),
  sizeOf: async ({ store, operators }) =>
    liveEntries(
      store,
      operators.flatMap(({ keyed }) => keyed),
    ),
};

windowContract('window assigners, on forst', ASSIGNER_CASES, forst);
windowContract('late records, on forst', LATENESS_CASES, forst);
windowContract('sessions, on forst', SESSION_CASES, forst);
windowContract('triggers, on forst', TRIGGER_CASES, forst);
windowContract('evictors and window functions, on forst', FUNCTION_CASES, forst);
