/** What must hold of a run when it is over. */
import type { CheckpointAudit } from '../../src/testing/checkpoint-audit.ts';
import {
  checkConserved,
  checkExactlyOnce,
  checkKeyOrder,
  checkSameResults,
  type Violation,
} from '../../src/testing/checkers.ts';
import type { SimJob } from '../../src/testing/sim-job.ts';
import { type Input, type Output, referencePerKey, referencePerWindow } from './keyed-job.ts';
import type { ScriptedRecord } from './scripted-source.ts';
import type { Settings } from './settings.ts';

/** Messages waiting on one link: credits for at most 4 batches on each of some 30 channels, and control elements. */
const BACKLOG_MAX = 150;

/** What readers of a job's sinks have seen, in the order in which it became visible. */
export interface Seen {
  readonly perKey: readonly Output[];
  readonly perWindow: readonly Output[];
}

/** Liveness: after the last fault the job ends, and what ended processes on the way was transient. */
export function checkEnd(job: SimJob, outcome: string): Violation[] {
  if (job.fatal !== undefined) {
    const { message, stack } = job.fatal;
    return [{ checker: 'fatal', message, evidence: { stack } }];
  }
  if (job.end !== undefined) return [];
  const message = `the job did not end: ${outcome}`;
  return [
    { checker: 'liveness', message, evidence: { failures: job.failures.map(String).slice(-5) } },
  ];
}

export function checkOutput(
  settings: Settings,
  input: readonly (readonly ScriptedRecord<Input>[])[],
  { perKey, perWindow }: Seen,
): readonly Violation[] {
  const ids = input.flat().map(({ value }) => String(value.id));
  const found: Violation[] = [];
  for (const kind of ['seen', 'timer'] as const) {
    const out = perKey.filter((record) => record.kind === kind).map(({ id }) => String(id));
    found.push(...checkExactlyOnce(ids, out, settings.delivery));
  }
  if (settings.delivery === 'at-least-once') return found;
  found.push(...checkKeyOrder(perKey.filter(({ kind }) => kind === 'seen')));
  found.push(...checkSameResults('per key', referencePerKey(input), perKey));
  const windows = referencePerWindow(input, settings.windowMs);
  found.push(...checkSameResults('per window', windows, sums(perWindow)));
  const late = perWindow.filter(({ kind }) => kind === 'late');
  if (settings.discoveryMs === 0 && late.length > 0) {
    const message = `${late.length} records were late although none is later than the bound`;
    found.push({ checker: 'late', message, evidence: { late: late.slice(0, 5) } });
  }
  return found;
}

export async function checkCheckpoints(
  settings: Settings,
  audit: CheckpointAudit,
): Promise<readonly Violation[]> {
  const conserved =
    settings.delivery === 'exactly-once' ? checkConserved(await audit.ledgers()) : [];
  return [...audit.violations, ...conserved];
}

export function checkBacklog(backlogMost: number): Violation[] {
  if (backlogMost <= BACKLOG_MAX) return [];
  const message = `${backlogMost} messages waited on one link, more than ${BACKLOG_MAX}`;
  return [{ checker: 'bounds', message, evidence: { backlogMost } }];
}

/** C8, the other way round: when a coordinator has swept, with no grace, nothing is stored that no checkpoint names. */
export function checkNoGarbage(jobId: string, audit: CheckpointAudit): Violation[] {
  const left = audit.garbageOf(jobId);
  if (left.length === 0) return [];
  const message = `${left.length} objects of job ${jobId} are named by no checkpoint and were not collected`;
  return [{ checker: 'C8', message, evidence: { left: left.slice(0, 10) } }];
}

/** Window results and late records together: what each window got, one way or the other. */
function sums(outputs: readonly Output[]): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { key, sum } of outputs) totals.set(key, (totals.get(key) ?? 0) + sum);
  return totals;
}
