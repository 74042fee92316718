/** Kinds of schemas that have something in common. */

const INTEGERS = ['int8', 'int16', 'int32', 'int64', 'timestamp'];
const NUMBERS = [...INTEGERS, 'float', 'double'];

/** Values are integers. */
export const INTEGER_KINDS: ReadonlySet<string> = new Set(INTEGERS);
/** Values are numbers. */
export const NUMBER_KINDS: ReadonlySet<string> = new Set(NUMBERS);
/** Values are primitives that are equal as the language has it: their own identity in a Map. */
export const PLAIN_KINDS: ReadonlySet<string> = new Set([
  ...NUMBERS,
  ...['boolean', 'bigint', 'string', 'enum'],
]);
