/**
 * Windows of one size and slide cut into panes, so that a record is kept once whatever the number of its windows.
 *
 * Windows begin at multiples of the slide (shifted by the offset) and end `size mod slide` after such a multiple, so each slide is cut there
 * into two panes, or not at all where the slide divides the size: at most 2 size/slide + 1 panes a window, however small the greatest common
 * divisor of the two is. (Paired windows: Krishnamurthy et al., SIGMOD 2006; panes: Li et al., SIGMOD Record 2005.)
 *
 * Invariants
 *  L1  Every pane lies inside or outside every window: none is cut by a window's bounds.
 *  L2  A pane is named by its start, and its last window starts at or before it, less than a slide away.
 */
import { windowStart } from './window.ts';

/** Slides are at most as long as windows: there are no gaps. */
export interface WindowShape {
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
}

export class PaneLayout implements WindowShape {
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
  /** A window is one pane. */
  readonly tumbling: boolean;
  readonly #cutMs: number;

  constructor({ sizeMs, slideMs, offsetMs }: WindowShape) {
    this.sizeMs = sizeMs;
    this.slideMs = slideMs;
    this.offsetMs = offsetMs;
    this.tumbling = sizeMs === slideMs;
    this.#cutMs = sizeMs % slideMs;
  }

  /** @hot Start of the last window that holds `timestamp`. */
  lastWindow(timestamp: number): number {
    return windowStart(timestamp, this.offsetMs, this.slideMs);
  }

  /** @hot Start of the pane of `timestamp`, given its last window. */
  paneOf(timestamp: number, lastWindow: number): number {
    const cut = lastWindow + this.#cutMs;
    return timestamp < cut || this.#cutMs === 0 ? lastWindow : cut;
  }

  /** Start of the first window that holds a pane. */
  firstWindow(pane: number): number {
    return windowStart(pane - this.sizeMs, this.offsetMs, this.slideMs) + this.slideMs;
  }

  /** Start of the pane after this one. */
  after(pane: number): number {
    if (this.#cutMs === 0) return pane + this.slideMs;
    const window = this.lastWindow(pane);
    return window === pane ? pane + this.#cutMs : window + this.slideMs;
  }

  /** Most panes that a stretch of time holds. */
  panesOf(ms: number): number {
    return Math.ceil(ms / this.slideMs) * (this.#cutMs === 0 ? 1 : 2);
  }
}
