import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { realDisk } from './real-disk.ts';

const folder = mkdtempSync(`${tmpdir()}/millrace-disk-`);
after(() => rmSync(folder, { recursive: true }));

const text = (disk: ReturnType<typeof realDisk>, name: string): string => {
  const into = Buffer.alloc(5);
  const file = disk.open(name);
  assert.equal(file.read(into, 0), true);
  file.close();
  return into.toString();
};

test('owners do not share a folder, and the next owner finds what the last one left', async () => {
  const one = realDisk(`${folder}/a`);
  const two = realDisk(`${folder}/a`);
  for (const [disk, word] of [
    [one, 'first'],
    [two, 'other'],
  ] as const) {
    const file = disk.create('x');
    await file.write(Buffer.from(word), 0);
    file.close();
    disk.close();
  }
  const again = realDisk(`${folder}/a`);
  assert.deepEqual(again.left, ['x']);
  assert.equal(text(again, 'x'), 'first');
  const other = realDisk(`${folder}/a`);
  assert.equal(text(other, 'x'), 'other');
  again.close();
  other.close();
});

test('a kill gives the folder back', () => {
  const program = `
    import { writeSync } from 'node:fs';
    import { realDisk } from ${JSON.stringify(new URL('./real-disk.ts', import.meta.url).href)};
    const disk = realDisk(${JSON.stringify(`${folder}/b`)});
    await disk.create('x').write(Buffer.from('alive'), 0);
    process.kill(process.pid, 'SIGKILL');
  `;
  assert.throws(() =>
    execFileSync(process.execPath, ['--input-type=module', '-e', program], { stdio: 'pipe' }),
  );
  const disk = realDisk(`${folder}/b`);
  assert.deepEqual(disk.left, ['x']);
  assert.equal(text(disk, 'x'), 'alive');
  disk.close();
});

test('a file that was dropped is gone, and what happens to it afterwards does nothing', async () => {
  const disk = realDisk(`${folder}/c`);
  const file = disk.create('x');
  await file.write(Buffer.from('bytes'), 3);
  const into = Buffer.alloc(5);
  assert.equal(file.read(into, 3), true);
  assert.equal(into.toString(), 'bytes');
  assert.equal(file.read(into, 4), false);
  const late = file.write(Buffer.from('later'), 0);
  file.drop();
  await late;
  await file.write(Buffer.from('never'), 0);
  assert.equal(file.read(into, 3), false);
  disk.close();
  const again = realDisk(`${folder}/c`);
  assert.deepEqual(again.left, []);
  again.close();
});
