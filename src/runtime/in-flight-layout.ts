/** Where in the bytes of a subtask's in-flight data which part lies: a pure function of what was captured. */
import { crc32 } from 'node:zlib';
import type { Partitioning } from '../graph/logical-graph.ts';
import type { ChannelRange, ChannelStateHandle } from '../state/snapshot.ts';
import type { CapturedInputs } from './input-capture.ts';
import type { CapturedOutput } from './output-capture.ts';

export interface InFlightLayout {
  readonly bytes: Uint8Array;
  readonly contents: Omit<ChannelStateHandle, 'data'>;
}

export function layOut(
  inputs: CapturedInputs | undefined,
  waiting: readonly CapturedOutput[],
  partitioningOf: (edgeId: string) => Partitioning,
): InFlightLayout {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  const append = (bytes: Uint8Array): ChannelRange => {
    const range = { offset, length: bytes.length, crc32: crc32(bytes) };
    chunks.push(bytes);
    offset += bytes.length;
    return range;
  };
  const stages = (inputs?.stages ?? []).map(append);
  const outputs: Record<string, Record<string, ChannelRange>> = {};
  for (const { edgeId, target, bytes } of waiting) (outputs[edgeId] ??= {})[target] = append(bytes);
  const edges = new Set([...(inputs?.edges ?? []), ...Object.keys(outputs)]);
  return {
    bytes: Buffer.concat(chunks),
    contents: {
      inputs: stages,
      outputs,
      edges: Object.fromEntries([...edges].map((id) => [id, partitioningOf(id)] as const)),
      elements: waiting.reduce((sum, { elements }) => sum + elements, inputs?.elements ?? 0),
    },
  };
}
