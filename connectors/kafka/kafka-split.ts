/** A partition as a split: what is stored of it in checkpoints. */
import type { JsonValue } from '../../src/base/json.ts';
import type { SourceSplit } from '../../src/connector/source.ts';

export interface KafkaSplit {
  readonly topic: string;
  /** Tells a topic from another that was created later under its name. */
  readonly topicId: string;
  readonly partition: number;
  /** Resolved when the partition was discovered, so that a restart before the first checkpoint reads the same. */
  readonly startOffset: number;
  /** The first offset not to read; null: never ends. */
  readonly stopOffset: number | null;
}

export interface KafkaPosition {
  /** The next offset to read. */
  readonly offset: number;
}

export const splitIdOf = (topic: string, partition: number): string => `${topic}-${partition}`;

export const asSourceSplit = (split: KafkaSplit): SourceSplit => ({
  id: splitIdOf(split.topic, split.partition),
  data: { ...split },
});

export const kafkaSplitOf = (data: JsonValue): KafkaSplit => data as unknown as KafkaSplit; // made by asSourceSplit
export const kafkaPositionOf = (position: JsonValue | undefined): KafkaPosition | undefined =>
  position as unknown as KafkaPosition | undefined; // made by KafkaSplitReader
