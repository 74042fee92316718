/** Windows that share a start and grow step by step: running totals of a day, say (the CUMULATE of Flink's SQL). */
import { type Duration, durationMs } from '../../base/duration.ts';
import { invalid } from '../../base/errors.ts';
import { requireTimestamp, type WindowAssigner } from './assigner.ts';
import { EventTimeTrigger } from './trigger.ts';
import { TimeWindow, VARIABLE_WINDOWS, windowStart } from './window.ts';

/** More windows a record than this is a mistake in the units. */
const WINDOWS_PER_RECORD_MAX = 10_000;

export const CumulateWindows = {
  /**
   * For every `size` of event time the windows [start, start + step), [start, start + 2 step) ... [start, start + size).
   * @throws `invalid` BAD_WINDOW unless size is a positive multiple of step
   */
  of(size: Duration, step: Duration, offset: Duration = 0): WindowAssigner<unknown, TimeWindow> {
    const sizeMs = durationMs(size);
    const stepMs = durationMs(step);
    const offsetMs = durationMs(offset);
    if (
      stepMs <= 0 ||
      sizeMs <= 0 ||
      sizeMs % stepMs !== 0 ||
      sizeMs / stepMs > WINDOWS_PER_RECORD_MAX ||
      Math.abs(offsetMs) >= sizeMs
    ) {
      throw invalid(
        'BAD_WINDOW',
        `a cumulate window: the size is a positive multiple of the step, at most ${WINDOWS_PER_RECORD_MAX} steps, and the offset smaller than the size (size ${sizeMs} ms, step ${stepMs} ms, offset ${offsetMs} ms)`,
      );
    }
    return {
      description: `cumulate(${sizeMs} ms by ${stepMs} ms)`,
      isEventTime: true,
      windows: VARIABLE_WINDOWS,
      defaultTrigger: EventTimeTrigger.create(),
      assign(_value, timestamp) {
        requireTimestamp(timestamp);
        const start = windowStart(timestamp, offsetMs, sizeMs);
        const windows: TimeWindow[] = [];
        for (
          let end = windowStart(timestamp, start, stepMs) + stepMs;
          end <= start + sizeMs;
          end += stepMs
        ) {
          windows.push(new TimeWindow(start, end));
        }
        return windows;
      },
    };
  },
};
