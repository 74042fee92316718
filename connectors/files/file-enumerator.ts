/**
 * Finds files and deals them out: once, or again and again at an interval.
 *
 * Invariants
 *  E1  The snapshot says what has been handed out, and changes in the same turn in which splits are handed out: no file is in both the
 *      enumerator's and a reader's state, or in neither.
 *  E2  A file is read as it was when it was found: up to the size it had then.
 */
import { type Duration, durationMs } from '../../src/base/duration.ts';
import { asError, invalid, isMillraceError, MillraceError } from '../../src/base/errors.ts';
import type { JsonValue } from '../../src/base/json.ts';
import type { Timer } from '../../src/base/world.ts';
import type { EnumeratorContext, SplitEnumerator, SplitState } from '../../src/connector/source.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';

/** What to look for: the part of a source's options that concerns discovery. */
export interface Discovery {
  readonly prefix?: string;
  readonly files?: readonly string[];
  readonly discoveryInterval?: Duration;
  /** The files that are there and were not handed out by an earlier run. */
  readonly untilNow?: boolean;
}

export interface FileSplit {
  readonly key: string;
  readonly size: number;
}

interface Handed {
  /** The one listing of a bounded source has been handed out. */
  readonly discovered: boolean;
  /** All files handed out so far. */
  readonly seen: readonly string[];
}

const FILES_MAX = 1_000_000;
const LIST_ATTEMPTS_MAX = 10;
const LIST_PAUSE_MS = 500;

export class FileEnumerator implements SplitEnumerator {
  readonly #store: ObjectStore;
  readonly #options: Discovery;
  readonly #context: EnumeratorContext;
  readonly #intervalMs: number | undefined;
  readonly #seen: Set<string>;
  #discovered: boolean;
  #timer: Timer | undefined;
  #closed = false;

  constructor(
    store: ObjectStore,
    options: Discovery,
    context: EnumeratorContext,
    restored: JsonValue | undefined,
  ) {
    this.#store = store;
    this.#options = options;
    this.#context = context;
    const { discoveryInterval } = options;
    this.#intervalMs = discoveryInterval === undefined ? undefined : durationMs(discoveryInterval);
    const handed = restored as unknown as Handed | undefined; // written by snapshot
    this.#discovered = handed?.discovered ?? false;
    this.#seen = new Set(handed?.seen);
  }

  async start(): Promise<void> {
    if (this.#options.untilNow === true) await this.#discoverNow();
    else if (this.#intervalMs !== undefined) await this.#discoverAgain(this.#intervalMs, 1);
    else if (this.#discovered) this.#context.noMoreSplits();
    else await this.#discoverOnce();
  }

  requestSplit(): void {}

  snapshot(): JsonValue {
    return { discovered: this.#discovered, seen: [...this.#seen] };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #discoverNow(): Promise<void> {
    const files = await this.#listWithRetries();
    if (this.#closed) return;
    this.#handOutFresh(files);
    this.#discovered = true; // E1
    this.#context.noMoreSplits();
  }

  async #discoverOnce(): Promise<void> {
    const files = await this.#listWithRetries();
    if (this.#closed) return;
    if (files.length === 0)
      throw invalid(
        'NO_INPUT_FILES',
        `no files to read under "${this.#options.prefix ?? ''}"; is the path right?`,
      );
    this.#handOutFresh(files);
    this.#discovered = true; // E1
    this.#context.noMoreSplits();
  }

  /** A listing that fails is made up for by the next one. */
  async #discoverAgain(intervalMs: number, failures: number): Promise<void> {
    let failed = 0;
    try {
      const files = await this.#list();
      if (this.#closed) return;
      this.#handOutFresh(files);
    } catch (error) {
      failed = failures;
      if (!isUnavailable(error) || failed >= LIST_ATTEMPTS_MAX) throw error;
    }
    if (this.#closed) return;
    this.#timer = this.#context.timers.after(intervalMs, () => {
      this.#discoverAgain(intervalMs, failed + 1).catch((error: unknown) =>
        this.#context.fail(asError(error)),
      );
    });
  }

  #handOutFresh(files: readonly FileSplit[]): void {
    const fresh = files.filter(({ key }) => !this.#seen.has(key));
    this.#handOut(fresh);
    for (const { key } of fresh) this.#seen.add(key); // E1
    if (this.#seen.size > FILES_MAX)
      throw invalid('TOO_MANY_FILES', `more than ${FILES_MAX} files; split them over folders`);
  }

  async #listWithRetries(): Promise<readonly FileSplit[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#list();
      } catch (error) {
        if (this.#closed || !isUnavailable(error) || attempt >= LIST_ATTEMPTS_MAX) throw error;
        await new Promise<void>((resolve) => {
          this.#timer = this.#context.timers.after(LIST_PAUSE_MS, resolve);
        });
      }
    }
  }

  async #list(): Promise<readonly FileSplit[]> {
    const { files, prefix = '' } = this.#options;
    if (files !== undefined) return Promise.all(files.map((key) => this.#meta(key)));
    const found: FileSplit[] = [];
    for await (const { key, size } of this.#store.list(prefix)) {
      if (!isHidden(key)) found.push({ key, size });
    }
    return found;
  }

  async #meta(key: string): Promise<FileSplit> {
    const meta = await this.#store.head(key);
    if (meta === undefined)
      throw new MillraceError('invalid', 'INPUT_FILE_MISSING', `the file ${key} does not exist`, {
        details: { key },
      });
    return { key, size: meta.size };
  }

  /** The largest first, each to the subtask with the fewest bytes so far. */
  #handOut(files: readonly FileSplit[]): void {
    const shares = Array.from({ length: this.#context.parallelism }, () => ({
      bytes: 0,
      splits: [] as SplitState[],
    }));
    for (const { key, size } of [...files].sort((a, b) => b.size - a.size)) {
      const share = shares.reduce((least, other) => (other.bytes < least.bytes ? other : least));
      share.splits.push({ split: { id: key, data: { key, size } }, position: undefined });
      share.bytes += size + 1;
    }
    shares.forEach(({ splits }, subtask) => {
      if (splits.length > 0) this.#context.assign(subtask, splits);
    });
  }
}

/** A dot at the beginning of a name hides a file, as it does what a file sink has staged. */
const isHidden = (key: string): boolean =>
  key.split('/').some((segment) => segment.startsWith('.'));

const isUnavailable = (error: unknown): boolean =>
  isMillraceError(error) && error.kind === 'unavailable';
