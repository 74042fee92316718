/**
 * Stable operator ids: 32 hexadecimal digits, from the uid if there is one, else from where the operator stands: its type and name, the
 * ids it reads from, and its place among equals. Adding an unrelated operator changes no other id.
 */
import { createHash } from 'node:crypto';
import { invalid } from '../base/errors.ts';

const digest = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, 32);

export class OperatorIds {
  readonly #taken = new Map<string, string>();

  /** @throws `invalid` DUPLICATE_UID naming both operators. */
  fromUid(uid: string, name: string): string {
    const id = digest(`uid ${uid}`);
    const other = this.#taken.get(id);
    if (other !== undefined) {
      throw invalid(
        'DUPLICATE_UID',
        `the uid ${JSON.stringify(uid)} is given to "${other}" and to "${name}"; uids are unique in a job`,
        { uid },
      );
    }
    this.#taken.set(id, name);
    return id;
  }

  derived(type: string, name: string, inputs: readonly string[]): string {
    for (let ordinal = 0; ; ordinal++) {
      const id = digest(JSON.stringify([type, name, inputs, ordinal]));
      if (this.#taken.has(id)) continue;
      this.#taken.set(id, name);
      return id;
    }
  }
}

export const fingerprintOf = (data: unknown): string => digest(JSON.stringify(data));
