import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InputWatermarks } from './input-watermarks.ts';

/** Channels 0 and 1 belong to input 1, channel 2 to input 2. `w0:5` watermark 5 on channel 0, `i1` channel 1 idle, `a1` active. */
const CASES: readonly {
  readonly name: string;
  readonly script: string;
  readonly expected: string;
}[] = [
  { name: 'the minimum over both inputs', script: 'w0:5 w1:7 w2:6 w0:9', expected: 'w5 w6' },
  { name: 'nothing before both have spoken', script: 'w0:5 w1:7', expected: '' },
  { name: 'an idle input holds nothing back', script: 'w0:5 w1:7 i2', expected: 'w5' },
  {
    name: 'an input is idle when all its channels are',
    script: 'w2:9 i0 i1',
    expected: 'w9',
  },
  {
    name: 'a channel that returns within an input is not waited for until it has caught up',
    script: 'w2:100 i1 w0:10 a1 w0:20 w1:15 w0:30 w1:40',
    expected: 'w10 w20 w30',
  },
  {
    name: 'an input that returns holds the watermark at once',
    script: 'i2 w0:10 w1:10 a2 w0:20 w1:20 w2:5 w2:15 w2:30',
    expected: 'w10 w15 w20',
  },
  {
    name: 'idle when both inputs are, active with the first that returns',
    script: 'i0 i1 i2 a2 w2:3',
    expected: 'i a w3',
  },
  {
    name: 'the last input to go idle lets go of what its channels knew, then idles',
    script: 'i2 w0:10 w1:3 i0 i1',
    expected: 'w3 w10 i',
  },
  {
    name: 'an input that has ended holds nothing back',
    script: 'w2:Infinity w0:5 w1:6',
    expected: 'w5',
  },
];

describe('the time of two inputs', () => {
  for (const { name, script, expected } of CASES)
    test(name, () => {
      const out: string[] = [];
      const time = new InputWatermarks([1, 1, 2], {
        watermark: (watermark) => out.push(`w${watermark}`),
        status: (idle) => out.push(idle ? 'i' : 'a'),
      });
      for (const word of script.split(' ')) {
        const channel = Number(word[1]);
        if (word[0] === 'w') time.onWatermark(channel, Number(word.slice(3)));
        else time.onStatus(channel, word[0] === 'i');
      }
      assert.equal(out.join(' '), expected);
    });
});
