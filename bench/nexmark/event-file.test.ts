import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HEADER_BYTES, readEventFile, readHeader, writeEventFile } from './event-file.ts';
import { NEXMARK_DEFAULTS, NexmarkGenerator } from './generator.ts';

describe('a Nexmark event file', () => {
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'millrace-nexmark-'));
  });
  after(() => rm(dir, { recursive: true }));

  test('gives back the events of the generator, in order', async () => {
    const path = join(dir, 'events');
    await writeEventFile(path, { events: 5000, seed: 7 });
    const generator = new NexmarkGenerator({ seed: 7 });
    const events = await readEventFile(path);
    assert.equal(events.length, 5000);
    events.forEach((event, n) => assert.deepEqual(event, generator.event(n)));
  });

  test('says in its header what it holds', async () => {
    const path = join(dir, 'header');
    await writeEventFile(path, { events: 3, eventsPerSecond: 500 });
    assert.deepEqual(readHeader(await readFile(path)), {
      ...NEXMARK_DEFAULTS,
      events: 3,
      eventsPerSecond: 500,
    });
  });

  test('that was cut, or is something else, is refused', async () => {
    const path = join(dir, 'whole');
    await writeEventFile(path, { events: 10 });
    const whole = await readFile(path);
    const cut = join(dir, 'cut');
    await writeFile(cut, whole.subarray(0, whole.length - 1));
    await assert.rejects(readEventFile(cut), /it was cut/u);
    await writeFile(cut, whole.subarray(0, HEADER_BYTES));
    await assert.rejects(readEventFile(cut), /0 of 10 events/u);
    await writeFile(cut, 'something else');
    await assert.rejects(readEventFile(cut), /NEXMARK1/u);
  });
});
