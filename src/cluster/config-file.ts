/**
 * Options from YAML text: nested, flat, or both, as in Flink's config.yaml.
 *
 *   execution:
 *     checkpointing.interval: 10 s
 *   parallelism.default: 4
 */
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { invalid } from '../base/errors.ts';
import type { JsonValue } from '../base/json.ts';
import type { Settings } from './options.ts';

const TEXT_LENGTH_MAX = 1_048_576;
const DEPTH_MAX = 32;

/**
 * The options by their flat keys, not yet checked against those that exist: `environment` does that.
 * @public
 * @throws `invalid` CONFIG_INVALID with `details.faults`, each with its line
 */
export function parseConfiguration(yaml: string): Settings {
  const lines = new LineCounter();
  const flat = new Flattening(lines);
  if (yaml.length > TEXT_LENGTH_MAX) flat.faults.push(`longer than ${TEXT_LENGTH_MAX} characters`);
  else flat.add(parseDocument(yaml, { lineCounter: lines, prettyErrors: false }));
  if (flat.faults.length > 0)
    throw invalid(
      'CONFIG_INVALID',
      `the configuration cannot be read:\n  ${flat.faults.join('\n  ')}`,
      { faults: flat.faults },
    );
  return Object.fromEntries(flat.options);
}

class Flattening {
  readonly options = new Map<string, JsonValue>();
  readonly faults: string[] = [];
  readonly #lines: LineCounter;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  add({ errors, contents }: Document): void {
    for (const { message, pos } of errors) this.#fault(pos[0], message);
    if (errors.length > 0 || contents === null) return;
    if (isScalar(contents) && contents.value === null) return;
    if (isMap(contents)) this.#addMap([], contents);
    else this.faults.push('expected options, one a line, as in "parallelism.default: 4"');
  }

  #addMap(path: readonly string[], map: unknown): void {
    if (!isMap(map)) return;
    for (const { key, value } of map.items) {
      const at = (key as { readonly range?: readonly number[] | null }).range?.[0] ?? 0; // nodes of a parsed document have it
      if (!isScalar(key) || typeof key.value !== 'string') this.#fault(at, 'a key is no text');
      else if (path.length >= DEPTH_MAX) this.#fault(at, `deeper than ${DEPTH_MAX} levels`);
      else this.#addEntry([...path, key.value], value, at);
    }
  }

  #addEntry(path: readonly string[], value: unknown, at: number): void {
    if (isMap(value)) {
      this.#addMap(path, value);
      return;
    }
    const name = path.join('.');
    if (this.options.has(name)) this.#fault(at, `${name} is set twice`);
    else if (value === null || (isScalar(value) && value.value === null))
      this.options.set(name, null);
    else if (isScalar(value)) this.#addScalar(name, value.value, at);
    else this.#fault(at, `${name}: expected one value`);
  }

  #addScalar(name: string, value: unknown, at: number): void {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      this.options.set(name, value);
    else this.#fault(at, `${name}: expected text, a number, true or false`);
  }

  #fault(offset: number, message: string): void {
    this.faults.push(`line ${this.#lines.linePos(offset).line}: ${message}`);
  }
}
