/** Chooses how panes are kept: elements or accumulators, each pane by itself or all panes of a key in one value. */
import { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { KeyedStateBackend } from '../../state/keyed-state-backend.ts';
import { rowCodec } from '../../types/row-codec.ts';
import { PLAIN_KINDS } from '../../types/schema-kinds.ts';
import type { Schema } from '../../types/schema.ts';
import type { OperatorContext } from '../contract.ts';
import {
  FoldedPanes,
  type FoldedPanesParams,
  foldOf,
  type PaneContents,
  PaneElements,
  SinglePaneElements,
  STATE,
} from './pane-contents.ts';
import type { PaneLayout } from './panes.ts';
import { PanesOfKey } from './panes-of-key.ts';
import type { WindowContent } from './window-function.ts';

/** Beyond this a value that holds all panes of a key is dear to write for the one that has changed. */
const PANES_TOGETHER_MAX = 16;

export interface PaneContentsParams {
  readonly content: WindowContent;
  readonly layout: PaneLayout;
  readonly allowedLatenessMs: number;
}

export function openPanes(
  keyed: KeyedStateBackend,
  context: OperatorContext,
  { content, layout, allowedLatenessMs }: PaneContentsParams,
): PaneContents {
  const fold = foldOf(content);
  if (fold === undefined) {
    return layout.tumbling
      ? new SinglePaneElements(keyed, content.schema)
      : new PaneElements(keyed, context, { schema: content.schema, layout });
  }
  // Accumulators may be changed by what merges them; reduced values, like records, never are.
  const copies = content.kind === 'aggregate' && !layout.tumbling;
  const params: FoldedPanesParams = {
    name: STATE,
    schema: content.schema,
    layout,
    fold,
    copy: copies ? copier(content.schema) : undefined,
  };
  const together =
    !layout.tumbling && layout.panesOf(layout.sizeMs + allowedLatenessMs) <= PANES_TOGETHER_MAX;
  return together ? new PanesOfKey(keyed, params) : new FoldedPanes(keyed, params);
}

/** Copies values of a schema; undefined where values cannot change. */
function copier(schema: Schema<unknown>): ((value: unknown) => unknown) | undefined {
  if (PLAIN_KINDS.has(schema.kind) || schema.kind === 'decimal') return undefined;
  const codec = rowCodec(schema);
  const writer = new ByteWriter();
  return (value) => {
    writer.reset();
    codec.encode(value, writer);
    return codec.decode(new ByteReader(writer.take()));
  };
}
