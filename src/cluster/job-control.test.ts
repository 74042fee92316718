/** The control object's changes, and two sides that talk through it in the simulated world. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { newHead, encodeHead, headKeyOf } from '../state/job-head.ts';
import { MemoryStore } from '../storage/memory-store.ts';
import { OverlayStore } from '../storage/overlay-store.ts';
import { Simulation } from '../testing/simulation.ts';
import { askJob } from './ask-job.ts';
import { watchControl } from './control-watch.ts';
import {
  changeControl,
  type ControlRequest,
  newControl,
  withdrawn,
  withRequest,
  withState,
} from './job-control.ts';
import type { JobOperations } from './job-operations.ts';

const request = (id: string, more: Partial<ControlRequest> = {}): ControlRequest => ({
  ...{ id, generation: 1, operation: { type: 'cancel' }, state: 'waiting' },
  ...more,
});

describe('control', () => {
  const of = (...requests: readonly ControlRequest[]) => ({ ...newControl('job'), requests });

  test('a request goes forward only, and what is accepted is not withdrawn', () => {
    const accepted = withState(of(request('a')), 'a', { state: 'accepted' });
    assert.equal(accepted.requests[0]?.state, 'accepted');
    assert.equal(withdrawn(accepted, 'a'), accepted);
    const done = withState(accepted, 'a', { state: 'done', location: 'x' });
    assert.equal(withState(done, 'a', { state: 'failed' }), done);
    assert.equal(withState(done, 'other', { state: 'failed' }), done);
    assert.deepEqual(withdrawn(of(request('a')), 'a').requests, []);
  });

  test('open requests are limited, and answered ones make room', () => {
    let control = newControl('job');
    for (let i = 0; i < 50; i++) control = withRequest(control, request(`${i}`));
    assert.throws(() => withRequest(control, request('more')), { code: 'TOO_MANY_REQUESTS' });
    const answered = withState(control, '7', { state: 'done' });
    const next = withRequest(answered, request('more'));
    assert.equal(next.requests.length, 50);
    assert.equal(next.requests.at(-1)?.id, 'more');
    // Those of an earlier run are nobody's any more.
    const later = withRequest(control, request('later', { generation: 2 }));
    assert.ok(later.requests.some(({ id }) => id === 'later'));
  });

  /** A job of generation 1 whose operations are these, watched for so long. */
  async function ask(operations: Partial<JobOperations>, generation = 1): Promise<string> {
    const sim = new Simulation({ seed: 1 });
    const world = sim.startProcess('job');
    const store = new MemoryStore();
    await store.put(headKeyOf('job'), encodeHead({ ...newHead('job'), generation: 1 }));
    const watched = operations as JobOperations; // what is asked for is there
    const watch = watchControl({
      ...{ world, store, jobId: 'job', generation, pollMs: 1000, operations: watched },
    });
    const operation = { type: 'savepoint', directory: 'd' } as const;
    const answer = askJob({ world, store, jobId: 'job', operation, patienceMs: 5000 }).catch(
      ({ code }: { code: string }) => code,
    );
    const said = await sim.settle(answer, { maxVirtualMs: 60_000 });
    const { requests } = await changeControl(store, 'job', (control) => control);
    await watch.close();
    return `${String(said)}, ${requests.map(({ state }) => state).join() || 'nothing left'}`;
  }

  test('a job answers with what became of the request', async () => {
    assert.equal(await ask({ triggerSavepoint: async () => 'there' }), 'there, done');
    const refusal = Object.assign(new Error('no'), { kind: 'invalid', code: 'NO_SAVEPOINT_DIR' });
    assert.match(await ask({ triggerSavepoint: () => Promise.reject(refusal) }), /failed$/);
  });

  test('what no job of that generation notices is withdrawn', async () => {
    const never = { triggerSavepoint: () => Promise.resolve('never asked') };
    assert.equal(await ask(never, 2), 'JOB_NOT_ANSWERING, nothing left');
  });
});

test('an overlay reads through, and changes only what is here', async () => {
  const [here, there] = [new MemoryStore(), new MemoryStore()];
  await there.put('a', Buffer.from('there'));
  const overlay = new OverlayStore(here, there);
  assert.equal(Buffer.from(await overlay.get('a')).toString(), 'there');
  assert.equal((await overlay.head('a'))?.size, 5);
  await overlay.put('a', Buffer.from('here'));
  assert.equal(Buffer.from(await overlay.get('a')).toString(), 'here');
  await overlay.delete('a');
  assert.equal(Buffer.from(await overlay.get('a')).toString(), 'there');
  await assert.rejects(overlay.get('b'), { code: 'OBJECT_NOT_FOUND' });
  assert.equal(Buffer.from(await there.get('a')).toString(), 'there');
});
