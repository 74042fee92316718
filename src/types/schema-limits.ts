/** Limits of schemas: nesting and size. Schemas share parts, so a small program can describe an astronomically large tree. */
import { invalid } from '../base/errors.ts';
import type { Schema } from './schema.ts';

export const SCHEMA_DEPTH_MAX = 64;
/** Nodes of the whole tree: every field, element and variant counts as often as it is reached. */
export const SCHEMA_NODES_MAX = 10_000;

/** The schemas directly inside one. */
export function childrenOf(schema: Schema<unknown>): readonly Schema<unknown>[] {
  switch (schema.kind) {
    case 'struct':
      return schema.fields.map((field) => field.schema);
    case 'array':
      return [schema.element];
    case 'map':
      return [schema.key, schema.value];
    case 'optional':
      return [schema.inner];
    case 'union':
      return Object.values(schema.variants);
    case 'tuple':
      return schema.elements;
    default:
      return [];
  }
}

/** @throws `invalid` SCHEMA_TOO_LARGE */
export function checkSchemaLimits(schema: Schema<unknown>): void {
  let nodes = 0;
  const visit = (node: Schema<unknown>, depth: number): void => {
    nodes++;
    if (depth > SCHEMA_DEPTH_MAX)
      throw invalid('SCHEMA_TOO_LARGE', `a schema is nested deeper than ${SCHEMA_DEPTH_MAX}`);
    if (nodes > SCHEMA_NODES_MAX)
      throw invalid(
        'SCHEMA_TOO_LARGE',
        `a schema has more than ${SCHEMA_NODES_MAX} fields and parts; split the record`,
      );
    for (const child of childrenOf(node)) visit(child, depth + 1);
  };
  visit(schema, 0);
}

/** The least number of bytes a row of this schema takes; what bounds the count of elements in corrupt bytes. */
export function rowBytesMin(schema: Schema<unknown>): number {
  switch (schema.kind) {
    case 'int16':
      return 2;
    case 'int32':
    case 'float':
      return 4;
    case 'int64':
    case 'bigint':
    case 'double':
    case 'timestamp':
      return 8;
    case 'tuple':
      return schema.elements.reduce((sum, element) => sum + rowBytesMin(element), 0);
    case 'struct': {
      const required = schema.fields.filter((field) => field.schema.kind !== 'optional');
      const bitmap = Math.ceil((schema.fields.length - required.length) / 8);
      return required.reduce((sum, field) => sum + rowBytesMin(field.schema), bitmap);
    }
    default:
      return 1;
  }
}
