/** The numbers and schemas of an operator's states: what restored manifests say of them, and what the program declares now. */
import { internal, MillraceError } from '../../base/errors.ts';
import type { JsonValue } from '../../base/json.ts';
import { schemaFromJson, schemaToJson } from '../../types/schema-json.ts';
import type { Schema } from '../../types/schema.ts';
import type { ManifestState } from './manifest.ts';

const STATES_MAX = 32_000;

export interface StateDeclared {
  readonly name: string;
  readonly kind: ManifestState['kind'];
  /** Undefined for timers. */
  readonly schema: Schema<unknown> | undefined;
  readonly namespaceSchema: Schema<unknown> | undefined;
  readonly userKeySchema: Schema<unknown> | undefined;
}

export interface StateRegistered {
  readonly number: number;
  /** Every schema, the current one last. */
  readonly schemas: readonly Schema<unknown>[];
}

export class StateRegistry {
  readonly #operatorId: string;
  readonly #restored = new Map<string, ManifestState>();
  readonly #states = new Map<string, ManifestState>();
  #next = 1;

  /** @throws `internal` STATE_NUMBERS_DIFFER when manifests of one checkpoint disagree */
  constructor(operatorId: string, restored: readonly (readonly ManifestState[])[]) {
    this.#operatorId = operatorId;
    for (const states of restored) for (const state of states) this.#takeOver(state);
  }

  get states(): readonly ManifestState[] {
    const kept = [...this.#restored].filter(([id]) => !this.#states.has(id));
    return [...this.#states.values(), ...kept.map(([, state]) => state)];
  }

  /** Restored states that nothing has declared. */
  unclaimed(): readonly string[] {
    const names = [...this.#restored]
      .filter(([id]) => !this.#states.has(id))
      .map(([, { name }]) => name);
    return [...new Set(names)];
  }

  /** The state with that number. */
  named(number: number): ManifestState | undefined {
    return this.states.find((state) => state.number === number);
  }

  /** @throws `data` STATE_SCHEMA_INCOMPATIBLE */
  register(declared: StateDeclared): StateRegistered {
    const id = idOf(declared);
    const before = this.#restored.get(id);
    if (before !== undefined) this.#check(before, declared);
    const schemas = schemasOf(before, declared.schema);
    const number = before?.number ?? this.#number(declared.kind === 'map');
    this.#states.set(id, {
      number,
      name: declared.name,
      kind: declared.kind,
      schemas,
      namespaceSchema: jsonOf(declared.namespaceSchema),
      userKeySchema: jsonOf(declared.userKeySchema),
    });
    // The declared one itself is the last: defaults and aliases are not part of its stored form.
    const older = schemas.slice(0, -1).map((schema) => schemaFromJson(schema));
    return { number, schemas: declared.schema === undefined ? [] : [...older, declared.schema] };
  }

  #takeOver(state: ManifestState): void {
    const id = idOf(state);
    const known = this.#restored.get(id);
    if (known !== undefined && known.number !== state.number)
      throw internal(
        'STATE_NUMBERS_DIFFER',
        `state "${state.name}" of operator ${this.#operatorId} has two numbers in one checkpoint`,
      );
    if (known === undefined || known.schemas.length < state.schemas.length)
      this.#restored.set(id, state);
    this.#next = Math.max(this.#next, (state.number >> 1) + 1);
  }

  #number(isMap: boolean): number {
    if (this.#next > STATES_MAX)
      throw internal(
        'TOO_MANY_STATES',
        `operator ${this.#operatorId} has more than ${STATES_MAX} states`,
      );
    return 2 * this.#next++ + (isMap ? 1 : 0);
  }

  #check(before: ManifestState, declared: StateDeclared): void {
    const fail = (what: string): never => {
      throw new MillraceError(
        'data',
        'STATE_SCHEMA_INCOMPATIBLE',
        `state "${declared.name}" of operator ${this.#operatorId} ${what}`,
        { details: { state: declared.name } },
      );
    };
    if (before.kind !== declared.kind)
      fail(`was ${before.kind} state and is ${declared.kind} state now`);
    if (!same(before.namespaceSchema, jsonOf(declared.namespaceSchema)))
      fail('has another namespace (window) type now');
    if (!same(before.userKeySchema, jsonOf(declared.userKeySchema)))
      fail('has another type of map keys now, which cannot be migrated');
  }
}

/** States and timers of the same name are different things. */
const idOf = ({ name, kind }: Pick<ManifestState, 'name' | 'kind'>): string =>
  kind === 'event-timers' || kind === 'processing-timers' ? `${kind}/${name}` : `state/${name}`;

const jsonOf = (schema: Schema<unknown> | undefined): JsonValue =>
  schema === undefined ? null : schemaToJson(schema);

const same = (a: JsonValue, b: JsonValue): boolean => JSON.stringify(a) === JSON.stringify(b);

function schemasOf(
  before: ManifestState | undefined,
  current: Schema<unknown> | undefined,
): readonly JsonValue[] {
  if (current === undefined) return [];
  const json = schemaToJson(current);
  const known = before?.schemas ?? [];
  // An earlier schema that comes back gets a new number: the current one is always the last.
  return known.length > 0 && same(known.at(-1)!, json) ? known : [...known, json];
}
