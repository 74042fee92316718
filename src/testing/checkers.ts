/**
 * Checkers: what must hold whatever happened. Each takes facts and returns the violations with their evidence; none throws.
 *
 *   C1 `checkExactlyOnce`   every input id once in the committed output (or at least once)
 *   C2 `checkKeyOrder`      records of a key became visible in their order
 *   C3 `checkConserved`     what went into an exchange has come out of it, in every checkpoint
 *   C4 `checkSameResults`   the same results as a plain function on the whole input
 *   C7 `WatermarkProbe`     watermarks never go back
 *   C8 `CheckpointAudit`    nothing that a checkpoint names is ever missing
 */

export interface Violation {
  readonly checker: string;
  readonly message: string;
  readonly evidence: Readonly<Record<string, unknown>>;
}

/** Evidence is cut to this many items. */
const EVIDENCE_MAX = 10;

export type Delivery = 'exactly-once' | 'at-least-once';

const countOf = (ids: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
};

/** C1. @public */
export function checkExactlyOnce(
  expected: Iterable<string>,
  committed: Iterable<string>,
  delivery: Delivery = 'exactly-once',
): Violation[] {
  const wanted = countOf(expected);
  const got = countOf(committed);
  const lost = [...wanted.keys()].filter((id) => !got.has(id));
  const invented = [...got.keys()].filter((id) => !wanted.has(id));
  const repeated = [...got].filter(([id, count]) => count > (wanted.get(id) ?? count));
  const violations: Violation[] = [];
  const report = (message: string, ids: readonly unknown[]): void => {
    if (ids.length > 0) {
      violations.push({
        checker: 'C1',
        message: `${ids.length} ${message}`,
        evidence: { ids: ids.slice(0, EVIDENCE_MAX) },
      });
    }
  };
  report('ids were lost', lost);
  report('ids came out that never went in', invented);
  if (delivery === 'exactly-once') report('ids came out more than once', repeated);
  return violations;
}

export interface OrderedRecord {
  readonly key: string;
  /** Place among the records of the key. */
  readonly order: number;
}

/** C2: `committed` in the order in which it became visible. @public */
export function checkKeyOrder(committed: Iterable<OrderedRecord>): Violation[] {
  const last = new Map<string, number>();
  const violations: Violation[] = [];
  for (const { key, order } of committed) {
    const before = last.get(key);
    if (before !== undefined && order <= before && violations.length < EVIDENCE_MAX) {
      violations.push({
        checker: 'C2',
        message: `key ${key}: number ${order} came after number ${before}`,
        evidence: { key, order, before },
      });
    }
    last.set(key, Math.max(order, before ?? order));
  }
  return violations;
}

export interface LedgerSample {
  readonly checkpointId: number;
  /** Sum of what had left for the exchange, and of what had come out of it. */
  readonly sent: number;
  readonly received: number;
}

/** C3: what is in flight in an unaligned checkpoint counts as received. @public */
export function checkConserved(samples: Iterable<LedgerSample>): Violation[] {
  return [...samples]
    .filter(({ sent, received }) => sent !== received)
    .map((sample) => ({
      checker: 'C3',
      message: `checkpoint ${sample.checkpointId}: ${sample.sent} was sent and ${sample.received} received`,
      evidence: { ...sample },
    }));
}

/** C4: both sides as multisets of plain values. @public */
export function checkSameResults(
  what: string,
  reference: Iterable<unknown>,
  actual: Iterable<unknown>,
): Violation[] {
  const wanted = countOf([...reference].map((value) => canonical(value)));
  const got = countOf([...actual].map((value) => canonical(value)));
  const missing = [...wanted].filter(([value, count]) => (got.get(value) ?? 0) < count);
  const surplus = [...got].filter(([value, count]) => (wanted.get(value) ?? 0) < count);
  if (missing.length === 0 && surplus.length === 0) return [];
  return [
    {
      checker: 'C4',
      message: `${what} differs from the reference: ${missing.length} results are missing, ${surplus.length} are wrong or too many`,
      evidence: {
        missing: missing.slice(0, EVIDENCE_MAX).map(([value]) => value),
        surplus: surplus.slice(0, EVIDENCE_MAX).map(([value]) => value),
      },
    },
  ];
}

/** JSON with sorted properties: equal values, equal texts. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === 'bigint') return `${inner}n`;
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

export const describeViolations = (violations: readonly Violation[]): string =>
  violations
    .map(
      ({ checker, message, evidence }) => `${checker}: ${message}\n    ${JSON.stringify(evidence)}`,
    )
    .join('\n');
