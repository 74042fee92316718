package millrace.nexmark;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingProcessingTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

final class WindowQueries {
  private static final Duration WINDOW = Duration.ofSeconds(10);
  private static final Duration SLIDE = Duration.ofSeconds(2);
  /** In how many parts q7 seeks the maximum before one subtask compares theirs. */
  private static final long PARTS = 64;

  private static final TypeInformation<Tuple2<Long, Long>> COUNTED =
      Types.TUPLE(Types.LONG, Types.LONG);
  /** Auction, bids, start of the window. */
  private static final TypeInformation<Tuple3<Long, Long, Long>> COUNTED_IN_WINDOW =
      Types.TUPLE(Types.LONG, Types.LONG, Types.LONG);

  private WindowQueries() {}

  /**
   * Counts by auction of each two seconds are added up over ten, as Flink's own planner does it: a bid touches one window instead of five.
   * Sliding windows with asynchronous state lose counts (Flink 2.3.0), so that the second step reads at once.
   */
  static DataStream<?> q5(Streams site) {
    DataStream<Tuple2<Long, Long>> panes =
        site.keyed(site.bids().map(b -> b.auction).returns(Types.LONG), auction -> auction)
            .window(TumblingEventTimeWindows.of(SLIDE))
            .aggregate(new Count<Long>(), new CountOfPane(), Types.LONG, Types.LONG, COUNTED);
    DataStream<Tuple3<Long, Long, Long>> counts =
        panes
            .keyBy(pane -> pane.f0)
            .window(SlidingEventTimeWindows.of(WINDOW, SLIDE))
            .aggregate(new Sum(), new CountOfWindow(), Types.LONG, Types.LONG, COUNTED_IN_WINDOW);
    return counts
        .windowAll(TumblingEventTimeWindows.of(SLIDE))
        .aggregate(
            new Hottest(), Types.LIST(COUNTED_IN_WINDOW), Types.LIST(COUNTED_IN_WINDOW))
        .<Results.HotItem>flatMap(
            (items, out) -> {
              for (Tuple3<Long, Long, Long> item : items)
                out.collect(new Results.HotItem(item.f0, item.f1, item.f2));
            })
        .returns(Results.HotItem.class);
  }

  static DataStream<?> q7(Streams site) {
    DataStream<Bid> highestOfParts =
        site.keyed(site.bids(), b -> b.bidder % PARTS)
            .window(TumblingEventTimeWindows.of(WINDOW))
            .aggregate(new Highest(), Types.LIST(Rows.BID), Types.LIST(Rows.BID))
            .<Bid>flatMap((bids, out) -> bids.forEach(out::collect))
            .returns(Rows.BID);
    return highestOfParts
        .windowAll(TumblingEventTimeWindows.of(WINDOW))
        .aggregate(new Highest(), Types.LIST(Rows.BID), Types.LIST(Rows.BID))
        .<Results.Passed>flatMap(
            (bids, out) -> {
              for (Bid b : bids)
                out.collect(
                    new Results.Passed(b.auction, b.bidder, b.price, b.dateTime, b.extra));
            })
        .returns(Results.Passed.class);
  }

  /** People have a name and sellers have none; a window keeps the name and whether somebody sold, instead of all rows as coGroup would. */
  static DataStream<?> q8(Streams site) {
    TypeInformation<Tuple2<Long, String>> row = Types.TUPLE(Types.LONG, Types.STRING);
    DataStream<Tuple2<Long, String>> people =
        site.people().map(p -> Tuple2.of(p.id, p.name)).returns(row);
    DataStream<Tuple2<Long, String>> sellers =
        site.auctions().map(a -> Tuple2.of(a.seller, (String) null)).returns(row);
    return site.keyed(people.union(sellers), user -> user.f0)
        .window(TumblingEventTimeWindows.of(WINDOW))
        .aggregate(
            new NameOfSeller(),
            new NewcomerOfWindow(),
            Types.TUPLE(Types.STRING, Types.BOOLEAN),
            Types.TUPLE(Types.STRING, Types.BOOLEAN),
            TypeInformation.of(Results.Newcomer.class));
  }

  static DataStream<?> q11(Streams site) {
    // Windows that merge cannot use asynchronous state.
    return site.bids()
        .map(b -> b.bidder)
        .returns(Types.LONG)
        .keyBy(bidder -> bidder)
        .window(EventTimeSessionWindows.withGap(WINDOW))
        .aggregate(new Count<Long>(), new BidsOfWindow());
  }

  static DataStream<?> q12(Streams site) {
    return site.bids()
        .map(b -> b.bidder)
        .returns(Types.LONG)
        .keyBy(bidder -> bidder)
        .window(TumblingProcessingTimeWindows.of(WINDOW))
        .aggregate(new Count<Long>(), new BidsOfWindow());
  }

  private static final class Count<T> implements AggregateFunction<T, Long, Long> {
    @Override
    public Long createAccumulator() {
      return 0L;
    }

    @Override
    public Long add(T value, Long count) {
      return count + 1;
    }

    @Override
    public Long getResult(Long count) {
      return count;
    }

    @Override
    public Long merge(Long a, Long b) {
      return a + b;
    }
  }

