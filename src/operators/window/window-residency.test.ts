/** The tables of window semantics where every entry has to be fetched before it is read: what operators prepare is all that they read. */
import { ASSIGNER_CASES } from '../../testing/window-cases/assigners.ts';
import { FUNCTION_CASES } from '../../testing/window-cases/functions.ts';
import { LATENESS_CASES } from '../../testing/window-cases/lateness.ts';
import { SESSION_CASES } from '../../testing/window-cases/sessions.ts';
import { TRIGGER_CASES } from '../../testing/window-cases/triggers.ts';
import { SlowStateBackend } from '../../testing/slow-state-backend.ts';
import { windowContract, type WindowBackend } from '../../testing/window-contract.ts';

const slow: WindowBackend = {
  backend: () => new SlowStateBackend({ random: () => 0, evictedShare: 1 }),
};

windowContract('window assigners, all state elsewhere', ASSIGNER_CASES, slow);
windowContract('late records, all state elsewhere', LATENESS_CASES, slow);
windowContract('sessions, all state elsewhere', SESSION_CASES, slow);
windowContract('triggers, all state elsewhere', TRIGGER_CASES, slow);
windowContract('evictors and window functions, all state elsewhere', FUNCTION_CASES, slow);
