/** A record as Kafka has it. */

/** In order; names may repeat. */
export type KafkaHeaders = readonly (readonly [name: string, value: Uint8Array | null])[];

export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Epoch milliseconds: the producer's or, by the topic's setting, the broker's. -1: none. */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: KafkaHeaders;
}
