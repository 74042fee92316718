/** Work that comes all at once, one piece a turn of the event loop. */

/** What this returns settles with a turn of its own for every call, in the order of the calls. */
export function inTurn(yieldToLoop: () => Promise<void>): () => Promise<void> {
  let last = Promise.resolve();
  return () => (last = last.then(yieldToLoop));
}
