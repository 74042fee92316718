/**
 * Job options by Flink's keys: what there is, defaults, units, checks. Every fault of a configuration is reported at once.
 */
import { durationMs } from '../base/duration.ts';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { MAX_PARALLELISM_DEFAULT, MAX_PARALLELISM_LIMIT } from '../types/key-group.ts';

export interface OptionSpec {
  readonly type: 'duration' | 'integer' | 'boolean' | 'string' | 'enum' | 'number';
  /** Null: not set. */
  readonly default: JsonValue;
  readonly min?: number;
  readonly max?: number;
  readonly values?: readonly string[];
  readonly about: string;
}

export const OPTIONS: Readonly<Record<string, OptionSpec>> = {
  'parallelism.default': {
    type: 'integer',
    default: 1,
    min: 1,
    max: MAX_PARALLELISM_LIMIT,
    about: 'Parallelism of operators that set none.',
  },
  'pipeline.max-parallelism': {
    type: 'integer',
    default: MAX_PARALLELISM_DEFAULT,
    min: 1,
    max: MAX_PARALLELISM_LIMIT,
    about: 'Number of key groups: the upper bound of the parallelism for the life of the job.',
  },
  'pipeline.auto-watermark-interval': {
    type: 'duration',
    default: 200,
    min: 0,
    about: 'How often watermarks are emitted.',
  },
  'pipeline.generic-types': {
    type: 'boolean',
    default: false,
    about: 'Allows schemaless values in state; they cannot be evolved.',
  },
  'execution.buffer-timeout.interval': {
    type: 'duration',
    default: 100,
    min: 0,
    about: 'Longest time a busy task gathers records before it sends them on.',
  },
  'execution.checkpointing.interval': {
    type: 'duration',
    default: null,
    min: 10,
    about: 'Time between checkpoints. Not set: no periodic checkpoints.',
  },
  'execution.checkpointing.mode': {
    type: 'enum',
    default: 'exactly-once',
    values: ['exactly-once', 'at-least-once'],
    about: 'Whether barriers are aligned.',
  },
  'execution.checkpointing.timeout': {
    type: 'duration',
    default: 600_000,
    min: 1,
    about: 'A checkpoint that takes longer is given up.',
  },
  'execution.checkpointing.min-pause': {
    type: 'duration',
    default: 0,
    min: 0,
    about: 'Least time between the end of one checkpoint and the start of the next.',
  },
  'execution.checkpointing.tolerable-failed-checkpoints': {
    type: 'integer',
    default: 0,
    min: 0,
    about: 'Failed checkpoints in a row before the job fails.',
  },
  'execution.checkpointing.num-retained': {
    type: 'integer',
    default: 1,
    min: 1,
    about: 'How many completed checkpoints are kept.',
  },
  'execution.checkpointing.dir': {
    type: 'string',
    default: null,
    about:
      'Where checkpoints are kept, a folder or s3://bucket/prefix; the job goes on from there when it is started again.',
  },
  'execution.checkpointing.data-inline-threshold': {
    type: 'integer',
    default: 20_480,
    min: 0,
    max: 1_048_576,
    about: 'Snapshots up to this many bytes are kept in the checkpoint record itself.',
  },
  'execution.state-recovery.ignore-unclaimed-state': {
    type: 'boolean',
    default: false,
    about:
      'Drops state of operators that are not in the program any more, instead of refusing to start.',
  },
  'state.backend.type': {
    type: 'enum',
    default: 'hashmap',
    values: ['hashmap', 'forst'],
    about:
      'Where keyed state lives: hashmap on the heap; forst on the object store, with memory and local disk as caches.',
  },
  'taskmanager.memory.managed.size': {
    type: 'integer',
    default: 268_435_456,
    min: 1_048_576,
    about:
      'Bytes that the forst backend of one worker may use: half for live values, the rest for blocks, memtables, indexes and filters.',
  },
  's3.endpoint': {
    type: 'string',
    default: null,
    about: 'Address of the S3 service. Not set: that of AWS in the region.',
  },
  's3.region': {
    type: 'string',
    default: null,
    about: 'Region of the bucket. Not set: AWS_REGION of the environment, else us-east-1.',
  },
  's3.path.style.access': {
    type: 'boolean',
    default: null,
    about:
      'Names the bucket in the path instead of the host. Not set: true for endpoints that are an address.',
  },
  's3.access-key': {
    type: 'string',
    default: null,
    about: 'Not set: AWS_ACCESS_KEY_ID of the environment. Never logged.',
  },
  's3.secret-key': {
    type: 'string',
    default: null,
    about: 'Not set: AWS_SECRET_ACCESS_KEY of the environment. Never logged.',
  },
  's3.session-token': {
    type: 'string',
    default: null,
    about: 'Of temporary credentials. Not set: AWS_SESSION_TOKEN of the environment.',
  },
  's3.ssl.ca': {
    type: 'string',
    default: null,
    about: 'PEM text of a certificate authority to trust besides the usual ones.',
  },
  'restart-strategy.type': {
    type: 'enum',
    default: null,
    values: ['none', 'fixed-delay', 'failure-rate', 'exponential-delay'],
    about:
      'What happens after a failure. Not set: exponential-delay with checkpoints, none without.',
  },
  'restart-strategy.fixed-delay.attempts': {
    type: 'integer',
    default: 1,
    min: 0,
    about: 'Restarts before the job fails.',
  },
  'restart-strategy.fixed-delay.delay': {
    type: 'duration',
    default: 1000,
    min: 0,
    about: 'Pause before each restart.',
  },
  'restart-strategy.failure-rate.max-failures-per-interval': {
    type: 'integer',
    default: 1,
    min: 1,
    about: 'Failures within the interval before the job fails.',
  },
  'restart-strategy.failure-rate.failure-rate-interval': {
    type: 'duration',
    default: 60_000,
    min: 1,
    about: 'The interval.',
  },
  'restart-strategy.failure-rate.delay': {
    type: 'duration',
    default: 1000,
    min: 0,
    about: 'Pause before each restart.',
  },
  'restart-strategy.exponential-delay.initial-backoff': {
    type: 'duration',
    default: 1000,
    min: 1,
    about: 'First pause.',
  },
  'restart-strategy.exponential-delay.max-backoff': {
    type: 'duration',
    default: 60_000,
    min: 1,
    about: 'Longest pause.',
  },
  'restart-strategy.exponential-delay.backoff-multiplier': {
    type: 'number',
    default: 1.5,
    min: 1,
    about: 'Growth of the pause.',
  },
  'restart-strategy.exponential-delay.reset-backoff-threshold': {
    type: 'duration',
    default: 3_600_000,
    min: 1,
    about: 'After running this long the pause is the first one again.',
  },
  'restart-strategy.exponential-delay.jitter-factor': {
    type: 'number',
    default: 0.1,
    min: 0,
    max: 1,
    about: 'Random part of the pause, up or down.',
  },
  'restart-strategy.exponential-delay.attempts-before-reset-backoff': {
    type: 'integer',
    default: null,
    min: 1,
    about: 'Restarts before the job fails; not set: no limit.',
  },
};

