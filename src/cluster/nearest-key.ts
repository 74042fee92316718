/** The known key that a misspelt one probably means. */

/** Longer keys are no option of anybody: they are not compared. */
const KEY_LENGTH_MAX = 200;
const DISTANCE_MAX = 3;

export function nearestKey(key: string, known: Iterable<string>): string | undefined {
  if (key.length > KEY_LENGTH_MAX) return undefined;
  let best: string | undefined;
  let least = Math.max(DISTANCE_MAX, key.length / 4);
  for (const candidate of known) {
    const distance = editDistance(key, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length]!;
}
