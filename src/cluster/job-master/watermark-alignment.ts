/**
 * How far each alignment group has come: the least watermark that a running source subtask of the group has reported.
 *
 * Idle subtasks report infinity and hold nobody back; subtasks that have not reported yet are waited for by nobody.
 */
export class WatermarkAlignment {
  readonly #reports = new Map<string, Map<string, number>>();

  /** The group's minimum with the new report. */
  report(group: string, attemptId: string, watermark: number): number {
    let reports = this.#reports.get(group);
    if (reports === undefined) this.#reports.set(group, (reports = new Map()));
    reports.set(attemptId, watermark);
    return minimum(reports);
  }

  /** Groups whose minimum changes because the attempt reads no more, with their new one. */
  leave(attemptId: string): readonly { readonly group: string; readonly minimum: number }[] {
    const changed = [];
    for (const [group, reports] of this.#reports) {
      const before = minimum(reports);
      if (reports.delete(attemptId) && minimum(reports) !== before)
        changed.push({ group, minimum: minimum(reports) });
    }
    return changed;
  }
}

function minimum(reports: ReadonlyMap<string, number>): number {
  let least = Number.POSITIVE_INFINITY;
  for (const watermark of reports.values()) if (watermark < least) least = watermark;
  return least;
}
