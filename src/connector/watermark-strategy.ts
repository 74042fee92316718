/**
 * How event time is read off records, and how far it has come: Flink's WatermarkStrategy.
 *
 * A watermark W says: no record with a timestamp <= W is expected any more. Generators run per source split (or per subtask
 * for `assignTimestampsAndWatermarks`); the runtime takes the minimum over the active ones.
 */

export interface WatermarkGenerator {
  /** Called for each record; may return a watermark to emit at once (punctuated), else undefined. */
  onEvent(timestamp: number, value: unknown): number | undefined;
  /** Called every `pipeline.auto-watermark-interval` (200 ms) and at the end of each batch; the watermark as of now. */
  onPeriodicEmit(): number;
}

export interface WatermarkAlignment {
  /** Sources of one group wait for each other. */
  readonly group: string;
  /** A split that is more than this many milliseconds ahead of the group's minimum is paused. */
  readonly maxDriftMs: number;
  /** How often subtasks report and learn the minimum. Default 1000 ms. */
  readonly updateIntervalMs: number;
}

export interface WatermarkStrategy<T> {
  /** Reads a record's event time, epoch milliseconds. Absent: the source's own record timestamp is kept. */
  readonly timestampOf?: (value: T, recordTimestamp: number) => number;
  /** Absent: no watermarks (processing-time only pipelines). */
  readonly createGenerator?: () => WatermarkGenerator;
  /** After this long without a record a split is idle and does not hold the watermark. Absent: never idle. */
  readonly idlenessMs?: number;
  readonly alignment?: WatermarkAlignment;
}
