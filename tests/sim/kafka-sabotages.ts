/** Faults planted in the Kafka sink and broker on purpose: a checker that does not find them is not believed. */
import { isMillraceError } from '../../src/base/errors.ts';
import type { Committable, Committer, Sink, SinkWriterContext } from '../../src/connector/sink.ts';
import { neverFence } from './sabotages.ts';
import type { KafkaSabotage, KafkaSettings, Result } from './kafka-sim.ts';

type Commit = (committer: Committer, committables: readonly Committable[]) => Promise<void>;

/** The sink with another way to commit. */
function committing(sink: Sink<Result>, commit: Commit): Sink<Result> {
  return {
    ...sink,
    async createCommitter(context) {
      const committer = (await sink.createCommitter?.(context))!; // an exactly-once sink has one
      return {
        commit: (committables) => commit(committer, committables),
        close: () => committer.close(),
      };
    },
  };
}

/** Commits when a transaction is prepared, not when its checkpoint is complete. */
function commitEarly(sink: Sink<Result>): Sink<Result> {
  const committers = new WeakMap<SinkWriterContext, Committer>();
  return {
    ...sink,
    async createCommitter(context) {
      const committer = (await sink.createCommitter?.(context))!; // an exactly-once sink has one
      committers.set(context, committer);
      return committer;
    },
    async createWriter(context) {
      const writer = await sink.createWriter(context);
      const prepare = writer.prepareCommit!.bind(writer);
      writer.prepareCommit = async (checkpointId) => {
        const committables = await prepare(checkpointId);
        await committers.get(context)!.commit(committables);
        return committables;
      };
      return writer;
    },
  };
}

function forgetCommits(sink: Sink<Result>): Sink<Result> {
  let commits = 0;
  return committing(sink, async (committer, committables) => {
    if (++commits % 3 !== 0) await committer.commit(committables);
  });
}

function passOverRefusals(sink: Sink<Result>): Sink<Result> {
  return committing(sink, async (committer, committables) => {
    try {
      await committer.commit(committables);
    } catch (error) {
      if (!isMillraceError(error) || error.code !== 'KAFKA_COMMIT_REFUSED') throw error;
    }
  });
}

/** A job that is often down for longer than the broker waits. */
const longDowntimes = (settings: KafkaSettings): KafkaSettings => ({
  ...settings,
  // Shorter than the interval would be refused at the start.
  config: { ...settings.config, 'execution.checkpointing.interval': 50 },
  transactionTimeoutMs: 300,
});

export const KAFKA_SABOTAGES: readonly KafkaSabotage[] = [
  { name: 'the sink commits before the checkpoint is complete', sinkOf: commitEarly },
  { name: 'the sink forgets a commit', sinkOf: forgetCommits },
  {
    name: 'the sink passes over a refused commit',
    sinkOf: passOverRefusals,
    settingsOf: longDowntimes,
  },
  { name: 'coordinators are not fenced', storeOf: neverFence },
];
