/** NATS JetStream as a source that replays and as a sink with message ids: `@millrace/nats`. */
export type { NatsStart } from './nats-enumerator.ts';
export type { NatsServerOptions } from './nats-server.ts';
export { natsSink, type NatsSinkOptions } from './nats-sink.ts';
export { natsSource, type NatsSourceOptions } from './nats-source.ts';
