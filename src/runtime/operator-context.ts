/** What an operator is given when it is opened. */
import type { LogicalNode } from '../graph/logical-graph.ts';
import type { MetricGroup, OperatorContext, Output, Suspensions } from '../operators/contract.ts';
import type { KeyedStateBackend } from '../state/keyed-state-backend.ts';
import type { OperatorStateStore } from '../state/operator-state.ts';
import type { TaskDescriptor } from './task-descriptor.ts';
import type { TaskServices } from './task-services.ts';

export interface OperatorContextParams {
  readonly descriptor: TaskDescriptor;
  readonly services: TaskServices;
  readonly node: LogicalNode;
  readonly output: Output<unknown>;
  readonly sideOutput: OperatorContext['sideOutput'];
  readonly keyed: KeyedStateBackend | undefined;
  readonly suspensions: Suspensions | undefined;
  readonly operatorState: OperatorStateStore;
  readonly metrics: MetricGroup;
  readonly mail: (mail: () => void) => void;
  /** Mails of timers: dropped once the task's input has ended. */
  readonly timerMail: (mail: () => void) => void;
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export function createOperatorContext(params: OperatorContextParams): OperatorContext {
  const { descriptor, services, node, timerMail } = params;
  const { world, program } = services;
  return {
    jobId: descriptor.jobId,
    operatorId: node.id,
    operatorName: node.name,
    subtaskIndex: descriptor.subtaskIndex,
    parallelism: descriptor.parallelism,
    maxParallelism: descriptor.maxParallelism,
    attemptId: descriptor.attemptId,
    output: params.output,
    sideOutput: params.sideOutput,
    keyed: params.keyed,
    suspensions: params.suspensions,
    operatorState: params.operatorState,
    processingTime: {
      now: () => world.clock.wallMs(),
      registerTimer: (timestamp, callback) =>
        world.timers.after(Math.max(0, timestamp - world.clock.wallMs()), () =>
          timerMail(callback),
        ),
    },
    metrics: params.metrics,
    clock: world.clock,
    timers: world.timers,
    logger: world.logger,
    random: world.random,
    print: (line) => world.print(line),
    mailbox: params.mail,
    fail: params.fail,
    signal: params.signal,
    restored: descriptor.restore !== undefined,
    config: program.config,
  };
}
