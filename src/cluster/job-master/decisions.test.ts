/** The job master's decisions, as tables. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JobEdge, JobGraph, JobVertex } from '../../graph/job-graph.ts';
import type { Partitioning } from '../../graph/logical-graph.ts';
import type { CheckpointRecord } from '../../state/checkpoint-record.ts';
import { jobOptions } from '../job-options.ts';
import { settle } from '../options.ts';
import { type CheckpointEvent, decideCheckpoint, noProgress } from './checkpoint-progress.ts';
import { decideRestart, NO_RESTARTS } from './restart-strategy.ts';
import { placeSubtasks, slotsNeeded, targetsOf } from './schedule.ts';
import { assignState, checkRestore } from './state-assignment.ts';

const vertex = (id: string, parallelism: number, group = 'default', keyed = false): JobVertex => ({
  id,
  name: id,
  operators: [
    {
      id,
      name: id,
      kind: 'one-input',
      type: 'x',
      parallelism,
      maxParallelism: 128,
      chaining: 'always',
      slotSharingGroup: group,
      outputSchema: null,
      sideOutputs: {},
      description: {},
      ...(keyed ? { keySchema: { kind: 'string' } } : {}),
    },
  ],
  chainEdges: [],
  parallelism,
  maxParallelism: 128,
  slotSharingGroup: group,
});

const graphOf = (...vertices: readonly JobVertex[]): JobGraph => ({
  name: 'job',
  vertices,
  edges: [],
  fingerprint: 'f',
});

describe('placement', () => {
  test('subtask i of every vertex of a group takes slot i', () => {
    const graph = graphOf(vertex('a', 2), vertex('b', 3), vertex('c', 1, 'other'));
    assert.equal(slotsNeeded(graph), 4);
    const placement = placeSubtasks(graph, [
      { name: 'w0', slots: 2 },
      { name: 'w1', slots: 2 },
    ]);
    assert.deepEqual(
      [...placement],
      [
        ['a', ['w0', 'w0']],
        ['b', ['w0', 'w0', 'w1']],
        ['c', ['w1']],
      ],
    );
  });

  test('too few slots are refused with the numbers', () => {
    assert.throws(() => placeSubtasks(graphOf(vertex('a', 3)), [{ name: 'w', slots: 2 }]), {
      code: 'NOT_ENOUGH_SLOTS',
      message: /needs 3 .* 2/,
    });
  });
});

describe('channels', () => {
  const edge = (partitioning: Partitioning): JobEdge => ({
    id: 'e',
    source: 'a',
    target: 'b',
    input: 1,
    partitioning,
    sourceVertex: 'a',
    targetVertex: 'b',
  });
  const cases: readonly (readonly [
    Partitioning,
    number,
    number,
    readonly (readonly number[])[],
  ])[] = [
    ['forward', 2, 2, [[0], [1]]],
    [
      'hash',
      2,
      3,
      [
        [0, 1, 2],
        [0, 1, 2],
      ],
    ],
    ['broadcast', 1, 2, [[0, 1]]],
    ['global', 2, 3, [[0], [0]]],
    [
      'rescale',
      2,
      4,
      [
        [0, 1],
        [2, 3],
      ],
    ],
    ['rescale', 4, 2, [[0], [0], [1], [1]]],
    ['rescale', 2, 3, [[0, 1], [2]]],
    ['rescale', 3, 2, [[0], [1], [1]]],
  ];
  for (const [partitioning, sources, targets, expected] of cases) {
    test(`${partitioning} from ${sources} to ${targets}`, () => {
      assert.deepEqual(
        Array.from({ length: sources }, (_, i) =>
          targetsOf(edge(partitioning), i, { sources, targets }),
        ),
        expected,
      );
    });
  }
});

describe('checkpoint progress', () => {
  const snapshot = { operators: {}, sizeBytes: 0 };
  const trigger: CheckpointEvent = {
    type: 'trigger',
    wallMs: 5,
    attemptIds: ['a', 'b'],
    final: false,
  };
  const ack = (checkpointId: number, attemptId: string): CheckpointEvent => ({
    type: 'ack',
    checkpointId,
    attemptId,
    snapshot,
  });

  /** Feeds events; returns the types of all actions. */
  function play(tolerated: number, ...events: readonly CheckpointEvent[]): readonly string[] {
    let progress = noProgress(0);
    const log: string[] = [];
    for (const event of events) {
      const decision = decideCheckpoint(progress, event, {
        options: { intervalMs: undefined, minPauseMs: 0, failuresTolerated: tolerated },
        nowMs: 0,
      });
      progress = decision.progress;
      for (const action of decision.actions) log.push(action.type);
    }
    return log;
  }

  const cases: readonly (readonly [
    string,
    number,
    readonly CheckpointEvent[],
    readonly string[],
  ])[] = [
    [
      'completes when all have acknowledged and the record is stored',
      0,
      [trigger, ack(1, 'a'), ack(1, 'b'), { type: 'stored', checkpointId: 1 }],
      ['inject', 'store', 'notify-complete'],
    ],
    [
      'is not complete before the record is stored',
      0,
      [trigger, ack(1, 'a'), ack(1, 'b')],
      ['inject', 'store'],
    ],
    ['one acknowledgement twice is one', 0, [trigger, ack(1, 'a'), ack(1, 'a')], ['inject']],
    [
      'a stranger’s acknowledgement counts for nothing',
      0,
      [trigger, ack(1, 'a'), ack(1, 'zombie')],
      ['inject'],
    ],
    [
      'an acknowledgement for another checkpoint counts for nothing',
      0,
      [trigger, ack(1, 'a'), ack(2, 'b')],
      ['inject'],
    ],
    ['one at a time', 0, [trigger, trigger], ['inject']],
    [
      'no participants, no checkpoint',
      0,
      [{ type: 'trigger', wallMs: 0, attemptIds: [], final: false }],
      [],
    ],
    [
      'a decline aborts, and fails the job when none is tolerated',
      0,
      [trigger, { type: 'decline', checkpointId: 1, reason: 'x' }],
      ['inject', 'notify-aborted', 'fail-job'],
    ],
    [
      'one that somebody asked for does not fail the job when it fails',
      0,
      [
        { ...trigger, asked: 'stop' },
        { type: 'decline', checkpointId: 1, reason: 'x' },
      ],
      ['inject', 'notify-aborted'],
    ],
    [
      'nor does it take back what failed before',
      1,
      [
        trigger,
        { type: 'timeout', checkpointId: 1 },
        { ...trigger, asked: 'checkpoint' },
        { type: 'timeout', checkpointId: 2 },
        trigger,
        { type: 'timeout', checkpointId: 3 },
      ],
      [...Array.from({ length: 3 }, () => ['inject', 'notify-aborted']).flat(), 'fail-job'],
    ],
    [
      'tolerated failures',
      1,
      [
        trigger,
        { type: 'timeout', checkpointId: 1 },
        trigger,
        { type: 'timeout', checkpointId: 2 },
      ],
      ['inject', 'notify-aborted', 'inject', 'notify-aborted', 'fail-job'],
    ],
    [
      'a late acknowledgement after a timeout changes nothing, and its bytes go',
      1,
      [trigger, { type: 'timeout', checkpointId: 1 }, ack(1, 'a'), ack(1, 'b')],
      ['inject', 'notify-aborted', 'discard', 'discard'],
    ],
    [
      'cancelling counts as no failure',
      0,
      [trigger, { type: 'cancel' }, trigger],
      ['inject', 'notify-aborted', 'inject'],
    ],
  ];
  for (const [name, tolerated, events, expected] of cases) {
    test(name, () => assert.deepEqual(play(tolerated, ...events), expected));
  }
});

