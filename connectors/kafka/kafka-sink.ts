/**
 * Kafka topics as a sink: exactly-once by transactions, or at-least-once by an idempotent producer.
 *
 * Exactly-once: what is written between two barriers is one transaction of each subtask. At a barrier it is flushed and named by a
 * committable `(transactional id, producer id, epoch)`; when the checkpoint is complete, and again after a restore, it is committed
 * with exactly these, by whichever process comes first (`kafka-committer.ts`). Readers see it then, if they read committed records.
 */
import { assert } from '../../src/base/errors.ts';
import type { Sink, SinkWriterContext } from '../../src/connector/sink.ts';
import { checkSinkOptions, type KafkaSinkOptions, timeoutsOf } from './kafka-sink-options.ts';
import { KafkaWriter } from './kafka-writer.ts';
import { SharedTransactions } from './shared-transactions.ts';

/**
 * Writes to Kafka topics. @public
 * @throws `invalid` BAD_KAFKA_SINK, KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT
 */
export function kafkaSink<T>(options: KafkaSinkOptions<T>): Sink<T> {
  checkSinkOptions(options);
  const guarantee = options.guarantee ?? 'exactly-once';
  if (guarantee === 'at-least-once')
    return {
      guarantee,
      accepted: true,
      createWriter: (context) => KafkaWriter.open(options, context, undefined),
    };
  // One operator's committer and writer are made with the same context, the committer first.
  const shared = new WeakMap<SinkWriterContext, SharedTransactions>();
  const { transactionMs, outageMs } = timeoutsOf(options);
  return {
    guarantee,
    staging: { timeoutMs: transactionMs, longestOutageMs: outageMs },
    createCommitter: async (context) => {
      const transactions = new SharedTransactions(options, context);
      shared.set(context, transactions);
      return transactions.committer;
    },
    createWriter: (context) => {
      const transactions = shared.get(context);
      assert(transactions !== undefined, 'a sink operator opens the committer before the writer');
      return KafkaWriter.open(options, context, transactions);
    },
  };
}
