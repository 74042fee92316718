/** Chooses the operator for a window: one of the cheap ones where it gives the same results, else the general one. */
import type { OneInputOperator } from '../contract.ts';
import type { AnyWindowAssigner } from './assigner.ts';
import { foldOf } from './pane-contents.ts';
import { PaneWindowOperator } from './pane-window-operator.ts';
import type { WindowShape } from './panes.ts';
import { isEventTimeTrigger, isProcessingTimeTrigger } from './trigger.ts';
import { SessionWindowOperator } from './session-window-operator.ts';
import type { WindowContent } from './window-function.ts';
import { checkWindow, WindowOperator, type WindowOperatorParams } from './window-operator.ts';

/** Where panes model the windows: slides larger than the window leave gaps that they do not. */
function shapeOf({ tumbling, sliding }: AnyWindowAssigner): WindowShape | undefined {
  if (tumbling !== undefined) return { ...tumbling, slideMs: tumbling.sizeMs };
  return sliding !== undefined && sliding.slideMs <= sliding.sizeMs ? sliding : undefined;
}

type EventSession = AnyWindowAssigner & Pick<Required<AnyWindowAssigner>, 'sessionGap'>;

const isEventSession = (assigner: AnyWindowAssigner): assigner is EventSession =>
  assigner.isEventTime && assigner.sessionGap !== undefined;

/** Content of several panes can be put together: elements always can. */
function canMerge(content: WindowContent): boolean {
  return content.kind === 'list' || foldOf(content)!.merge !== undefined;
}

/** @throws `invalid` for combinations that cannot work; see `checkWindow` */
export function createWindowOperator(params: WindowOperatorParams): OneInputOperator {
  checkWindow(params);
  const { assigner, trigger, evictor, content, lateTag } = params;
  const isDefault = assigner.isEventTime ? isEventTimeTrigger : isProcessingTimeTrigger;
  const plain = evictor === undefined && isDefault(trigger);
  if (plain && params.allowedLatenessMs === 0 && isEventSession(assigner))
    return new SessionWindowOperator({ ...params, gapOf: assigner.sessionGap });
  const shape = shapeOf(assigner);
  const shared =
    shape !== undefined && plain && (shape.slideMs === shape.sizeMs || canMerge(content));
  if (!shared) return new WindowOperator(params);
  return new PaneWindowOperator({
    time: assigner.isEventTime ? 'event' : 'processing',
    shape,
    content,
    window: params.window,
    keyOf: params.keyOf,
    allowedLatenessMs: assigner.isEventTime ? params.allowedLatenessMs : 0,
    ...(lateTag === undefined ? {} : { lateTag }),
  });
}
