/** Caching of whole files on local disk, as other engines do it: a policy that is simulated over what the tree asked the store for. */

export type StoreEvent =
  | { readonly kind: 'get'; readonly object: string }
  | { readonly kind: 'put'; readonly object: string; readonly bytes: number };

export interface Traffic {
  readonly gets: number;
  readonly bytes: number;
}

/** Least recently used files within the budget; new files are written through. A miss fetches the file, even one that does not fit. */
export function wholeFileTraffic(
  events: readonly StoreEvent[],
  sizes: ReadonlyMap<string, number>,
  options: { readonly budgetBytes: number; readonly from: number },
): Traffic {
  const cached = new Map<string, number>();
  let held = 0;
  let gets = 0;
  let bytes = 0;
  for (const [at, { kind, object }] of events.entries()) {
    const size = sizes.get(object)!; // of every object that was ever put
    if (cached.delete(object)) held -= size;
    else if (kind === 'get' && at >= options.from) {
      gets++;
      bytes += size;
    }
    if (size > options.budgetBytes) continue;
    cached.set(object, size);
    held += size;
    for (const [oldest, length] of cached) {
      if (held <= options.budgetBytes) break;
      cached.delete(oldest);
      held -= length;
    }
  }
  return { gets, bytes };
}