describe('restart strategies', () => {
  /** Failures at these times; the delay of each restart, or 'stop'. */
  function play(
    settings: Readonly<Record<string, string | number>>,
    ...failuresMs: readonly number[]
  ): readonly (number | 'stop')[] {
    let history = NO_RESTARTS;
    return failuresMs.map((nowMs) => {
      const decision = decideRestart(jobOptions(settle(settings)).restarts, history, {
        nowMs,
        random: 0.5,
      });
      if (!decision.restart) return 'stop';
      history = decision.history;
      return history.restartAtMs - nowMs;
    });
  }
  const type = 'restart-strategy.type';

  test('none stops at once, and is the default without checkpoints', () => {
    assert.deepEqual(play({ [type]: 'none' }, 0), ['stop']);
    assert.deepEqual(play({}, 0), ['stop']);
  });
  test('exponential delay is the default with checkpoints', () => {
    assert.deepEqual(
      play({ 'execution.checkpointing.interval': 1000, 'execution.checkpointing.dir': 'x' }, 0),
      [1000],
    );
  });
  test('fixed delay allows so many', () => {
    assert.deepEqual(
      play(
        {
          [type]: 'fixed-delay',
          'restart-strategy.fixed-delay.attempts': 2,
          'restart-strategy.fixed-delay.delay': '3 s',
        },
        0,
        1,
        2,
      ),
      [3000, 3000, 'stop'],
    );
  });
  test('failure rate forgets what is outside the interval', () => {
    const settings = {
      [type]: 'failure-rate',
      'restart-strategy.failure-rate.max-failures-per-interval': 2,
      'restart-strategy.failure-rate.failure-rate-interval': 100,
      'restart-strategy.failure-rate.delay': 7,
    };
    assert.deepEqual(play(settings, 0, 50, 101, 120), [7, 7, 7, 'stop']);
  });
  test('exponential delay grows to its maximum and is reset by calm', () => {
    const settings = {
      [type]: 'exponential-delay',
      'restart-strategy.exponential-delay.initial-backoff': 100,
      'restart-strategy.exponential-delay.max-backoff': 300,
      'restart-strategy.exponential-delay.backoff-multiplier': 2,
      'restart-strategy.exponential-delay.reset-backoff-threshold': 10_000,
    };
    assert.deepEqual(play(settings, 0, 101, 302, 603, 20_000), [100, 200, 300, 300, 100]);
    assert.deepEqual(play(settings, 0, 60, 100), [100, 40, 0], 'failures before the restart');
  });
});

