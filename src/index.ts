/** Millrace: what programs import. */
import {
  type Configuration,
  StreamExecutionEnvironment as Environment,
} from './api/environment.ts';
import { embeddedExecutor } from './cli/embedded.ts';

/**
 * The environment of this program. Options are Flink's keys; see docs/configuration.md.
 * @throws `invalid` CONFIG_INVALID listing every fault
 */
export function environment(config: Configuration = {}): StreamExecutionEnvironment {
  return new Environment(embeddedExecutor(), config);
}

/** Where a program begins. */
export type StreamExecutionEnvironment = Environment;
/** Flink's name for `environment`. */
export const StreamExecutionEnvironment = { getExecutionEnvironment: environment } as const;

// Streams
export { AsyncDataStream, type AsyncMapOptions } from './api/async-data-stream.ts';
export { collectSink } from './api/collect-sink.ts';
export type {
  BroadcastConnectedStream,
  BroadcastStream,
  ConnectedStreams,
  KeyedBroadcastConnectedStream,
  KeyedConnectedStreams,
} from './api/connected-streams.ts';
export type { DataStream, SingleOutputStreamOperator } from './api/data-stream.ts';
export type { Configuration } from './api/environment.ts';
export type { JobResult } from './api/executor.ts';
export type { JobClient, SavepointOptions, StopOptions } from './api/job-client.ts';
export type { BoundedIntervalJoin, IntervalJoin } from './api/interval-join.ts';
export type { JoinedStreams, WindowedJoin } from './api/joined-streams.ts';
export type { BundleOptions, KeyedStream } from './api/keyed-stream.ts';
export type { FieldsKey, Key, KeyField, NumericField } from './api/keying.ts';
export type { DataStreamSink } from './api/operator-handle.ts';
export { printSink } from './api/print-sink.ts';
export type { RestartStrategy } from './api/restart-strategy.ts';
export type { StoredAggregate, WindowAggregate, WindowedStream } from './api/windowed-stream.ts';

// Functions, windows, state
export type { AsyncRetry } from './operators/async-wait-operator.ts';
export type * from './operators/functions.ts';
export type { Change, ChangeKind, Ranked } from './operators/changes.ts';
export type { DeduplicateOptions } from './operators/deduplicate.ts';
export type { MiniBatch } from './operators/mini-batch-operator.ts';
export type { TopNOptions } from './operators/top-n.ts';
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
  type TimestampedValue,
} from './operators/window/evictor.ts';
export {
  ContinuousEventTimeTrigger,
  ContinuousProcessingTimeTrigger,
  CountTrigger,
  DeltaTrigger,
  EventTimeTrigger,
  NeverTrigger,
  type OnMergeContext,
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
  type AggregateFunction,
  type AggregatingState,
  aggregatingState,
  asyncState,
  type ListState,
  listState,
  type MapState,
  mapState,
  type ReducingState,
  reducingState,
  type StateDescriptor,
  type StateOf,
  type StateTtl,
  type ValueState,
  valueState,
} from './state/descriptor.ts';
export type * from './state/async-states.ts';
export type { BroadcastState, ReadOnlyBroadcastState } from './state/operator-state.ts';

// Sources, sinks, event time
export {
  collectionSource,
  rangeSource,
  type RangeSourceOptions,
} from './connector/collection-source.ts';
export { generatorSource, type GeneratorSourceOptions } from './connector/generator-source.ts';
export {
  jsonMessages,
  type MessageFormat,
  rawMessages,
  textMessages,
} from './connector/message-format.ts';
export type * from './connector/sink.ts';
export type * from './connector/source.ts';
export {
  WatermarkStrategy,
  type WatermarkStrategyBuilder,
} from './connector/watermark-strategies.ts';
export type { WatermarkAlignment, WatermarkGenerator } from './connector/watermark-strategy.ts';

// Types, values, errors
export { parseConfiguration } from './cluster/config-file.ts';
export type { Duration } from './base/duration.ts';
export {
  type ErrorDetails,
  type ErrorKind,
  isMillraceError,
  MillraceError,
} from './base/errors.ts';
export type { JsonValue } from './base/json.ts';
export { MAX_WATERMARK, NO_TIMESTAMP, type RecordBatch } from './types/record-batch.ts';
export type { Infer, Schema } from './types/schema.ts';
export type { StandardSchema } from './types/standard-schema.ts';
export { CumulateWindows } from './operators/window/cumulate-windows.ts';
export { ProcessingTimeoutTrigger } from './operators/window/processing-timeout-trigger.ts';
export type { WindowStagger } from './operators/window/window-stagger.ts';
export { t } from './types/t.ts';
