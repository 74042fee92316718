/**
 * Job options by Flink's keys: what there is, defaults, units, checks. Every fault of a configuration is reported at once.
 *
 * `settle` makes a complete configuration of what was given; `jobOptions` (job-options.ts) reads it with types.
 */
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import { MAX_PARALLELISM_DEFAULT, MAX_PARALLELISM_LIMIT } from '../types/key-group.ts';
import { nearestKey } from './nearest-key.ts';
import { type OptionSpec, parseValue } from './option-values.ts';

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
  'execution.checkpointing.unaligned.enabled': {
    type: 'boolean',
    default: false,
    about:
      'Lets barriers overtake records that wait in channels; the records are saved with the checkpoint. Checkpoints then do not wait for backpressure. Needs exactly-once.',
  },
  'execution.checkpointing.aligned-checkpoint-timeout': {
    type: 'duration',
    default: 0,
    min: 0,
    about:
      'With unaligned checkpoints: how long a barrier waits to be aligned before it overtakes. 0: it does not wait.',
  },
  'execution.checkpointing.unaligned.max-subtasks-per-channel-state-file': {
    type: 'integer',
    default: 5,
    min: 1,
    about: 'Subtasks of one worker whose in-flight data shares an object, at most.',
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
  'execution.checkpointing.max-concurrent-checkpoints': {
    type: 'integer',
    default: 1,
    min: 1,
    max: 1,
    about: 'Checkpoints under way at a time.',
  },
  'execution.checkpointing.externalized-checkpoint-retention': {
    type: 'enum',
    default: 'retain-on-cancellation',
    values: ['retain-on-cancellation', 'delete-on-cancellation', 'no-externalized-checkpoints'],
    about:
      'Which jobs go on from their checkpoints when they are started again: all of them; not canceled ones; neither canceled nor failed ones. What does not go on is deleted.',
  },
  'execution.checkpointing.num-retained': {
    type: 'integer',
    default: 1,
    min: 1,
    about: 'How many completed checkpoints are kept.',
  },
  'execution.checkpointing.garbage-grace-period': {
    type: 'duration',
    default: 60_000,
    min: 0,
    about:
      'How long the objects of checkpoints that are not retained any more are left alone before they are deleted.',
  },
  'execution.checkpointing.dir': {
    type: 'string',
    default: null,
    about:
      'Where checkpoints are kept, a folder or s3://bucket/prefix; the job goes on from there when it is started again.',
  },
  'execution.checkpointing.savepoint-dir': {
    type: 'string',
    default: null,
    about:
      'Where savepoints go for which no folder is named, a folder or s3://bucket/prefix; each gets a folder of its own in it.',
  },
  'execution.checkpointing.data-inline-threshold': {
    type: 'memory',
    default: 20_480,
    min: 0,
    max: 1_048_576,
    about: 'Snapshots up to this size are kept in the checkpoint record itself.',
  },
  'execution.state-recovery.path': {
    type: 'string',
    default: null,
    about:
      'Savepoint, a folder or s3://bucket/prefix, that the job starts from. Once it has, it goes on from its own checkpoints.',
  },
  'execution.state-recovery.claim-mode': {
    type: 'enum',
    default: 'no-claim',
    values: ['no-claim', 'claim'],
    refused: {
      legacy:
        'LEGACY leaves open who deletes the savepoint; use NO_CLAIM (it stays yours, the job does not need it any more once it runs) or CLAIM (the job takes it over and deletes it)',
    },
    about:
      'Whose the savepoint is from then on: no-claim leaves it as it is, the job does not depend on it; claim deletes it when the job has taken it over.',
  },
  'execution.until': {
    type: 'enum',
    default: null,
    values: ['now'],
    about:
      'now: the job processes what its sources have when it starts, takes a checkpoint, commits and ends; the next run goes on from there.',
  },
  'execution.fork.origin': {
    type: 'string',
    default: null,
    about:
      'Set by `millrace run --fork`: where the checkpoints are that the fork refers to. They are only read; results are captured into files of the fork.',
  },
  'jobmanager.control.poll-interval': {
    type: 'duration',
    default: 1000,
    min: 0,
    about:
      'How often a job looks for requests of `millrace savepoint`, `stop` and `cancel` in its checkpoint folder: one small request to the store each time. 0: never.',
  },
  'execution.state-recovery.ignore-unclaimed-state': {
    type: 'boolean',
    default: false,
    about:
      'Drops state of operators that are not in the program any more, instead of refusing to start.',
  },
  'execution.state-recovery.finished-job': {
    type: 'enum',
    default: 'skip',
    values: ['skip', 'start-over'],
    about:
      'What a start does when an earlier run of the job came to its end: nothing, or everything anew without its state.',
  },
  'execution.async-state.in-flight-records-limit': {
    type: 'integer',
    default: 60_000,
    min: 1,
    about:
      'Records of one subtask that wait for state, or whose async functions run, at a time; at the limit it takes no input.',
  },
  'execution.async-state.in-flight-bytes-limit': {
    type: 'memory',
    default: 67_108_864,
    min: 1,
    about: 'Memory that the records of one subtask that wait may take, by estimate; likewise.',
  },
  'execution.async-state.buffer-size': {
    type: 'integer',
    default: 1000,
    min: 1,
    about: 'From this many missing entries on, a load begins although many are under way.',
  },
  'execution.async-state.buffer-timeout': {
    type: 'duration',
    default: 1000,
    about:
      'What is missing waits for more of it at most so long before it is loaded; as a rule much less, by how long loads take.',
  },
  'state.backend.type': {
    type: 'enum',
    default: 'hashmap',
    values: ['hashmap', 'forst'],
    about:
      'Where keyed state lives: hashmap on the heap; forst on the object store, with memory and local disk as caches.',
  },
  'taskmanager.memory.managed.size': {
    type: 'memory',
    default: 268_435_456,
    min: 1_048_576,
    about:
      'Memory that the forst backend of one worker may use. A quarter is left for what nobody counts, such as garbage and compaction; of the rest three eighths are for live values, half for blocks, indexes and filters (live values have up to an eighth of it while it is free), an eighth for memtables.',
  },
  'state.changelog.enabled': {
    type: 'boolean',
    default: false,
    about:
      'Writes what changes to the checkpoints’ store all the time, so that a checkpoint has only the tail left to write. With forst only.',
  },
  'dstl.dfs.preemptive-persist-threshold': {
    type: 'memory',
    default: 5_242_880,
    min: 1,
    about:
      'With state.changelog.enabled: changes of one operator on one subtask that may wait for the checkpoint; what is beyond is written at once. Counted as memory, as live values where they are not encoded yet.',
  },
  'state.backend.forst.primary-dir': {
    type: 'enum',
    default: 'checkpoint-dir',
    values: ['checkpoint-dir', 'local'],
    about:
      'Where the working files of forst lie: with the checkpoints, so that a checkpoint uploads nothing that is there; or on local disk, uploaded by checkpoints that name them first.',
  },
  'state.backend.forst.local-dir': {
    type: 'string',
    default: null,
    about: 'Folder for working files, if state.backend.forst.primary-dir is local.',
  },
  'state.backend.forst.cache.dir': {
    type: 'string',
    default: null,
    about: 'Folder for the disk cache of forst. Not set: nothing is cached on local disk.',
  },
  'state.backend.forst.cache.size-based-limit': {
    type: 'memory',
    default: 1_073_741_824,
    min: 0,
    about: 'What the disk cache of one worker may take; 0 turns it off.',
  },
  'state.backend.forst.pack-below': {
    type: 'memory',
    default: 262_144,
    min: 0,
    about: 'Files smaller than this that a worker writes at the same time share an object.',
  },
  'state.backend.forst.timer-service.cache-size': {
    type: 'integer',
    default: null,
    min: 1,
    about:
      'Timers that memory holds of one keyed operator on one subtask; later ones lie in the tree. Not set: as many as its share of memory is enough for. (Flink counts per key group.)',
  },
  'state.backend.forst.compaction.mode': {
    type: 'enum',
    default: 'thread',
    values: ['inline', 'thread', 'remote'],
    about:
      'Where compactions of more than a few MiB run: on the task’s own thread between its work, on a thread of the worker, or by "millrace compactor" processes.',
  },
  'state.backend.forst.compaction.remote-timeout': {
    type: 'duration',
    default: 600_000,
    min: 1000,
    about: 'A remote compaction that takes longer is withdrawn and done by the worker itself.',
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
  'taskmanager.numberOfTaskSlots': {
    type: 'integer',
    default: null,
    min: 1,
    max: MAX_PARALLELISM_LIMIT,
    about:
      'Slots a worker thread. Not set: as many workers as there are processors, or slots if these are fewer.',
  },
  'taskmanager.network.memory.buffer-debloat.enabled': {
    type: 'boolean',
    default: false,
    about:
      'Makes batches between tasks as small as needed for what is in flight to be processed within a target time.',
  },
  'taskmanager.network.memory.buffer-debloat.target': {
    type: 'duration',
    default: 1000,
    min: 1,
    about: 'In which time a task should be able to process what stands in its channels.',
  },
  'taskmanager.network.memory.buffer-debloat.period': {
    type: 'duration',
    default: 200,
    min: 1,
    about: 'Time between two adjustments.',
  },
  'taskmanager.network.memory.buffer-debloat.samples': {
    type: 'integer',
    default: 20,
    min: 1,
    about: 'Periods that the throughput is averaged over.',
  },
  'taskmanager.network.memory.buffer-debloat.threshold-percentages': {
    type: 'integer',
    default: 25,
    min: 0,
    max: 100,
    about: 'Changes of the size below this many percent are left out.',
  },
  'task.cancellation.timeout': {
    type: 'duration',
    default: 180_000,
    min: 0,
    about:
      'A worker whose task does not end within this time after it was told to is stopped and started anew. 0: never.',
  },
  'jobmanager.execution.failover-strategy': {
    type: 'enum',
    default: 'region',
    values: ['region', 'full'],
    about: 'What restarts when a task fails: the tasks that exchange records with it, or all.',
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
      const meant = nearestKey(key, Object.keys(OPTIONS));
      const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
      faults.push(`${shortened(key)}: unknown option${hint}`);
      continue;
    }
    const parsed = parseValue(spec, value);
    if ('fault' in parsed) faults.push(`${key}: ${parsed.fault}`);
    else settled[key] = parsed.value;
  }
  faults.push(...contradictions(settled));
  if (faults.length > 0) {
    throw invalid(
      'CONFIG_INVALID',
      `the configuration has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}:\n  ${faults.join('\n  ')}`,
      { faults },
    );
  }
  return settled;
}

