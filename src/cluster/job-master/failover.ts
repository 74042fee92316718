/**
 * What a failure brings about: pure functions.
 *
 * Tasks that exchange records form a region: what one of them has sent cannot be taken back, so they restart together. Regions of one failure,
 * such as those that had tasks on a worker that is gone, are one failure to the restart strategy.
 */
import type { MillraceError } from '../../base/errors.ts';
import { pipelinedRegions } from '../../graph/build-job-graph.ts';
import type { JobGraph } from '../../graph/job-graph.ts';
import type { JobOptions, RestartStrategy } from '../job-options.ts';
import { decideRestart, type FailureMoment, type RestartHistory } from './restart-strategy.ts';

/** Vertex ids. */
export type Region = ReadonlySet<string>;

export function failoverRegions(
  graph: JobGraph,
  strategy: JobOptions['failover'],
): readonly Region[] {
  return strategy === 'full'
    ? [new Set(graph.vertices.map(({ id }) => id))]
    : pipelinedRegions(graph);
}

export interface Failure {
  readonly error: MillraceError;
  /** With failed tasks. */
  readonly regions: readonly Region[];
  readonly moment: FailureMoment;
}

export type FailoverDecision =
  /** All of them are restarting already. */
  | { readonly type: 'nothing' }
  | {
      readonly type: 'restart';
      readonly regions: readonly Region[];
      readonly history: RestartHistory;
    }
  | { readonly type: 'fail'; readonly reason: string };

export function decideFailover(
  { error, regions, moment }: Failure,
  restarting: ReadonlySet<Region>,
  strategy: RestartStrategy,
  history: RestartHistory,
): FailoverDecision {
  const permanent = whyPermanent(error);
  if (permanent !== undefined) return { type: 'fail', reason: permanent };
  const fresh = regions.filter((region) => !restarting.has(region));
  if (fresh.length === 0) return { type: 'nothing' };
  const decision = decideRestart(strategy, history, moment);
  return decision.restart
    ? { type: 'restart', regions: fresh, history: decision.history }
    : { type: 'fail', reason: decision.reason };
}

/** What is found while state is restored and would be found again. */
const INCOMPATIBLE: ReadonlySet<string> = new Set([
  'CHECKPOINT_VERSION',
  'SINK_WITHOUT_COMMITTER',
  'STATE_SCHEMA_INCOMPATIBLE',
  'UNCLAIMED_STATE',
]);

/** Failures that a restart would only repeat. */
function whyPermanent({ kind, code, details }: MillraceError): string | undefined {
  if (kind === 'fenced') return 'it was fenced';
  // What user code throws may depend on the moment.
  const isOwnFault = kind === 'invalid' && code !== 'USER_CODE_FAILED';
  // A connector knows best what of the outside cannot mend: `details.permanent`.
  const isPermanent = details['permanent'] === true;
  if (isOwnFault || isPermanent || INCOMPATIBLE.has(code)) return 'it would fail again';
  return undefined;
}
