/** Apache Kafka as a source and as an exactly-once sink: `@millrace/kafka`. */
export { type ClusterOptions, kafkaCluster, type SaslMechanism } from './cluster.ts';
export type { TlsOptions } from './socket-transport.ts';
export type { KafkaHeaders, KafkaRecord } from './kafka-record.ts';
export { kafkaSink } from './kafka-sink.ts';
export type { KafkaSinkOptions } from './kafka-sink-options.ts';
export { kafkaSource, type KafkaSourceOptions } from './kafka-source.ts';
export type { Compression } from './record-batch-builder.ts';
export type { OffsetsByTopic, Otherwise, StartFrom, Until } from './start-offsets.ts';
export type { KafkaCluster, KafkaTransport } from './transport.ts';
export { type AvroOptions, avroMessages } from './avro-messages.ts';
export { type ProtobufOptions, protobufMessages } from './protobuf-messages.ts';
export {
  type SchemaRegistry,
  schemaRegistry,
  type SchemaRegistryOptions,
  type SchemaType,
} from './schema-registry.ts';
