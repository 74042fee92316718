package millrace.nexmark;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.v2.ListState;
import org.apache.flink.api.common.state.v2.ListStateDescriptor;
import org.apache.flink.api.common.state.v2.MapState;
import org.apache.flink.api.common.state.v2.MapStateDescriptor;
import org.apache.flink.api.common.state.v2.StateFuture;
import org.apache.flink.api.common.state.v2.ValueState;
import org.apache.flink.api.common.state.v2.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.core.state.StateFutureUtils;
import org.apache.flink.streaming.api.TimerService;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.co.KeyedCoProcessFunction;
import org.apache.flink.util.Collector;

/** The state-heavy queries that are process functions, with state that is read asynchronously: the same logic as in JoinQueries and StatisticsQueries. */
final class AsyncQueries {
  private AsyncQueries() {}

  static DataStream<?> q4(Streams site) {
    DataStream<Tuple3<Long, Long, Long>> raises =
        site.keyed(Offers.auctions(site), a -> a.f0)
            .connect(site.keyed(Offers.bids(site), b -> b.f0))
            .process(new Raises())
            .returns(Offers.RAISE);
    return site.keyed(raises, raise -> raise.f0).process(new CategoryAverages());
  }

  static DataStream<?> q9(Streams site) {
    return site.keyed(site.auctions(), a -> a.id)
        .connect(site.keyed(site.bids(), b -> b.auction))
        .process(new WinningBids());
  }

  static DataStream<?> q16(Streams site) {
    KeySelector<Bid, Tuple2<String, String>> keyOf =
        b -> Tuple2.of(b.channel, Functions.dayOf(b.dateTime));
    return site.bids()
        .keyBy(keyOf, StatisticsQueries.CHANNEL_DAY)
        .enableAsyncState()
        .process(new OfChannel());
  }

  static DataStream<?> q18(Streams site) {
    KeySelector<Bid, Tuple2<Long, Long>> keyOf = b -> Tuple2.of(b.bidder, b.auction);
    return site.bids()
        .keyBy(keyOf, StatisticsQueries.BIDDER_AUCTION)
        .enableAsyncState()
        .process(new LastBid())
        .returns(Rows.BID);
  }

  static DataStream<?> q19(Streams site) {
    return site.keyed(site.bids(), b -> b.auction).process(new TopTen());
  }

  static DataStream<?> q20(Streams site) {
    return site.keyed(site.auctions(), a -> a.id)
        .connect(site.keyed(site.bids(), b -> b.auction))
        .process(new ExpandedBids());
  }

  /** What a list holds; the backend may give null for none. */
  private static <T> StateFuture<List<T>> listOf(ListState<T> state) {
    List<T> values = new ArrayList<>();
    return state
        .asyncGet()
        .thenCompose(
            some ->
                some == null
                    ? StateFutureUtils.completedVoidFuture()
                    : some.onNext(value -> { values.add(value); }))
        .thenApply(done -> values);
  }

  /** As `millrace.nexmark.EarlyBids`. */
  private static final class EarlyBids<T> {
    private final ListState<T> state;
    private final ToLongFunction<T> timeOf;

    EarlyBids(ListState<T> state, ToLongFunction<T> timeOf) {
      this.state = state;
      this.timeOf = timeOf;
    }

    StateFuture<List<T>> all() {
      return listOf(state);
    }

    void add(T bid, TimerService timers) {
      state
          .asyncGet()
          .thenAccept(
              some -> {
                if (some == null || some.isEmpty()) timers.registerEventTimeTimer(timeOf.applyAsLong(bid));
                state.asyncAdd(bid);
              });
    }

    StateFuture<List<T>> take() {
      return all()
          .thenApply(
              bids -> {
                if (!bids.isEmpty()) state.asyncClear();
                return bids;
              });
    }

    void drop(long watermark, TimerService timers) {
      all()
          .thenAccept(
              bids -> {
                if (bids.isEmpty()) return;
                List<T> later = new ArrayList<>();
                for (T bid : bids) if (timeOf.applyAsLong(bid) > watermark) later.add(bid);
                state.asyncUpdate(later);
                if (!later.isEmpty())
                  timers.registerEventTimeTimer(timeOf.applyAsLong(later.get(0)));
              });
    }
  }