const KEY_SHOWN_MAX = 100;

const shortened = (key: string): string =>
  key.length <= KEY_SHOWN_MAX ? key : `${key.slice(0, KEY_SHOWN_MAX)}...`;

const FOREIGN_SCHEME = /^(?!file:\/\/\/|s3:\/\/)[a-z][a-z0-9+.-]*:\/\//i;

/** What is wrong with options taken together. */
function contradictions(settled: Settings): readonly string[] {
  const faults: string[] = [];
  const number = (key: string): number => Number(settled[key]);
  const dir = settled['execution.checkpointing.dir'];
  if (settled['execution.checkpointing.interval'] !== null && dir === null)
    faults.push(
      'execution.checkpointing.dir: not set, but execution.checkpointing.interval is; name a folder for the checkpoints',
    );
  if (typeof dir === 'string' && FOREIGN_SCHEME.test(dir))
    faults.push(
      `execution.checkpointing.dir: nothing can be kept in ${JSON.stringify(dir)}; write a path, file:/// and a path, or s3://bucket/prefix`,
    );
  if (
    settled['execution.checkpointing.unaligned.enabled'] === true &&
    settled['execution.checkpointing.mode'] === 'at-least-once'
  )
    faults.push(
      'execution.checkpointing.unaligned.enabled: set, but execution.checkpointing.mode is at-least-once, whose barriers never wait; leave one of the two out',
    );
  if (settled['execution.until'] !== null && dir === null)
    faults.push(
      'execution.until: needs execution.checkpointing.dir, where the next run finds what this one has processed',
    );
  if (settled['state.backend.forst.primary-dir'] === 'local') {
    if (settled['state.backend.forst.local-dir'] === null)
      faults.push(
        'state.backend.forst.local-dir: not set, but state.backend.forst.primary-dir is local; name a folder for the working files',
      );
    if (settled['state.backend.forst.compaction.mode'] === 'remote')
      faults.push(
        'state.backend.forst.compaction.mode: compactors cannot reach files on the disk of a worker; leave it at thread, or state.backend.forst.primary-dir at checkpoint-dir',
      );
  }
  if (settled['state.changelog.enabled'] === true && settled['state.backend.type'] !== 'forst')
    faults.push(
      `state.changelog.enabled: ${String(settled['state.backend.type'])} writes its state in whole at each checkpoint; set state.backend.type to forst, or leave the changelog out`,
    );
  const backoff = 'restart-strategy.exponential-delay';
  if (number(`${backoff}.initial-backoff`) > number(`${backoff}.max-backoff`))
    faults.push(`${backoff}.initial-backoff: above ${backoff}.max-backoff`);
  return faults;
}