describe('state assignment', () => {
  const inline = { kind: 'inline', base64: '', crc32: 0 } as const;
  const keyed = (start: number, end: number) => ({
    backend: 'hashmap',
    keyGroups: { start, end },
    data: inline,
  });
  const record = (
    overrides: Partial<CheckpointRecord['vertices'][number]> = {},
  ): CheckpointRecord => ({
    version: 1,
    jobId: 'j',
    jobName: 'job',
    checkpointId: 3,
    generation: 1,
    triggeredAtMs: 0,
    completedAtMs: 0,
    fingerprint: 'f',
    vertices: [
      {
        id: 'a',
        operators: [{ id: 'a', name: 'counter', parallelism: 2, maxParallelism: 128 }],
        subtasks: [
          { operators: { a: { keyed: [keyed(0, 63)], operator: { data: inline } } }, sizeBytes: 1 },
          {
            operators: { a: { keyed: [keyed(64, 127)], operator: { data: inline } } },
            sizeBytes: 1,
          },
        ],
        ...overrides,
      },
    ],
  });

  test('a subtask gets the handles that intersect its key groups, and all operator state', () => {
    const shares = [0, 1, 2].map(
      (index) => assignState(record(), vertex('a', 3, 'default', true), index)['a']!,
    );
    assert.deepEqual(
      shares.map(({ keyed: handles }) => handles.map(({ keyGroups }) => keyGroups.start)),
      [[0], [0, 64], [64]],
    );
    assert.ok(shares.every(({ operator }) => operator.length === 2));
  });

  test('state of an operator that is gone is refused by name, unless told to drop it', () => {
    const graph = graphOf(vertex('b', 1));
    assert.throws(() => checkRestore(record(), graph, false), {
      code: 'RESTORE_REFUSED',
      message: /"counter"/,
    });
    checkRestore(record(), graph, true);
  });

  test('another maxParallelism is refused', () => {
    const now = vertex('a', 1, 'default', true);
    const operators = now.operators.map((operator) => ({ ...operator, maxParallelism: 64 }));
    const graph = graphOf({ ...now, operators, maxParallelism: 64 });
    assert.throws(() => checkRestore(record(), graph, false), {
      code: 'RESTORE_REFUSED',
      message: /maxParallelism 128 and has 64/,
    });
  });
});

describe('configuration', () => {
  test('all faults are listed at once, with suggestions', () => {
    const faulty = {
      'paralelism.default': 2,
      'parallelism.default': 0,
      'execution.checkpointing.mode': 'sometimes',
      'execution.checkpointing.timeout': 'soon',
      'pipeline.generic-types': 'yes',
      ['__proto__x']: 1,
    };
    assert.throws(
      () => settle(faulty),
      (error: { code: string; details: { faults: readonly string[] } }) => {
        assert.equal(error.code, 'CONFIG_INVALID');
        assert.equal(error.details.faults.length, 6);
        assert.match(error.details.faults[0]!, /did you mean parallelism\.default\?/);
        return true;
      },
    );
  });

  test('durations have units and enums any case', () => {
    const settled = settle({
      'execution.checkpointing.timeout': '2 min',
      'execution.checkpointing.mode': 'AT_LEAST_ONCE',
    });
    assert.equal(settled['execution.checkpointing.timeout'], 120_000);
    assert.equal(settled['execution.checkpointing.mode'], 'at-least-once');
  });

  test('checkpoints without a folder are refused with the way out', () => {
    assert.throws(() => settle({ 'execution.checkpointing.interval': '1 s' }), {
      code: 'CONFIG_INVALID',
      message: /execution\.checkpointing\.dir/,
    });
  });

  test('unaligned checkpoints are refused where barriers never wait', () => {
    const unaligned = { 'execution.checkpointing.unaligned.enabled': true };
    assert.equal(settle(unaligned)['execution.checkpointing.aligned-checkpoint-timeout'], 0);
    assert.throws(() => settle({ ...unaligned, 'execution.checkpointing.mode': 'at-least-once' }), {
      code: 'CONFIG_INVALID',
      message: /unaligned\.enabled: set, but .* is at-least-once/,
    });
  });

  test('__proto__ is an unknown option like any other', () => {
    assert.throws(
      () => settle(JSON.parse('{"__proto__": {"polluted": true}}') as Record<string, never>),
      { code: 'CONFIG_INVALID' },
    );
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});
