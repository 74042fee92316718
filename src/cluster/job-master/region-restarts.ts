/**
 * Restarts regions: cancels what lives of them, waits for it to end, waits until the restart is due, deploys.
 *
 * Invariants
 *  R1  A region is deployed only when no attempt of it is alive any more, as far as its workers have said; a worker that is gone has no
 *      living attempts.
 *  R2  Workers that do not end their attempts in time are abandoned: they are stopped and count as lost.
 */
import type { Timer, World } from '../../base/world.ts';
import { type Execution, type Executions, isOver } from './executions.ts';
import type { Region } from './failover.ts';

export interface RegionRestartsParams {
  readonly world: World;
  readonly executions: Executions;
  /** 0: workers may take as long as they like. */
  readonly cancellationTimeoutMs: number;
  cancel(executions: readonly Execution[]): void;
  /** R2 */
  abandon(worker: string, stuck: Execution): void;
  deploy(region: Region): void;
}

interface Restart {
  readonly dueMs: number;
  timer: Timer | undefined;
  isWaiting: boolean;
}

export class RegionRestarts {
  readonly #params: RegionRestartsParams;
  readonly #restarts = new Map<Region, Restart>();

  constructor(params: RegionRestartsParams) {
    this.#params = params;
  }

  /** Regions between their failure and their next deployment. */
  get regions(): ReadonlySet<Region> {
    return new Set(this.#restarts.keys());
  }

  begin(region: Region, dueMs: number): void {
    const restart: Restart = { dueMs, timer: undefined, isWaiting: false };
    this.#restarts.set(region, restart);
    this.#params.cancel(this.#alive(region));
    const { cancellationTimeoutMs, world } = this.#params;
    if (cancellationTimeoutMs > 0)
      restart.timer = world.timers.after(cancellationTimeoutMs, () => this.#abandon(region));
    this.#continue(region, restart);
  }

  /** An attempt is over: perhaps it was the last of its region. */
  onAttemptOver(): void {
    for (const [region, restart] of this.#restarts) this.#continue(region, restart);
  }

  stop(): void {
    for (const { timer } of this.#restarts.values()) timer?.cancel();
    this.#restarts.clear();
  }

  #alive(region: Region): readonly Execution[] {
    return this.#params.executions.within(region).filter((execution) => !isOver(execution));
  }

  #continue(region: Region, restart: Restart): void {
    if (restart.isWaiting || this.#alive(region).length > 0) return;
    restart.isWaiting = true;
    restart.timer?.cancel();
    const { clock, timers } = this.#params.world;
    const leftMs = Math.max(0, restart.dueMs - clock.monotonicMs());
    restart.timer = timers.after(leftMs, () => {
      this.#restarts.delete(region);
      this.#params.deploy(region);
    });
  }

  #abandon(region: Region): void {
    const abandoned = new Set<string>();
    for (const stuck of this.#alive(region)) {
      if (abandoned.has(stuck.worker)) continue;
      abandoned.add(stuck.worker);
      this.#params.abandon(stuck.worker, stuck);
    }
  }
}
