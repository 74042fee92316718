/** An entry of the object cache: what is known of one (state, key, namespace), and how it differs from the tree. */
import type { LinkedCell } from '../cells/cell-context.ts';
import type { StoredCell } from '../cells/cell-table.ts';

/** The table of a cell. */
export interface CellOwner {
  /** Writes the cell's difference to the tree, and says what of it is clean now. `closing`: into the closed epoch. */
  writeCell(cell: ForstCell, closing: boolean): void;
  /** Takes the cell out of the cache. */
  forgetCell(cell: ForstCell): void;
}

export class ForstCell implements LinkedCell<ForstCell> {
  readonly owner: CellOwner;
  readonly key: unknown;
  readonly keyId: unknown;
  readonly keyGroup: number;
  readonly namespace: unknown;
  readonly namespaceId: unknown;
  value: unknown;
  next: ForstCell | undefined = undefined;
  sibling: ForstCell | undefined = undefined;
  /** False: there is no value, and that is known. */
  present = true;
  /** False: `value` was folded since, on top of what the tree holds. */
  complete = true;
  /** False: the tree certainly holds nothing for it, so that its removal needs no trace. */
  inTree = true;
  /** The epoch in which it changed and has not been written to the tree yet; 0 if it has. */
  dirtyEpoch = 0;
  /** Since the eviction hand came by last. */
  referenced = true;
  /** Out of its cache; what still lists it passes over it. */
  gone = false;
  /** Estimate of the memory it takes. */
  bytes = 0;
  /** Place in the eviction ring; -1 if it is not there. */
  slot = -1;

  constructor(
    owner: CellOwner,
    address: Pick<StoredCell, 'key' | 'keyGroup' | 'namespace' | 'namespaceId'> & {
      keyId: unknown;
    },
    value: unknown,
  ) {
    this.owner = owner;
    this.key = address.key;
    this.keyId = address.keyId;
    this.keyGroup = address.keyGroup;
    this.namespace = address.namespace;
    this.namespaceId = address.namespaceId;
    this.value = value;
  }
}
