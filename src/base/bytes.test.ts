import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ByteReader, ByteWriter } from './bytes.ts';

type Step =
  | { readonly kind: 'u8' | 'u16' | 'u32' | 'varint' | 'f64'; readonly value: number }
  | { readonly kind: 'i64'; readonly value: bigint }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array };

const numeric = (kind: 'u8' | 'u16' | 'u32', max: number): fc.Arbitrary<Step> =>
  fc.nat(max).map((value) => ({ kind, value }));

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    numeric('u8', 0xff),
    numeric('u16', 0xffff),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((value): Step => ({ kind: 'u32', value })),
    fc.maxSafeNat().map((value): Step => ({ kind: 'varint', value })),
    fc.double().map((value): Step => ({ kind: 'f64', value })),
    fc
      .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
      .map((value): Step => ({ kind: 'i64', value })),
    fc.string({ unit: 'grapheme' }).map((value): Step => ({ kind: 'string', value })),
    fc.uint8Array().map((value): Step => ({ kind: 'bytes', value })),
  ),
  { maxLength: 30 },
);

const write = (writer: ByteWriter, { kind, value }: Step): void =>
  (writer[kind] as (value: unknown) => void).call(writer, value); // each kind is the method of its value

suite('byte writer and reader', () => {
  test('read back whatever was written, from a writer that grows all the time', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const writer = new ByteWriter(1);
        for (const step of list) write(writer, step);
        const reader = new ByteReader(writer.take());
        assert.deepEqual(
          list.map(({ kind }) => reader[kind]()),
          list.map(({ value }) => value),
        );
        assert.equal(reader.remaining, 0);
        assert.equal(writer.position, 0);
      }),
    );
  });

  test('refuse to read past the end of any cut, though bytes lie behind it', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (list, at) => {
        const writer = new ByteWriter();
        for (const step of list) write(writer, step);
        const bytes = writer.view();
        const end = at % (bytes.length + 1);
        const reader = new ByteReader(bytes, 0, end);
        if (end === bytes.length) return;
        assert.throws(
          () => {
            for (const { kind } of list) reader[kind]();
          },
          { kind: 'data', code: 'TRUNCATED_BYTES' },
        );
        assert.ok(reader.position <= end);
      }),
    );
  });

  test('the buffer and its DataView stay the same bytes while the writer grows', () => {
    const writer = new ByteWriter(2);
    for (let i = 0; i < 100; i++) {
      writer.f64(i);
      writer.data.setUint8(writer.position - 1, i);
      assert.equal(writer.buffer[writer.position - 1], i);
      assert.equal(writer.data.byteLength, writer.buffer.length);
    }
  });

  test('a varint beyond 2^53 and a range outside the bytes are refused', () => {
    for (const bytes of [Buffer.alloc(9, 0xff), Buffer.from('ffffffffffffff7f', 'hex')])
      assert.throws(() => new ByteReader(bytes).varint(), {
        kind: 'data',
        code: 'VARINT_TOO_LONG',
      });
    for (const [from, to] of [
      [-1, 1],
      [0, 3],
      [2, 1],
      [NaN, 1],
    ] as const)
      assert.throws(() => new ByteReader(Buffer.alloc(2), from, to), { code: 'BAD_BYTE_RANGE' });
  });

  test('what is taken or read shares no memory with the writer or the reader', () => {
    const writer = new ByteWriter();
    writer.bytes(Uint8Array.of(1, 2));
    const taken = writer.take();
    writer.u8(9);
    assert.deepEqual([...taken], [2, 1, 2]);
    const read = new ByteReader(taken).bytes();
    taken.fill(0);
    assert.deepEqual(read, Uint8Array.of(1, 2));
  });
});
