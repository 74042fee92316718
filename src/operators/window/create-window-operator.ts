/** Chooses the operator for a window: panes where they give the same results, else the general one. */
import type { AggregateFunction } from '../../state/descriptor.ts';
import type { OneInputOperator } from '../contract.ts';
import { PaneWindowOperator } from './pane-window-operator.ts';
import { isEventTimeTrigger } from './trigger.ts';
import type { WindowContent } from './window-function.ts';
import { WindowOperator, type WindowOperatorParams } from './window-operator.ts';

/** A reduce as an aggregate whose accumulator is `undefined` or the value so far. */
function reduceAsAggregate(
  reduce: (a: unknown, b: unknown) => unknown,
): AggregateFunction<unknown, unknown, unknown> {
  const fold = (a: unknown, b: unknown): unknown => (a === undefined ? b : reduce(a, b));
  return {
    createAccumulator: () => undefined,
    add: (value, accumulator) => fold(accumulator, value),
    getResult: (accumulator) => accumulator,
    merge: fold,
  };
}

function foldOf(content: WindowContent): AggregateFunction<unknown, unknown, unknown> | undefined {
  if (content.kind === 'list') return undefined;
  return content.kind === 'aggregate' ? content.aggregate : reduceAsAggregate(content.reduce);
}

export function createWindowOperator(params: WindowOperatorParams): OneInputOperator {
  const { assigner, trigger, evictor, content, allowedLatenessMs, window, keyOf, lateTag } = params;
  const fold = foldOf(content);
  const slides = assigner.sliding;
  const shape =
    assigner.tumbling === undefined
      ? slides
      : { ...assigner.tumbling, slideMs: assigner.tumbling.sizeMs };
  const plain =
    isEventTimeTrigger(trigger) &&
    assigner.isEventTime &&
    evictor === undefined &&
    allowedLatenessMs === 0;
  // Slides larger than the window leave gaps that panes do not model.
  const fits =
    shape !== undefined &&
    shape.slideMs <= shape.sizeMs &&
    (slides === undefined || fold?.merge !== undefined);
  if (!plain || fold === undefined || !fits) return new WindowOperator(params);
  return new PaneWindowOperator({
    ...shape,
    schema: content.schema,
    aggregate: fold,
    window,
    keyOf,
    ...(lateTag === undefined ? {} : { lateTag }),
  });
}
