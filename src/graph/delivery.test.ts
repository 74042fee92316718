/** What is promised, asked and refused, over combinations of sources, checkpoints, sinks and what the program accepts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StreamExecutionEnvironment as Environment } from '../api/environment.ts';
import { generatorSource } from '../connector/generator-source.ts';
import type { Sink } from '../connector/sink.ts';
import { recordingExecutor } from '../testing/recording-executor.ts';
import { t } from '../types/t.ts';
import { checkDelivery, deliveryFindings, pathDeliveries } from './delivery.ts';
import type { Delivery } from './logical-graph.ts';

const OFF = {};
const EXACT = {
  'execution.checkpointing.interval': '1 s',
  'execution.checkpointing.dir': 'checkpoints',
};
const AT_LEAST = { ...EXACT, 'execution.checkpointing.mode': 'at-least-once' };
const UNTIL_NOW = { 'execution.checkpointing.dir': 'checkpoints', 'execution.until': 'now' };
const FORGETS = {
  ...EXACT,
  'execution.checkpointing.externalized-checkpoint-retention': 'no-externalized-checkpoints',
};
const SLOW = { ...EXACT, 'execution.checkpointing.interval': '1 h' };
const LONG = { ...EXACT, 'execution.checkpointing.timeout': '15 min' };

const MINUTE = 60_000;
const staging = { timeoutMs: 15 * MINUTE, longestOutageMs: 10 * MINUTE };
const sinks = {
  'two-phase': { guarantee: 'exactly-once' },
  plain: { guarantee: 'at-least-once' },
  chosen: { guarantee: 'at-least-once', accepted: true },
  broker: { guarantee: 'exactly-once', staging },
  hasty: { guarantee: 'exactly-once', staging: { ...staging, longestOutageMs: 15 * MINUTE } },
} as const satisfies Record<string, Omit<Sink<unknown>, 'createWriter'>>;

type SourceName = 'log' | 'numbers' | 'once';

interface Row {
  readonly source: SourceName;
  readonly config: Readonly<Record<string, string>>;
  readonly sink: keyof typeof sinks;
  /** `source exactly-once`, and the like. */
  readonly accepts?: readonly ['source' | 'sink', Delivery];
  readonly delivery: Delivery;
  readonly refused?: readonly string[];
  readonly warned?: readonly string[];
}

const WEAKER = ['PATH_WEAKER_THAN_ASKED'];
const exact = 'exactly-once';
const least = 'at-least-once';
const most = 'at-most-once';

const ROWS: readonly Row[] = [
  { source: 'log', config: EXACT, sink: 'two-phase', delivery: exact },
  { source: 'numbers', config: EXACT, sink: 'two-phase', delivery: exact },
  { source: 'numbers', config: UNTIL_NOW, sink: 'two-phase', delivery: exact },
  { source: 'log', config: EXACT, sink: 'plain', delivery: least, refused: WEAKER },
  { source: 'log', config: EXACT, sink: 'chosen', delivery: least },
  { source: 'log', config: EXACT, sink: 'plain', accepts: ['sink', least], delivery: least },
  { source: 'log', config: EXACT, sink: 'plain', accepts: ['source', least], delivery: least },
  { source: 'log', config: AT_LEAST, sink: 'plain', delivery: least },
  { source: 'log', config: AT_LEAST, sink: 'two-phase', delivery: least },
  { source: 'once', config: EXACT, sink: 'two-phase', delivery: most, refused: WEAKER },
  { source: 'once', config: AT_LEAST, sink: 'plain', delivery: most, refused: WEAKER },
  { source: 'once', config: EXACT, sink: 'chosen', delivery: most, refused: WEAKER },
  { source: 'once', config: EXACT, sink: 'two-phase', accepts: ['source', most], delivery: most },
  {
    ...{ source: 'once', config: EXACT, sink: 'two-phase', accepts: ['source', least] },
    ...{ delivery: most, refused: WEAKER },
  },
  { source: 'numbers', config: OFF, sink: 'two-phase', delivery: most },
  { source: 'numbers', config: OFF, sink: 'plain', delivery: most },
  { source: 'log', config: OFF, sink: 'plain', delivery: most, warned: ['CHECKPOINTS_OFF'] },
  {
    ...{ source: 'log', config: OFF, sink: 'two-phase', delivery: most },
    ...{ refused: ['NEVER_COMMITTED'], warned: ['CHECKPOINTS_OFF'] },
  },
  { source: 'log', config: EXACT, sink: 'broker', delivery: exact },
  { source: 'log', config: EXACT, sink: 'hasty', delivery: exact, refused: ['STAGED_TOO_SHORT'] },
  { source: 'log', config: SLOW, sink: 'broker', delivery: exact, refused: ['STAGED_TOO_SHORT'] },
  {
    ...{ source: 'log', config: LONG, sink: 'broker', delivery: exact },
    warned: ['CHECKPOINT_MAY_OUTLAST_STAGING'],
  },
  {
    ...{ source: 'log', config: FORGETS, sink: 'two-phase', delivery: exact },
    warned: ['REPEATED_BY_NEXT_RUN'],
  },
  { source: 'log', config: FORGETS, sink: 'chosen', delivery: least },
];

const base = { valueAt: (i: number) => i, schema: t.int32() };
const sourceOf = (name: SourceName) =>
  name === 'numbers'
    ? generatorSource({ ...base, count: 3 })
    : { ...generatorSource(base), ...(name === 'once' ? { replayable: false } : {}) };

function graphOf({ source, config, sink, accepts }: Row) {
  const env = new Environment(recordingExecutor().executor, config);
  const stream = env.fromSource(sourceOf(source), {}, source);
  const end = stream.sinkTo(
    { ...sinks[sink], createWriter: () => Promise.reject(new TypeError('never opened')) },
    sink,
  );
  if (accepts?.[0] === 'source') stream.acceptDelivery(accepts[1]);
  if (accepts?.[0] === 'sink') end.acceptDelivery(accepts[1]);
  return env.toProgram('job');
}

describe('delivery', () => {
  for (const row of ROWS) {
    const { source, sink, accepts, delivery, refused = [], warned = [] } = row;
    const accepted = accepts === undefined ? '' : `, ${accepts.join(' accepts ')}`;
    const outcome = [...refused, ...warned].join(', ') || 'nothing found';
    test(`${source} to ${sink} with ${JSON.stringify(row.config)}${accepted} is ${delivery}: ${outcome}`, () => {
      const { graph, config } = graphOf(row);
      const [path, ...others] = pathDeliveries(graph, config);
      assert.deepEqual(others, []);
      assert.equal(path?.delivery, delivery);
      assert.equal(path.because.length > 0, delivery !== exact);
      const findings = deliveryFindings(graph, config);
      const codes = (isWarning: boolean) =>
        findings.filter((finding) => finding.isWarning === isWarning).map(({ code }) => code);
      assert.deepEqual([codes(false), codes(true)], [refused, warned]);
      if (refused.length === 0) checkDelivery(graph, config);
      else
        assert.throws(() => checkDelivery(graph, config), {
          code: 'DELIVERY_REFUSED',
          message: new RegExp(refused[0] === WEAKER[0] ? 'acceptDelivery' : sink),
        });
    });
  }

  test('what is accepted is said of a source or a sink', () => {
    const env = new Environment(recordingExecutor().executor, EXACT);
    const mapped = env.fromSequence(1, 2).map((n) => n);
    assert.throws(() => mapped.acceptDelivery('at-least-once'), { code: 'NOT_A_SOURCE_OR_SINK' });
  });
});
