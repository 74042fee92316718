package millrace.nexmark;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.streaming.api.datastream.DataStream;

/** What queries about the best bid of an auction share: rows cut down to what they need before they are sent by key. */
final class Offers {
  /** Id and category on the way; category, time, end and highest bid as state. */
  static final TypeInformation<Tuple4<Long, Long, Long, Long>> AUCTION =
      Types.TUPLE(Types.LONG, Types.LONG, Types.LONG, Types.LONG);
  /** Price, time. */
  static final TypeInformation<Tuple2<Long, Long>> OFFER = Types.TUPLE(Types.LONG, Types.LONG);
  /** Category, price, the price that was highest before or 0. */
  static final TypeInformation<Tuple3<Long, Long, Long>> RAISE =
      Types.TUPLE(Types.LONG, Types.LONG, Types.LONG);
  /** Sum, auctions. */
  static final TypeInformation<Tuple2<Long, Long>> TOTAL = Types.TUPLE(Types.LONG, Types.LONG);

  private Offers() {}

  /** Id, category, time, end. */
  static DataStream<Tuple4<Long, Long, Long, Long>> auctions(Streams site) {
    return site.auctions()
        .map(a -> Tuple4.of(a.id, a.category, a.dateTime, a.expires))
        .returns(AUCTION);
  }

  /** Auction, price, time. */
  static DataStream<Tuple3<Long, Long, Long>> bids(Streams site) {
    return site.bids().map(b -> Tuple3.of(b.auction, b.price, b.dateTime)).returns(RAISE);
  }

  /** The total of a category, null at first, with one raise more. */
  static Tuple2<Long, Long> addRaise(Tuple2<Long, Long> total, Tuple3<Long, Long, Long> raise) {
    long sum = total == null ? 0 : total.f0;
    long auctions = total == null ? 0 : total.f1;
    return Tuple2.of(sum + raise.f1 - raise.f2, raise.f2 == 0 ? auctions + 1 : auctions);
  }

  static boolean wins(Bid bid, Auction auction, Bid best) {
    return bid.dateTime >= auction.dateTime
        && bid.dateTime <= auction.expires
        && (best == null
            || bid.price > best.price
            || (bid.price == best.price && bid.dateTime < best.dateTime));
  }
}
