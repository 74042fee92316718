import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StatusWatermarkValve } from './status-watermark-valve.ts';

/** `w0:5` watermark 5 on channel 0, `i1` channel 1 idle, `a1` active; what comes out in the same words without channel. */
const CASES: readonly {
  readonly name: string;
  readonly channels: number;
  readonly script: string;
  readonly expected: string;
}[] = [
  { name: 'one channel passes through', channels: 1, script: 'w0:5 w0:7', expected: 'w5 w7' },
  { name: 'watermarks never go back', channels: 1, script: 'w0:5 w0:3 w0:5', expected: 'w5' },
  { name: 'the minimum over channels', channels: 2, script: 'w0:5 w1:3 w1:9', expected: 'w3 w5' },
  {
    name: 'nothing before every channel has spoken',
    channels: 3,
    script: 'w0:5 w1:6',
    expected: '',
  },
  { name: 'an idle channel holds nothing back', channels: 2, script: 'w0:5 i1', expected: 'w5' },
  {
    name: 'a channel that returns behind does not count until it has caught up',
    channels: 2,
    script: 'w0:5 i1 w0:8 a1 w1:6 w0:9 w1:10 w0:12',
    expected: 'w5 w8 w9 w10',
  },
  { name: 'all idle is idle, once', channels: 2, script: 'i0 i1 i1', expected: 'i' },
  { name: 'one active again is active', channels: 2, script: 'i0 i1 a0 w0:4', expected: 'i a w4' },
  {
    name: 'the last to go idle lets go of what others knew',
    channels: 2,
    script: 'w0:10 w1:3 i0 i1',
    expected: 'w3 w10 i',
  },
  {
    name: 'watermarks of idle channels are ignored',
    channels: 2,
    script: 'i0 w0:100 w1:5',
    expected: 'w5',
  },
  {
    name: 'the end of time passes',
    channels: 2,
    script: 'w0:Infinity w1:Infinity',
    expected: 'wInfinity',
  },
];

describe('the watermark valve', () => {
  for (const { name, channels, script, expected } of CASES) {
    test(name, () => {
      const out: string[] = [];
      const valve = new StatusWatermarkValve(channels, {
        watermark: (watermark) => out.push(`w${watermark}`),
        status: (idle) => out.push(idle ? 'i' : 'a'),
      });
      for (const word of script.split(' ')) {
        const channel = Number(word[1]);
        if (word[0] === 'w') valve.onWatermark(channel, Number(word.slice(3)));
        else valve.onStatus(channel, word[0] === 'i');
      }
      assert.equal(out.join(' '), expected);
    });
  }
});