  private static final class Sum implements AggregateFunction<Tuple2<Long, Long>, Long, Long> {
    @Override
    public Long createAccumulator() {
      return 0L;
    }

    @Override
    public Long add(Tuple2<Long, Long> value, Long sum) {
      return sum + value.f1;
    }

    @Override
    public Long getResult(Long sum) {
      return sum;
    }

    @Override
    public Long merge(Long a, Long b) {
      return a + b;
    }
  }

  private static final class CountOfPane
      extends ProcessWindowFunction<Long, Tuple2<Long, Long>, Long, TimeWindow> {
    @Override
    public void process(
        Long auction, Context context, Iterable<Long> counts, Collector<Tuple2<Long, Long>> out) {
      out.collect(Tuple2.of(auction, counts.iterator().next()));
    }
  }

  private static final class CountOfWindow
      extends ProcessWindowFunction<Long, Tuple3<Long, Long, Long>, Long, TimeWindow> {
    @Override
    public void process(
        Long auction,
        Context context,
        Iterable<Long> counts,
        Collector<Tuple3<Long, Long, Long>> out) {
      out.collect(Tuple3.of(auction, counts.iterator().next(), context.window().getStart()));
    }
  }

  private static final class BidsOfWindow
      extends ProcessWindowFunction<Long, Results.BidderWindow, Long, TimeWindow> {
    @Override
    public void process(
        Long bidder, Context context, Iterable<Long> counts, Collector<Results.BidderWindow> out) {
      TimeWindow window = context.window();
      out.collect(
          new Results.BidderWindow(
              bidder, counts.iterator().next(), window.getStart(), window.getEnd()));
    }
  }

  /** The items with most bids: several when they tie. */
  private static final class Hottest
      implements AggregateFunction<
          Tuple3<Long, Long, Long>,
          List<Tuple3<Long, Long, Long>>,
          List<Tuple3<Long, Long, Long>>> {
    @Override
    public List<Tuple3<Long, Long, Long>> createAccumulator() {
      return new ArrayList<>();
    }

    @Override
    public List<Tuple3<Long, Long, Long>> add(
        Tuple3<Long, Long, Long> item, List<Tuple3<Long, Long, Long>> hottest) {
      long difference = hottest.isEmpty() ? 0 : item.f1 - hottest.get(0).f1;
      if (difference < 0) return hottest;
      if (difference > 0) hottest.clear();
      hottest.add(item);
      return hottest;
    }

    @Override
    public List<Tuple3<Long, Long, Long>> getResult(List<Tuple3<Long, Long, Long>> hottest) {
      return hottest;
    }

    @Override
    public List<Tuple3<Long, Long, Long>> merge(
        List<Tuple3<Long, Long, Long>> a, List<Tuple3<Long, Long, Long>> b) {
      for (Tuple3<Long, Long, Long> item : b) add(item, a);
      return a;
    }
  }

  private static final class Highest implements AggregateFunction<Bid, List<Bid>, List<Bid>> {
    @Override
    public List<Bid> createAccumulator() {
      return new ArrayList<>(1);
    }

    @Override
    public List<Bid> add(Bid bid, List<Bid> highest) {
      long difference = highest.isEmpty() ? 0 : bid.price - highest.get(0).price;
      if (difference < 0) return highest;
      if (difference > 0) highest.clear();
      highest.add(bid);
      return highest;
    }

    @Override
    public List<Bid> getResult(List<Bid> highest) {
      return highest;
    }

    @Override
    public List<Bid> merge(List<Bid> a, List<Bid> b) {
      for (Bid bid : b) add(bid, a);
      return a;
    }
  }

  /** The name of a person who came, and whether he sold something. */
  private static final class NameOfSeller
      implements AggregateFunction<
          Tuple2<Long, String>, Tuple2<String, Boolean>, Tuple2<String, Boolean>> {
    @Override
    public Tuple2<String, Boolean> createAccumulator() {
      return Tuple2.of(null, false);
    }

    @Override
    public Tuple2<String, Boolean> add(Tuple2<Long, String> row, Tuple2<String, Boolean> seen) {
      if (row.f1 == null) seen.f1 = true;
      else seen.f0 = row.f1;
      return seen;
    }

    @Override
    public Tuple2<String, Boolean> getResult(Tuple2<String, Boolean> seen) {
      return seen;
    }

    @Override
    public Tuple2<String, Boolean> merge(Tuple2<String, Boolean> a, Tuple2<String, Boolean> b) {
      return Tuple2.of(a.f0 == null ? b.f0 : a.f0, a.f1 || b.f1);
    }
  }

  private static final class NewcomerOfWindow
      extends ProcessWindowFunction<Tuple2<String, Boolean>, Results.Newcomer, Long, TimeWindow> {
    @Override
    public void process(
        Long id,
        Context context,
        Iterable<Tuple2<String, Boolean>> rows,
        Collector<Results.Newcomer> out) {
      Tuple2<String, Boolean> seen = rows.iterator().next();
      if (seen.f0 != null && seen.f1)
        out.collect(new Results.Newcomer(id, seen.f0, context.window().getStart()));
    }
  }
}
