import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NexmarkGenerator } from './generator.ts';
import type { Bid, Person } from './model.ts';

describe('the Nexmark generator', () => {
  test('gives the same event for the same number, in any order', () => {
    const a = new NexmarkGenerator();
    const b = new NexmarkGenerator();
    const forward = Array.from({ length: 500 }, (_, n) => a.event(n));
    const other = new NexmarkGenerator({ seed: 7 });
    const backward = Array.from({ length: 500 }, (_, n) => b.event(499 - n)).toReversed();
    assert.deepEqual(forward, backward);
    assert.notDeepEqual(
      forward,
      Array.from({ length: 500 }, (_, n) => other.event(n)),
    );
  });

  test('keeps the proportions 1 : 3 : 46', () => {
    const counts = { person: 0, auction: 0, bid: 0 };
    for (let n = 0; n < 5000; n++) counts[NexmarkGenerator.kindOf(n)]++;
    assert.deepEqual(counts, { person: 100, auction: 300, bid: 4600 });
  });

  test('people and auctions are numbered without gaps from 1000', () => {
    const generator = new NexmarkGenerator();
    const people: number[] = [];
    const auctions: number[] = [];
    for (let n = 0; n < 1000; n++) {
      const kind = NexmarkGenerator.kindOf(n);
      if (kind === 'person') people.push((generator.event(n) as Person).id);
      if (kind === 'auction') auctions.push(generator.auction(n).id);
    }
    assert.deepEqual(
      people,
      Array.from({ length: 20 }, (_, i) => 1000 + i),
    );
    assert.deepEqual(
      auctions,
      Array.from({ length: 60 }, (_, i) => 1000 + i),
    );
  });

  test('bids name people and auctions that exist or are about to', () => {
    const generator = new NexmarkGenerator();
    for (let n = 0; n < 20_000; n++) {
      if (NexmarkGenerator.kindOf(n) !== 'bid') continue;
      const bid: Bid = generator.bid(n);
      assert.ok(
        bid.bidder >= 1000 && bid.bidder <= 1000 + n / 50 + 11,
        `bidder ${bid.bidder} at ${n}`,
      );
      assert.ok(
        bid.auction >= 1000 && bid.auction <= 1000 + (n / 50) * 3 + 14,
        `auction ${bid.auction} at ${n}`,
      );
    }
  });

  test('about half of the bids go to a hot auction and sizes average 100 bytes', () => {
    const generator = new NexmarkGenerator();
    let hotBids = 0;
    let bids = 0;
    let bytes = 0;
    for (let n = 10_000; n < 60_000; n++) {
      if (NexmarkGenerator.kindOf(n) !== 'bid') continue;
      const bid = generator.bid(n);
      bids++;
      if (bid.auction % 100 === 0) hotBids++;
      bytes += 32 + bid.channel.length + bid.url.length + bid.extra.length;
    }
    assert.ok(hotBids / bids > 0.45 && hotBids / bids < 0.55, `${hotBids / bids}`);
    assert.ok(bytes / bids > 95 && bytes / bids < 125, `${bytes / bids}`);
  });
});
