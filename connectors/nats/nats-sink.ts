/** Records as messages of a JetStream stream: at-least-once, each with the same message id whenever it is sent again. */
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { invalid } from '../../src/base/errors.ts';
import { AsyncSinkWriter, type RetryLater } from '../../src/connector/async-sink-writer.ts';
import type { MessageFormat } from '../../src/connector/message-format.ts';
import type { Sink } from '../../src/connector/sink.ts';
import { connectNats, natsError, type NatsServerOptions } from './nats-server.ts';

export interface NatsSinkOptions<T> {
  readonly server: NatsServerOptions;
  /** Where a record goes; a stream must take it. */
  readonly subject: string | ((value: T) => string);
  readonly format: MessageFormat<T>;
  /**
   * The `Nats-Msg-Id` of a record, by which the server drops repetitions within the stream's duplicate window (2 minutes by default). Must be a
   * pure function of the record. Absent: repetitions are duplicates.
   */
  readonly messageId?: (value: T) => string;
  /** Messages of one subtask without an answer; with 1 they arrive in order whatever fails. Default 256. */
  readonly requestsInFlightMax?: number;
  /** Until a message has to be acknowledged by the server. Default 10 s. */
  readonly requestTimeout?: Duration;
  /** How long a message is repeated before the job fails. Default 2 min. */
  readonly unavailableTimeout?: Duration;
}

/** Publishes to JetStream and waits for the server to have stored each message. @public @throws `invalid` BAD_NATS_SINK */
export function natsSink<T>(options: NatsSinkOptions<T>): Sink<T> {
  const { server, subject, format, requestsInFlightMax = 256 } = options;
  const { unavailableTimeout = '2 min' } = options;
  if (!Number.isSafeInteger(requestsInFlightMax) || requestsInFlightMax < 1 || subject === '')
    throw invalid(
      'BAD_NATS_SINK',
      'NATS sink: subject is not empty, and requestsInFlightMax is a positive whole number',
    );
  const unavailableTimeoutMs = durationMs(unavailableTimeout);
  return {
    guarantee: 'at-least-once',
    createWriter: async (context) => {
      await format.open?.(typeof subject === 'string' ? subject : '', 'write');
      const connection = await connectNats(server);
      const submit = publisherOf(options, jetstream(connection));
      return new AsyncSinkWriter<T>(
        { submit, requestsInFlightMax, unavailableTimeoutMs, close: () => connection.close() },
        context,
      );
    },
  };
}

function publisherOf<T>(
  { subject, format, messageId, requestTimeout = '10 s' }: NatsSinkOptions<T>,
  client: JetStreamClient,
): (value: T) => Promise<RetryLater | undefined> {
  const timeout = durationMs(requestTimeout);
  return async (value) => {
    const to = typeof subject === 'string' ? subject : subject(value);
    try {
      await client.publish(to, format.encode(value), {
        timeout,
        ...(messageId === undefined ? {} : { msgID: messageId(value) }),
      });
      return undefined;
    } catch (thrown) {
      const error = natsError(`publishing to ${to}`, thrown);
      if (error.kind === 'unavailable') return { reason: error };
      throw error;
    }
  };
}
