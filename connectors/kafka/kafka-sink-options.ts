/** What a Kafka sink can be told, and what of it does not go together. */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type { SinkGuarantee } from '../../src/connector/sink.ts';
import type { KafkaHeaders } from './kafka-record.ts';
import type { Compression } from './record-batch-builder.ts';
import type { KafkaCluster } from './transport.ts';

export interface KafkaSinkOptions<T> {
  /** Made by `kafkaCluster`. */
  readonly cluster: KafkaCluster;
  /** Where records go; topics are not created. */
  readonly topic: string | ((value: T) => string);
  readonly value: MessageFormat<T>;
  /** Records with the same key go to one partition, in order. Null or absent: partitions in turn. */
  readonly key?: (value: T) => string | Uint8Array | null;
  readonly headers?: (value: T) => KafkaHeaders;
  /** Instead of the key's hash (Java's murmur2). */
  readonly partition?: (value: T, partitions: number) => number;
  /** Default 'exactly-once'. */
  readonly guarantee?: SinkGuarantee;
  /** Of transactional ids; needed for exactly-once. One for each sink and job, the same over restarts: letters, digits, `.`, `_`, `-`. */
  readonly transactionalIdPrefix?: string;
  /** After this long the broker aborts a transaction that was not committed. Default 15 min, the broker's default limit. */
  readonly transactionTimeout?: Duration;
  /**
   * The longest time from the first record of a transaction to its commit that must be survived: checkpoint interval and duration, and every
   * restart or outage in between. Must be shorter than `transactionTimeout`. Default 10 min.
   */
  readonly longestOutage?: Duration;
  /** What happens when a transaction of a completed checkpoint was aborted: 'fail' (default), or 'accept' the loss and log it. */
  readonly lostTransactions?: 'fail' | 'accept';
  readonly compression?: Compression;
  /** Of a batch of records before compression. Default 512 KiB; the topic's max.message.bytes is 1 MiB by default. */
  readonly batchBytes?: number;
  /** How long a batch waits for more records. Default 10 ms. */
  readonly linger?: Duration;
  /** What a subtask holds undelivered before it holds up the stream. Default 32 MiB. */
  readonly bufferBytes?: number;
  /** How long records may go undelivered before the job fails (and restarts by its strategy). Default 2 min. */
  readonly deliveryTimeout?: Duration;
}

/** The part of the options that does not depend on the records. */
export type TransactionOptions = Pick<
  KafkaSinkOptions<unknown>,
  | 'cluster'
  | 'transactionalIdPrefix'
  | 'transactionTimeout'
  | 'longestOutage'
  | 'lostTransactions'
  | 'deliveryTimeout'
>;

const PREFIX = /^[A-Za-z0-9._-]{1,200}$/;
const MIB = 1024 * 1024;
const COMPRESSIONS: readonly string[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

export const timeoutsOf = ({
  transactionTimeout = '15 min',
  longestOutage = '10 min',
  deliveryTimeout = '2 min',
}: TransactionOptions): { transactionMs: number; outageMs: number; deliveryMs: number } => ({
  transactionMs: durationMs(transactionTimeout),
  outageMs: durationMs(longestOutage),
  deliveryMs: durationMs(deliveryTimeout),
});

/** @throws `invalid` BAD_KAFKA_SINK, KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT */
export function checkSinkOptions<T>(options: KafkaSinkOptions<T>): void {
  const { guarantee = 'exactly-once', transactionalIdPrefix: prefix, compression } = options;
  const { batchBytes = MIB / 2, bufferBytes = 32 * MIB } = options;
  const { transactionMs, outageMs } = timeoutsOf(options);
  const exactlyOnce = guarantee === 'exactly-once';
  const faults = [
    ...(exactlyOnce && prefix === undefined
      ? ['exactly-once needs a transactionalIdPrefix that is its own and stays the same']
      : []),
    ...(prefix !== undefined && !PREFIX.test(prefix)
      ? ['transactionalIdPrefix is 1 to 200 letters, digits, dots, dashes and underscores']
      : []),
    ...(compression !== undefined && !COMPRESSIONS.includes(compression)
      ? [`compression is one of ${COMPRESSIONS.join(', ')}`]
      : []),
    ...(!(batchBytes >= 1024) || batchBytes > 64 * MIB
      ? ['batchBytes is between 1 KiB and 64 MiB']
      : []),
    ...(!(bufferBytes >= batchBytes) ? ['bufferBytes is at least batchBytes'] : []),
  ];
  if (faults.length > 0) throw invalid('BAD_KAFKA_SINK', `Kafka sink: ${faults.join('; ')}`);
  if (exactlyOnce && transactionMs <= outageMs)
    throw invalid(
      'KAFKA_TRANSACTION_TIMEOUT_TOO_SHORT',
      `transactionTimeout (${transactionMs} ms) must be longer than longestOutage (${outageMs} ms): a broker aborts a transaction after the former, and the records of a completed checkpoint would be lost`,
    );
}
