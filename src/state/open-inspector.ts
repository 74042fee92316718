/** The inspector of a handle, by the backend that wrote it. */
import { MillraceError } from '../base/errors.ts';
import { type ForstSource, inspectForst } from './forst/forst-inspector.ts';
import { inspectHashMap } from './hashmap/hashmap-inspector.ts';
import type { KeyedStateHandle } from './snapshot.ts';
import { inspectCanonical } from './savepoint/canonical-file.ts';
import type { SnapshotInspector } from './snapshot-inspector.ts';

/** @throws `data` UNKNOWN_SNAPSHOT_BACKEND, or what the snapshot's corruption is called */
export function openInspector(
  handle: KeyedStateHandle,
  source: ForstSource,
): Promise<SnapshotInspector> {
  switch (handle.backend) {
    case 'hashmap':
      return inspectHashMap(handle, source.reader);
    case 'forst':
      return inspectForst(handle, source);
    case 'canonical':
      return inspectCanonical(handle, source.reader);
    default:
      throw new MillraceError(
        'data',
        'UNKNOWN_SNAPSHOT_BACKEND',
        `a snapshot was written by the ${handle.backend} backend, which this release cannot read`,
      );
  }
}
