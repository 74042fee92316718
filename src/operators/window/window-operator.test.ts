/** The tables of window semantics, on the heap backend. */
import { HashMapStateBackend } from '../../state/hashmap/hashmap-backend.ts';
import { ASSIGNER_CASES } from '../../testing/window-cases/assigners.ts';
import { FUNCTION_CASES } from '../../testing/window-cases/functions.ts';
import { LATENESS_CASES } from '../../testing/window-cases/lateness.ts';
import { SESSION_CASES } from '../../testing/window-cases/sessions.ts';
import { TRIGGER_CASES } from '../../testing/window-cases/triggers.ts';
import { windowContract } from '../../testing/window-contract.ts';

const hashmap = { backend: () => new HashMapStateBackend() };

windowContract('window assigners', ASSIGNER_CASES, hashmap);
windowContract('late records', LATENESS_CASES, hashmap);
windowContract('sessions', SESSION_CASES, hashmap);
windowContract('triggers', TRIGGER_CASES, hashmap);
windowContract('evictors and window functions', FUNCTION_CASES, hashmap);
