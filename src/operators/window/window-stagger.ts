/** Shifts windows per subtask, so that not all of them fire at the same moment (Flink's WindowStagger). */
import type { Random } from '../../base/world.ts';
import { windowStart } from './window.ts';

/**
 * - `aligned`: no shift;
 * - `random`: a random part of the window's size, drawn at the subtask's first record;
 * - `natural`: how far into a window the clock was at the subtask's first record.
 *
 * Drawn anew when a task restarts; windows in state keep their bounds.
 */
export type WindowStagger = 'aligned' | 'random' | 'natural';

export function staggerOf(
  stagger: WindowStagger,
  facts: { readonly sizeMs: number; readonly processingTime: number; readonly random: Random },
): number {
  const { sizeMs, processingTime, random } = facts;
  if (stagger === 'random') return Math.floor(random.next() * sizeMs);
  return stagger === 'natural' ? processingTime - windowStart(processingTime, 0, sizeMs) : 0;
}
