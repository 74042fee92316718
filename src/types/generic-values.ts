/** Schemaless values as MessagePack, and the warning that goes with them. */
import { Packr } from 'msgpackr';
import type { Logger } from '../base/world.ts';

/** Plain MessagePack with Map, Set, Date, undefined and bigint kept; no shared structures, so that bytes stand alone. */
export const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  moreTypes: true,
  structuredClone: false,
});

const warned = new Set<string>();

/** Says once per place that values without a schema travel there. */
export function warnGeneric(place: string, logger: Logger): void {
  if (warned.has(place)) return;
  warned.add(place);
  logger.log(
    'warn',
    `${place} has no schema: its records are written as schemaless MessagePack, two to three times slower and larger. Give one with .returns(schema).`,
    { code: 'GENERIC_TYPE', place },
  );
}