export type Settings = Readonly<Record<string, JsonValue>>;

/**
 * The complete settings: what was given, checked and in base units, and defaults for the rest.
 * @throws `invalid` CONFIG_INVALID with `details.faults`, one line each
 */
export function settle(given: Settings): Settings {
  const faults: string[] = [];
  const settled: Record<string, JsonValue> = Object.fromEntries(
    Object.entries(OPTIONS).map(([key, spec]) => [key, spec.default]),
  );
  for (const [key, value] of Object.entries(given)) {
    const spec = Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined;
    if (spec === undefined) {
      faults.push(`${key}: unknown option${suggestion(key)}`);
      continue;
    }
    const parsed = parse(spec, value);
    if ('fault' in parsed) faults.push(`${key}: ${parsed.fault}`);
    else settled[key] = parsed.value;
  }
  if (
    settled['execution.checkpointing.interval'] !== null &&
    settled['execution.checkpointing.dir'] === null
  ) {
    faults.push(
      'execution.checkpointing.dir: not set, but execution.checkpointing.interval is; name a folder for the checkpoints',
    );
  }
  if (faults.length > 0) {
    throw invalid(
      'CONFIG_INVALID',
      `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n  ${faults.join('\n  ')}`,
      { faults },
    );
  }
  return settled;
}

type Parsed = { readonly value: JsonValue } | { readonly fault: string };

function parse(spec: OptionSpec, value: JsonValue): Parsed {
  const got = JSON.stringify(value);
  if (value === null) return { value: spec.default };
  switch (spec.type) {
    case 'boolean':
      return typeof value === 'boolean'
        ? { value }
        : { fault: `expected true or false, got ${got}` };
    case 'string':
      return typeof value === 'string' && value !== ''
        ? { value }
        : { fault: `expected text, got ${got}` };
    case 'enum':
      return typeof value === 'string' &&
        spec.values!.includes(value.toLowerCase().replaceAll('_', '-'))
        ? { value: value.toLowerCase().replaceAll('_', '-') }
        : { fault: `expected ${spec.values!.join(', ')}, got ${got}` };
    case 'duration':
      return inRange(spec, duration(value), got, "milliseconds or text such as '10 s'");
    case 'integer':
      return inRange(
        spec,
        Number.isInteger(value) ? (value as number) : undefined,
        got,
        'an integer',
      ); // isInteger is true for numbers only
    case 'number':
      return inRange(
        spec,
        typeof value === 'number' && Number.isFinite(value) ? value : undefined,
        got,
        'a number',
      );
  }
}

function duration(value: JsonValue): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  try {
    return durationMs(value);
  } catch {
    return undefined;
  }
}

function inRange(
  { min, max }: OptionSpec,
  value: number | undefined,
  got: string,
  expected: string,
): Parsed {
  if (value === undefined) return { fault: `expected ${expected}, got ${got}` };
  if (min !== undefined && value < min) return { fault: `${got} is below ${min}` };
  if (max !== undefined && value > max) return { fault: `${got} is above ${max}` };
  return { value };
}

function suggestion(key: string): string {
  let best: string | undefined;
  let least = Math.max(3, key.length / 4);
  for (const known of Object.keys(OPTIONS)) {
    const distance = editDistance(key, known);
    if (distance < least) [best, least] = [known, distance];
  }
  return best === undefined ? '' : `; did you mean ${best}?`;
}

/** Levenshtein, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length]!;
}