  private static final class Raises
      extends KeyedCoProcessFunction<
          Long,
          Tuple4<Long, Long, Long, Long>,
          Tuple3<Long, Long, Long>,
          Tuple3<Long, Long, Long>> {
    private transient ValueState<Tuple4<Long, Long, Long, Long>> open;
    private transient EarlyBids<Tuple2<Long, Long>> early;

    @Override
    public void open(OpenContext context) {
      open = getRuntimeContext().getState(new ValueStateDescriptor<>("auction", Offers.AUCTION));
      early =
          new EarlyBids<>(
              getRuntimeContext().getListState(new ListStateDescriptor<>("early", Offers.OFFER)),
              offer -> offer.f1);
    }

    @Override
    public void processElement1(
        Tuple4<Long, Long, Long, Long> auction,
        Context context,
        Collector<Tuple3<Long, Long, Long>> out) {
      context.timerService().registerEventTimeTimer(auction.f3);
      early
          .take()
          .thenAccept(
              bids -> {
                long previous = 0;
                for (Tuple2<Long, Long> bid : bids) {
                  if (bid.f1 < auction.f2 || bid.f1 > auction.f3 || bid.f0 <= previous) continue;
                  out.collect(Tuple3.of(auction.f1, bid.f0, previous));
                  previous = bid.f0;
                }
                open.asyncUpdate(Tuple4.of(auction.f1, auction.f2, auction.f3, previous));
              });
    }

    @Override
    public void processElement2(
        Tuple3<Long, Long, Long> bid, Context context, Collector<Tuple3<Long, Long, Long>> out) {
      TimerService timers = context.timerService();
      open.asyncValue()
          .thenAccept(
              auction -> {
                if (auction == null) {
                  early.add(Tuple2.of(bid.f1, bid.f2), timers);
                  return;
                }
                if (bid.f2 < auction.f1 || bid.f2 > auction.f2 || bid.f1 <= auction.f3) return;
                open.asyncUpdate(Tuple4.of(auction.f0, auction.f1, auction.f2, bid.f1));
                out.collect(Tuple3.of(auction.f0, bid.f1, auction.f3));
              });
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Tuple3<Long, Long, Long>> out) {
      early.drop(timestamp, context.timerService());
      open.asyncValue()
          .thenAccept(
              auction -> {
                if (auction != null && auction.f2 <= timestamp) open.asyncClear();
              });
    }
  }

  private static final class CategoryAverages
      extends KeyedProcessFunction<Long, Tuple3<Long, Long, Long>, Results.CategoryAverage> {
    private transient ValueState<Tuple2<Long, Long>> total;

    @Override
    public void open(OpenContext context) {
      total = getRuntimeContext().getState(new ValueStateDescriptor<>("total", Offers.TOTAL));
    }

    @Override
    public void processElement(
        Tuple3<Long, Long, Long> raise, Context context, Collector<Results.CategoryAverage> out) {
      total
          .asyncValue()
          .thenAccept(
              before -> {
                Tuple2<Long, Long> after = Offers.addRaise(before, raise);
                total.asyncUpdate(after);
                out.collect(new Results.CategoryAverage(raise.f0, after.f0 / after.f1));
              });
    }
  }

  private static final class WinningBids
      extends KeyedCoProcessFunction<Long, Auction, Bid, Results.WinningBid> {
    private transient ValueState<Auction> open;
    private transient ValueState<Bid> best;
    private transient EarlyBids<Bid> early;

    @Override
    public void open(OpenContext context) {
      open = getRuntimeContext().getState(new ValueStateDescriptor<>("auction", Rows.AUCTION));
      best = getRuntimeContext().getState(new ValueStateDescriptor<>("best", Rows.BID));
      early =
          new EarlyBids<>(
              getRuntimeContext().getListState(new ListStateDescriptor<>("early", Rows.BID)),
              bid -> bid.dateTime);
    }

    @Override
    public void processElement1(
        Auction auction, Context context, Collector<Results.WinningBid> out) {
      open.asyncUpdate(auction);
      context.timerService().registerEventTimeTimer(auction.expires);
      early
          .take()
          .thenAccept(
              bids -> {
                Bid winner = null;
                for (Bid bid : bids) {
                  if (!Offers.wins(bid, auction, winner)) continue;
                  winner = bid;
                  out.collect(Results.WinningBid.of(auction, bid));
                }
                if (winner != null) best.asyncUpdate(winner);
              });
    }

    @Override
    public void processElement2(Bid bid, Context context, Collector<Results.WinningBid> out) {
      TimerService timers = context.timerService();
      // Both are asked for at once, so that one batch of reads brings them.
      open.asyncValue()
          .thenCombine(best.asyncValue(), (auction, winner) -> Tuple2.of(auction, winner))
          .thenAccept(
              both -> {
                if (both.f0 == null) {
                  early.add(bid, timers);
                  return;
                }
                if (!Offers.wins(bid, both.f0, both.f1)) return;
                best.asyncUpdate(bid);
                out.collect(Results.WinningBid.of(both.f0, bid));
              });
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Results.WinningBid> out) {
      early.drop(timestamp, context.timerService());
      open.asyncValue()
          .thenAccept(
              auction -> {
                if (auction != null && auction.expires > timestamp) return;
                open.asyncClear();
                best.asyncClear();
              });
    }
  }

