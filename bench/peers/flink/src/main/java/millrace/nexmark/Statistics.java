package millrace.nexmark;

import java.util.ArrayList;
import java.util.List;

/** What q15, q16 and q19 compute from state and a bid, wherever the state is. */
final class Statistics {
  static final int FIGURES = 12;

  private static final int BIDDERS = 4;
  private static final int AUCTIONS = 8;
  private static final int TOP = 10;

  private Statistics() {}

  /** The ranks in which somebody was seen, a bit for each, with one more. */
  static byte seenIn(Byte ranks, int rank) {
    return (byte) ((ranks == null ? 0 : ranks) | 1 << rank);
  }

  /** The statistics, null at first, with one bid more, whose bidder and auction were seen in these ranks before. */
  static long[] withBid(long[] before, int rank, Byte bidderRanks, Byte auctionRanks) {
    long[] after = before == null ? new long[FIGURES] : before.clone();
    after[0]++;
    after[rank]++;
    count(after, BIDDERS, rank, bidderRanks);
    count(after, AUCTIONS, rank, auctionRanks);
    return after;
  }

  private static void count(long[] figures, int at, int rank, Byte ranks) {
    if (ranks == null) figures[at]++;
    if (ranks == null || (ranks & 1 << rank) == 0) figures[at + rank]++;
  }

  /** Where a bid comes among the highest, best first; `TOP` or more where it does not. */
  static int rankIn(List<Bid> top, Bid bid) {
    int rank = top == null ? 0 : top.size();
    while (rank > 0 && top.get(rank - 1).price < bid.price) rank--;
    return rank;
  }

  static boolean isInTop(int rank) {
    return rank < TOP;
  }

  static List<Bid> insert(List<Bid> top, int rank, Bid bid) {
    List<Bid> changed = new ArrayList<>(TOP + 1);
    if (top != null) changed.addAll(top);
    changed.add(rank, bid);
    if (changed.size() > TOP) changed.remove(TOP);
    return changed;
  }
}
