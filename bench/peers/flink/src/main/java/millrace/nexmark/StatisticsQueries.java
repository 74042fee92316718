package millrace.nexmark;

import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Figures by day, channel and auction, and the last or highest bids, with state that is read at once. */
final class StatisticsQueries {
  static final TypeInformation<Tuple2<String, String>> CHANNEL_DAY =
      Types.TUPLE(Types.STRING, Types.STRING);
  static final TypeInformation<Tuple2<Long, Long>> BIDDER_AUCTION =
      Types.TUPLE(Types.LONG, Types.LONG);

  private static final TypeInformation<long[]> LONGS =
      PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO;

  private StatisticsQueries() {}

  static DataStream<?> q15(Streams site) {
    return site.bids().keyBy(b -> Functions.dayOf(b.dateTime)).process(new OfDay());
  }

  static DataStream<?> q16(Streams site) {
    return site.bids()
        .keyBy(b -> Tuple2.of(b.channel, Functions.dayOf(b.dateTime)), CHANNEL_DAY)
        .process(new OfChannel());
  }

  static DataStream<?> q17(Streams site) {
    return site.bids()
        .map(b -> Tuple2.of(b.auction, b.price))
        .returns(Types.TUPLE(Types.LONG, Types.LONG))
        .keyBy(b -> b.f0)
        .process(new OfAuction());
  }

  static DataStream<?> q18(Streams site) {
    KeySelector<Bid, Tuple2<Long, Long>> keyOf = b -> Tuple2.of(b.bidder, b.auction);
    return site.bids().keyBy(keyOf, BIDDER_AUCTION).process(new LastBid()).returns(Rows.BID);
  }

  static DataStream<?> q19(Streams site) {
    return site.bids().keyBy(b -> b.auction).process(new TopTen());
  }

  /** The state of q15 and q16. */
  private static final class Seen {
    private final ValueState<long[]> statistics;
    private final MapState<Long, Byte> bidders;
    private final MapState<Long, Byte> auctions;

    Seen(RuntimeContext context) {
      statistics = context.getState(new ValueStateDescriptor<>("statistics", LONGS));
      bidders =
          context.getMapState(new MapStateDescriptor<>("bidders", Types.LONG, Types.BYTE));
      auctions =
          context.getMapState(new MapStateDescriptor<>("auctions", Types.LONG, Types.BYTE));
    }

    Results.BidStatistics add(Bid bid) throws Exception {
      int rank = Functions.rankOf(bid.price);
      long[] figures =
          Statistics.withBid(
              statistics.value(), rank, see(bidders, bid.bidder, rank),
              see(auctions, bid.auction, rank));
      statistics.update(figures);
      return Results.BidStatistics.of(figures);
    }

    private static Byte see(MapState<Long, Byte> seen, long id, int rank) throws Exception {
      Byte before = seen.get(id);
      byte after = Statistics.seenIn(before, rank);
      if (before == null || before != after) seen.put(id, after);
      return before;
    }
  }

  private static final class OfDay
      extends KeyedProcessFunction<String, Bid, Results.DayStatistics> {
    private transient Seen seen;

    @Override
    public void open(OpenContext context) {
      seen = new Seen(getRuntimeContext());
    }

    @Override
    public void processElement(Bid bid, Context context, Collector<Results.DayStatistics> out)
        throws Exception {
      out.collect(new Results.DayStatistics(context.getCurrentKey(), seen.add(bid)));
    }
  }

  private static final class OfChannel
      extends KeyedProcessFunction<Tuple2<String, String>, Bid, Results.ChannelStatistics> {
    private transient Seen seen;
    private transient ValueState<String> newest;

    @Override
    public void open(OpenContext context) {
      seen = new Seen(getRuntimeContext());
      newest = getRuntimeContext().getState(new ValueStateDescriptor<>("minute", Types.STRING));
    }

    @Override
    public void processElement(Bid bid, Context context, Collector<Results.ChannelStatistics> out)
        throws Exception {
      String minute = newest.value();
      String current = Functions.minuteOf(bid.dateTime);
      if (minute == null || current.compareTo(minute) > 0) {
        minute = current;
        newest.update(minute);
      }
      Tuple2<String, String> key = context.getCurrentKey();
      out.collect(new Results.ChannelStatistics(key.f0, key.f1, minute, seen.add(bid)));
    }
  }

  private static final class OfAuction
      extends KeyedProcessFunction<Long, Tuple2<Long, Long>, Results.AuctionStatistics> {
    private transient ValueState<long[]> statistics;

    @Override
    public void open(OpenContext context) {
      statistics = getRuntimeContext().getState(new ValueStateDescriptor<>("statistics", LONGS));
    }

    /** Bids, bids of the three ranks, least price, largest, sum. */
    @Override
    public void processElement(
        Tuple2<Long, Long> bid, Context context, Collector<Results.AuctionStatistics> out)
        throws Exception {
      long price = bid.f1;
      long[] before = statistics.value();
      long[] s = before == null ? new long[] {0, 0, 0, 0, price, price, 0} : before.clone();
      s[0]++;
      s[Functions.rankOf(price)]++;
      s[4] = Math.min(s[4], price);
      s[5] = Math.max(s[5], price);
      s[6] += price;
      statistics.update(s);
      String day = Functions.dayOf(context.timestamp());
      out.collect(
          new Results.AuctionStatistics(
              bid.f0, day, s[0], s[1], s[2], s[3], s[4], s[5], s[6] / s[0], s[6]));
    }
  }

  private static final class LastBid extends KeyedProcessFunction<Tuple2<Long, Long>, Bid, Bid> {
    private transient ValueState<Bid> last;

    @Override
    public void open(OpenContext context) {
      last = getRuntimeContext().getState(new ValueStateDescriptor<>("last", Rows.BID));
    }

    @Override
    public void processElement(Bid bid, Context context, Collector<Bid> out) throws Exception {
      Bid before = last.value();
      if (before != null && bid.dateTime < before.dateTime) return;
      last.update(bid);
      out.collect(bid);
    }
  }

  private static final class TopTen extends KeyedProcessFunction<Long, Bid, Results.RankedBid> {
    private transient ValueState<List<Bid>> top;

    @Override
    public void open(OpenContext context) {
      top =
          getRuntimeContext().getState(new ValueStateDescriptor<>("top", Types.LIST(Rows.BID)));
    }

    @Override
    public void processElement(Bid bid, Context context, Collector<Results.RankedBid> out)
        throws Exception {
      List<Bid> before = top.value();
      int rank = Statistics.rankIn(before, bid);
      if (!Statistics.isInTop(rank)) return;
      List<Bid> changed = Statistics.insert(before, rank, bid);
      top.update(changed);
      for (; rank < changed.size(); rank++)
        out.collect(Results.RankedBid.of(changed.get(rank), rank + 1));
    }
  }
}