  private static final class ExpandedBids
      extends KeyedCoProcessFunction<Long, Auction, Bid, Results.ExpandedBid> {
    private transient ValueState<Auction> open;
    private transient ValueState<Boolean> isOther;
    private transient ListState<Bid> early;

    @Override
    public void open(OpenContext context) {
      open = getRuntimeContext().getState(new ValueStateDescriptor<>("auction", Rows.AUCTION));
      isOther = getRuntimeContext().getState(new ValueStateDescriptor<>("other", Types.BOOLEAN));
      early = getRuntimeContext().getListState(new ListStateDescriptor<>("early", Rows.BID));
    }

    @Override
    public void processElement1(
        Auction auction, Context context, Collector<Results.ExpandedBid> out) {
      if (auction.category != 10) {
        isOther.asyncUpdate(true);
        early.asyncClear();
        return;
      }
      open.asyncUpdate(auction);
      listOf(early)
          .thenAccept(
              bids -> {
                for (Bid bid : bids) out.collect(Results.ExpandedBid.of(bid, auction));
                early.asyncClear();
              });
    }

    @Override
    public void processElement2(Bid bid, Context context, Collector<Results.ExpandedBid> out) {
      open.asyncValue()
          .thenAccept(
              auction -> {
                if (auction != null) {
                  out.collect(Results.ExpandedBid.of(bid, auction));
                  return;
                }
                isOther
                    .asyncValue()
                    .thenAccept(
                        other -> {
                          if (other == null) early.asyncAdd(bid);
                        });
              });
    }
  }

  private static final class OfChannel
      extends KeyedProcessFunction<Tuple2<String, String>, Bid, Results.ChannelStatistics> {
    private transient ValueState<long[]> statistics;
    private transient MapState<Long, Byte> bidders;
    private transient MapState<Long, Byte> auctions;
    private transient ValueState<String> newest;

    @Override
    public void open(OpenContext context) {
      var runtime = getRuntimeContext();
      statistics =
          runtime.getState(
              new ValueStateDescriptor<>(
                  "statistics", PrimitiveArrayTypeInfo.LONG_PRIMITIVE_ARRAY_TYPE_INFO));
      bidders = runtime.getMapState(new MapStateDescriptor<>("bidders", Types.LONG, Types.BYTE));
      auctions = runtime.getMapState(new MapStateDescriptor<>("auctions", Types.LONG, Types.BYTE));
      newest = runtime.getState(new ValueStateDescriptor<>("minute", Types.STRING));
    }

    @Override
    public void processElement(
        Bid bid, Context context, Collector<Results.ChannelStatistics> out) {
      int rank = Functions.rankOf(bid.price);
      String current = Functions.minuteOf(bid.dateTime);
      Tuple2<String, String> key = context.getCurrentKey();
      StateFuture<String> minute =
          newest
              .asyncValue()
              .thenApply(
                  before -> {
                    if (before != null && current.compareTo(before) <= 0) return before;
                    newest.asyncUpdate(current);
                    return current;
                  });
      StateFuture<Tuple2<Byte, Byte>> seen =
          see(bidders, bid.bidder, rank)
              .thenCombine(see(auctions, bid.auction, rank), Tuple2::<Byte, Byte>of);
      StateFuture<long[]> figures =
          statistics
              .asyncValue()
              .thenCombine(seen, (before, b) -> Statistics.withBid(before, rank, b.f0, b.f1));
      figures
          .thenCombine(minute, (after, m) -> Tuple2.of(after, m))
          .thenAccept(
              both -> {
                statistics.asyncUpdate(both.f0);
                out.collect(
                    new Results.ChannelStatistics(
                        key.f0, key.f1, both.f1, Results.BidStatistics.of(both.f0)));
              });
    }

    private static StateFuture<Byte> see(MapState<Long, Byte> seen, long id, int rank) {
      return seen.asyncGet(id)
          .thenApply(
              before -> {
                byte after = Statistics.seenIn(before, rank);
                if (before == null || before != after) seen.asyncPut(id, after);
                return before;
              });
    }
  }

  private static final class LastBid extends KeyedProcessFunction<Tuple2<Long, Long>, Bid, Bid> {
    private transient ValueState<Bid> last;

    @Override
    public void open(OpenContext context) {
      last = getRuntimeContext().getState(new ValueStateDescriptor<>("last", Rows.BID));
    }

    @Override
    public void processElement(Bid bid, Context context, Collector<Bid> out) {
      last.asyncValue()
          .thenAccept(
              before -> {
                if (before != null && bid.dateTime < before.dateTime) return;
                last.asyncUpdate(bid);
                out.collect(bid);
              });
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
    public void processElement(Bid bid, Context context, Collector<Results.RankedBid> out) {
      top.asyncValue()
          .thenAccept(
              before -> {
                int rank = Statistics.rankIn(before, bid);
                if (!Statistics.isInTop(rank)) return;
                List<Bid> changed = Statistics.insert(before, rank, bid);
                top.asyncUpdate(changed);
                for (; rank < changed.size(); rank++)
                  out.collect(Results.RankedBid.of(changed.get(rank), rank + 1));
              });
    }
  }
}
