/** The key that states refer to: one per backend, shared by its tables. */
export class KeyContext {
  key: unknown = undefined;
  keyId: unknown = undefined;
  /** Grows with every change of the key: what was found for an earlier version is stale. */
  version = 0;
  readonly #keyGroupOf: (key: unknown) => number;
  #keyGroup = -1;
  #keyGroupVersion = -1;

  constructor(keyGroupOf: (key: unknown) => number) {
    this.#keyGroupOf = keyGroupOf;
  }

  /** Computed when first asked for. */
  get keyGroup(): number {
    if (this.#keyGroupVersion !== this.version) {
      this.#keyGroup = this.#keyGroupOf(this.key);
      this.#keyGroupVersion = this.version;
    }
    return this.#keyGroup;
  }
}
