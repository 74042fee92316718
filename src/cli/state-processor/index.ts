/** The state processor: savepoints read, transformed, bootstrapped and written in TypeScript. Exported as `millrace/state-processor`. */
export { openSavepoint, type OperatorInfo, type SavepointReader } from './savepoint-reader.ts';
export {
  createSavepoint,
  type OperatorWriter,
  type SavepointWriter,
  type SavepointWriterOptions,
} from './savepoint-writer.ts';
export type { EntryOf, StateEntry, ValueOf } from './state-entry.ts';
