/**
 * Which keyed states the operators of a program register, found by opening each of them on empty state in memory. `open` of user functions
 * runs as it does at a start; nothing is processed.
 */
import type { World } from '../base/world.ts';
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { Program } from '../graph/program.ts';
import type { OperatorCode, OperatorContext } from '../operators/contract.ts';
import { storedSchema } from '../state/cells/stored-value.ts';
import type { StateDescriptor } from '../state/descriptor.ts';
import { HashMapStateBackend } from '../state/hashmap/hashmap-backend.ts';
import type { KeyedStateBackend } from '../state/keyed-state-backend.ts';
import { InMemoryOperatorState } from '../state/operator-state-backend.ts';
import type { StoredKind } from '../state/snapshot-inspector.ts';
import type { Schema } from '../types/schema.ts';
import { t } from '../types/t.ts';

export interface RegisteredState {
  readonly name: string;
  readonly kind: StoredKind;
  /** What is stored for one key and namespace, the whole map of maps; undefined for timers. */
  readonly stored: Schema<unknown> | undefined;
  readonly namespace: Schema<unknown> | undefined;
}

/** Of one keyed operator. @throws what its `open` throws */
export async function registeredStates(
  node: LogicalNode,
  program: Program,
  world: World,
): Promise<readonly RegisteredState[]> {
  const { operator, keySchema = t.key() } = program.nodes.get(node.id)!;
  const code = operator as OperatorCode; // a keyed operator's code, by the graph's contract
  if (code.kind === 'stateless') return [];
  const reader = { read: () => Promise.reject(new TypeError('nothing is restored')) };
  const backend = await new HashMapStateBackend().createKeyed({
    operatorId: node.id,
    attemptId: 'none',
    keySchema,
    keyGroupRange: { start: 0, end: node.maxParallelism - 1 },
    maxParallelism: node.maxParallelism,
    restore: [],
    reader,
    wallMs: () => world.clock.wallMs(),
    yieldToLoop: async () => {},
    allowGenericTypes: true,
  });
  const states: RegisteredState[] = [];
  const operatorState = await InMemoryOperatorState.open({
    ...{ operatorId: node.id, subtaskIndex: 0, parallelism: 1, restore: [], reader },
  });
  const opened = code.create();
  try {
    await opened.open(
      contextOf(node, program, world, { recorded: recording(backend, states), operatorState }),
    );
  } finally {
    await opened.close?.();
    await backend.close();
  }
  return states;
}

/** The backend, with everything that is registered noted down. */
function recording(backend: KeyedStateBackend, into: RegisteredState[]): KeyedStateBackend {
  const note = (name: string, descriptor: StateDescriptor, namespace?: Schema<unknown>): void => {
    into.push({ name, kind: descriptor.kind, stored: storedSchema(descriptor), namespace });
  };
  const recorded: KeyedStateBackend = Object.create(backend, {
    getState: {
      value: (name: string, descriptor: StateDescriptor) => {
        note(name, descriptor);
        return backend.getState(name, descriptor);
      },
    },
    getNamespacedState: {
      value: (name: string, descriptor: StateDescriptor, namespace: Schema<unknown>) => {
        note(name, descriptor, namespace);
        return backend.getNamespacedState(name, descriptor, namespace);
      },
    },
    getTimerService: {
      value: (...args: Parameters<KeyedStateBackend['getTimerService']>) => {
        const [name, namespace] = args;
        for (const kind of ['event-timers', 'processing-timers'] as const)
          into.push({ name, kind, stored: undefined, namespace });
        return backend.getTimerService(...args);
      },
    },
  });
  return recorded;
}

const NOWHERE: OperatorContext['output'] = {
  emitBatch: () => {},
  emitWatermark: () => {},
  emitWatermarkStatus: () => {},
};

function contextOf(
  node: LogicalNode,
  program: Program,
  world: World,
  state: {
    readonly recorded: KeyedStateBackend;
    readonly operatorState: OperatorContext['operatorState'];
  },
): OperatorContext {
  const { clock, timers, logger, random } = world;
  return {
    ...{ jobId: 'none', operatorId: node.id, operatorName: node.name, attemptId: 'none' },
    ...{ subtaskIndex: 0, parallelism: 1, maxParallelism: node.maxParallelism },
    ...{ clock, timers, logger, random, restored: false, config: program.config },
    output: NOWHERE,
    sideOutput: () => undefined,
    keyed: state.recorded,
    suspensions: {
      begin: () => {},
      end: () => {},
      afterLoad: () => {},
      finishFunctions: async () => {},
    },
    operatorState: state.operatorState,
    processingTime: { now: () => clock.wallMs(), registerTimer: () => ({ cancel: () => {} }) },
    metrics: { counter: () => ({ inc: () => {} }), gauge: () => {} },
    print: (line) => world.print(line),
    mailbox: () => {},
    fail: () => {},
    signal: new AbortController().signal,
  };
}
