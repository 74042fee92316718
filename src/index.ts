/** Millrace: what programs import. */
import { type Configuration, StreamExecutionEnvironment } from './api/environment.ts';
import { embeddedExecutor } from './cli/embedded.ts';

/**
 * The environment of this program. Options are Flink's keys; see docs/reference/configuration.md.
 * @throws `invalid` CONFIG_INVALID listing every fault
 */
export function environment(config: Configuration = {}): StreamExecutionEnvironment {
  return new StreamExecutionEnvironment(embeddedExecutor(), config);
}

export type { Configuration, StreamExecutionEnvironment } from './api/environment.ts';
export type { JobResult } from './api/executor.ts';
export type { DataStream } from './api/data-stream.ts';
export type { KeyedStream } from './api/keyed-stream.ts';
export type { WindowAggregate, WindowedStream } from './api/windowed-stream.ts';
export type { AsyncMapOptions } from './api/data-stream.ts';
export { collectSink } from './api/collect-sink.ts';
export { printSink } from './api/print-sink.ts';
export type { AsyncRetry } from './operators/async-wait-operator.ts';
export { isMillraceError, MillraceError, type ErrorKind } from './base/errors.ts';
export type { Duration } from './base/duration.ts';
export type { JsonValue } from './base/json.ts';
export { collectionSource, rangeSource } from './connector/collection-source.ts';
export type * from './connector/sink.ts';
export type * from './connector/source.ts';
export { WatermarkStrategy } from './connector/watermark-strategies.ts';
export type { WatermarkGenerator } from './connector/watermark-strategy.ts';
export type * from './operators/functions.ts';
export { type OutputTag, outputTag } from './operators/output-tag.ts';
export {
  EventTimeSessionWindows,
  GlobalWindows,
  ProcessingTimeSessionWindows,
  SlidingEventTimeWindows,
  SlidingProcessingTimeWindows,
  TumblingEventTimeWindows,
  TumblingProcessingTimeWindows,
  type WindowAssigner,
} from './operators/window/assigner.ts';
export {
  CountEvictor,
  DeltaEvictor,
  type Evictor,
  TimeEvictor,
} from './operators/window/evictor.ts';
export {
  ContinuousEventTimeTrigger,
  ContinuousProcessingTimeTrigger,
  CountTrigger,
  DeltaTrigger,
  EventTimeTrigger,
  NeverTrigger,
  ProcessingTimeTrigger,
  PurgingTrigger,
  type Trigger,
  type TriggerContext,
  type TriggerResult,
} from './operators/window/trigger.ts';
export type {
  ProcessWindowContext,
  ProcessWindowFunction,
  WindowFunction,
} from './operators/window/window-function.ts';
export { GlobalWindow, TimeWindow, type Window } from './operators/window/window.ts';
export {
  aggregatingState,
  type AggregateFunction,
  listState,
  mapState,
  reducingState,
  type StateTtl,
  valueState,
} from './state/descriptor.ts';
export { MAX_WATERMARK, NO_TIMESTAMP, type RecordBatch } from './types/record-batch.ts';
export type { Infer, Schema } from './types/schema.ts';
export type { StandardSchema } from './types/standard-schema.ts';
export { t } from './types/t.ts';
