/**
 * A run of stateless steps as one generated loop over a batch.
 *
 * The code is generated per chain, so that every call site has its own inline cache and V8 inlines the user's functions; a filter
 * continues the loop, a flatMap nests one. The try stands outside the loop, where it costs nothing; `i` and `s` tell which record and
 * step failed. Guarded by `bench/chain.ts`.
 */
import { BATCH_SIZE_MAX, type RecordBatch } from '../types/record-batch.ts';
import type { StatelessStep } from './contract.ts';

export type EmitBatch = (values: unknown[], timestamps: Float64Array | null) => void;
/** Throws what it is given, with its place: the record's index in the batch and the step's in the chain. */
export type StepFailed = (cause: unknown, recordIndex: number, step: number) => never;

export type FusedChain = (batch: RecordBatch<unknown>) => void;

export function fuseSteps(
  steps: readonly StatelessStep[],
  emit: EmitBatch,
  failed: StepFailed,
): FusedChain {
  const expands = steps.some(({ kind }) => kind === 'flatMap');
  const keepsAll = steps.every(({ kind }) => kind === 'map');
  const source = expands
    ? expandingLoop(steps)
    : keepsAll
      ? mappingLoop(steps)
      : filteringLoop(steps);
  const names = steps.map((_, i) => `f${i}`);
  // Only the fixed texts below and step numbers go into the code.
  const make = new Function(...names, 'emit', 'failed', source);
  return make(...steps.map(({ apply }) => apply), emit, failed) as FusedChain; // the text returns a function of one batch
}

function stepsCode(
  steps: readonly StatelessStep[],
  first: number,
  value: string,
  finish: (value: string) => string,
): string {
  let code = '';
  let current = value;
  for (let n = first; n < steps.length; n++) {
    const step = steps[n]!;
    if (step.kind === 'map') {
      code += `s = ${n}; const v${n} = f${n}(${current});\n`;
      current = `v${n}`;
    } else if (step.kind === 'filter') {
      code += `s = ${n}; if (!f${n}(${current})) continue;\n`;
    } else {
      return `${code}s = ${n}; for (const v${n} of f${n}(${current})) {\n${stepsCode(steps, n + 1, `v${n}`, finish)}s = ${n};\n}\n`;
    }
  }
  return code + finish(current);
}

const guarded = (body: string): string =>
  `return (batch) => {
const values = batch.values, timestamps = batch.timestamps, n = values.length;
let i = 0, s = 0;
${body}
};`;

const inTry = (loop: string): string => `try {\n${loop}\n} catch (cause) { failed(cause, i, s); }`;

function mappingLoop(steps: readonly StatelessStep[]): string {
  const loop = `for (; i < n; i++) {\n${stepsCode(steps, 0, 'values[i]', (value) => `out[i] = ${value};\n`)}}`;
  return guarded(`const out = new Array(n);\n${inTry(loop)}\nemit(out, timestamps);`);
}

function filteringLoop(steps: readonly StatelessStep[]): string {
  const bare = `for (; i < n; i++) {\n${stepsCode(steps, 0, 'values[i]', (value) => `out[k++] = ${value};\n`)}}`;
  const stamped = `for (; i < n; i++) {\n${stepsCode(steps, 0, 'values[i]', (value) => `stamps[k] = timestamps[i]; out[k++] = ${value};\n`)}}`;
  return guarded(`const out = new Array(n); let k = 0;
if (timestamps === null) {
${inTry(bare)}
if (k > 0) { out.length = k; emit(out, null); }
} else {
const stamps = new Float64Array(n);
${inTry(stamped)}
if (k > 0) { out.length = k; emit(out, stamps); }
}`);
}

function expandingLoop(steps: readonly StatelessStep[]): string {
  const push = (value: string): string =>
    `if (stamps !== null) stamps[out.length] = timestamps[i];
if (out.push(${value}) === ${BATCH_SIZE_MAX}) { emit(out, stamps); out = []; if (stamps !== null) stamps = new Float64Array(${BATCH_SIZE_MAX}); }\n`;
  const loop = `for (; i < n; i++) {\n${stepsCode(steps, 0, 'values[i]', push)}}`;
  return guarded(`let out = []; let stamps = timestamps === null ? null : new Float64Array(${BATCH_SIZE_MAX});
${inTry(loop)}
if (out.length > 0) emit(out, stamps);`);
}
