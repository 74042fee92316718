package millrace.nexmark;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple4;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.co.KeyedCoProcessFunction;
import org.apache.flink.util.Collector;

/** Queries that join people, auctions and bids, with state that is read at once. */
final class JoinQueries {
  private JoinQueries() {}

  static DataStream<?> q3(Streams site) {
    DataStream<Tuple2<Long, Long>> auctions =
        site.auctions()
            .filter(a -> a.category == 10)
            .map(a -> Tuple2.of(a.seller, a.id))
            .returns(Types.TUPLE(Types.LONG, Types.LONG));
    DataStream<Tuple4<Long, String, String, String>> people =
        site.people()
            .filter(p -> p.state.equals("OR") || p.state.equals("ID") || p.state.equals("CA"))
            .map(p -> Tuple4.of(p.id, p.name, p.city, p.state))
            .returns(Types.TUPLE(Types.LONG, Types.STRING, Types.STRING, Types.STRING));
    return auctions.keyBy(a -> a.f0).connect(people.keyBy(p -> p.f0)).process(new LocalItems());
  }

  static DataStream<?> q4(Streams site) {
    return Offers.auctions(site)
        .keyBy(a -> a.f0)
        .connect(Offers.bids(site).keyBy(b -> b.f0))
        .process(new Raises())
        .returns(Offers.RAISE)
        .keyBy(raise -> raise.f0)
        .process(new CategoryAverages());
  }

  static DataStream<?> q6(Streams site) {
    return site.auctions()
        .map(a -> Tuple4.of(a.id, a.seller, a.dateTime, a.expires))
        .returns(Offers.AUCTION)
        .keyBy(a -> a.f0)
        .connect(Offers.bids(site).keyBy(b -> b.f0))
        .process(new Sales())
        .returns(Types.TUPLE(Types.LONG, Types.LONG, Types.LONG, Types.LONG))
        .keyBy(sale -> sale.f1)
        .process(new SellerAverages());
  }

  static DataStream<?> q9(Streams site) {
    return site.auctions()
        .keyBy(a -> a.id)
        .connect(site.bids().keyBy(b -> b.auction))
        .process(new WinningBids());
  }

  static DataStream<?> q20(Streams site) {
    return site.auctions()
        .keyBy(a -> a.id)
        .connect(site.bids().keyBy(b -> b.auction))
        .process(new ExpandedBids());
  }

  static DataStream<?> q23(Streams site) {
    return site.events().keyBy(JoinQueries::userOf).process(new UserBids());
  }

  private static Long userOf(Event event) {
    if (event instanceof Bid bid) return bid.bidder;
    return event instanceof Auction auction ? auction.seller : ((Person) event).id;
  }

  private static final class LocalItems
      extends KeyedCoProcessFunction<
          Long, Tuple2<Long, Long>, Tuple4<Long, String, String, String>, Results.LocalItem> {
    private transient ValueState<Tuple3<String, String, String>> seller;
    private transient ListState<Long> waiting;

    @Override
    public void open(OpenContext context) {
      seller =
          getRuntimeContext()
              .getState(
                  new ValueStateDescriptor<>(
                      "seller", Types.TUPLE(Types.STRING, Types.STRING, Types.STRING)));
      waiting = getRuntimeContext().getListState(new ListStateDescriptor<>("waiting", Types.LONG));
    }

    @Override
    public void processElement1(
        Tuple2<Long, Long> auction, Context context, Collector<Results.LocalItem> out)
        throws Exception {
      Tuple3<String, String, String> person = seller.value();
      if (person == null) waiting.add(auction.f1);
      else out.collect(new Results.LocalItem(person.f0, person.f1, person.f2, auction.f1));
    }

    @Override
    public void processElement2(
        Tuple4<Long, String, String, String> person,
        Context context,
        Collector<Results.LocalItem> out)
        throws Exception {
      seller.update(Tuple3.of(person.f1, person.f2, person.f3));
      for (Long id : waiting.get())
        out.collect(new Results.LocalItem(person.f1, person.f2, person.f3, id));
      waiting.clear();
    }
  }

  private static final class Raises
      extends KeyedCoProcessFunction<
          Long,
          Tuple4<Long, Long, Long, Long>,
          Tuple3<Long, Long, Long>,
          Tuple3<Long, Long, Long>> {
    /** Category, time, end, highest bid or 0. */
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
        Collector<Tuple3<Long, Long, Long>> out)
        throws Exception {
      context.timerService().registerEventTimeTimer(auction.f3);
      long previous = 0;
      for (Tuple2<Long, Long> bid : early.take()) {
        if (bid.f1 < auction.f2 || bid.f1 > auction.f3 || bid.f0 <= previous) continue;
        out.collect(Tuple3.of(auction.f1, bid.f0, previous));
        previous = bid.f0;
      }
      open.update(Tuple4.of(auction.f1, auction.f2, auction.f3, previous));
    }

    @Override
    public void processElement2(
        Tuple3<Long, Long, Long> bid, Context context, Collector<Tuple3<Long, Long, Long>> out)
        throws Exception {
      Tuple4<Long, Long, Long, Long> auction = open.value();
      if (auction == null) {
        early.add(Tuple2.of(bid.f1, bid.f2), context.timerService());
        return;
      }
      if (bid.f2 < auction.f1 || bid.f2 > auction.f2 || bid.f1 <= auction.f3) return;
      open.update(Tuple4.of(auction.f0, auction.f1, auction.f2, bid.f1));
      out.collect(Tuple3.of(auction.f0, bid.f1, auction.f3));
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Tuple3<Long, Long, Long>> out)
        throws Exception {
      early.drop(timestamp, context.timerService());
      Tuple4<Long, Long, Long, Long> auction = open.value();
      if (auction != null && auction.f2 <= timestamp) open.clear();
    }
  }

  private static final class CategoryAverages
      extends KeyedProcessFunction<Long, Tuple3<Long, Long, Long>, Results.CategoryAverage> {
    /** Sum, auctions. */
    private transient ValueState<Tuple2<Long, Long>> total;

    @Override
    public void open(OpenContext context) {
      total = getRuntimeContext().getState(new ValueStateDescriptor<>("total", Offers.TOTAL));
    }

    @Override
    public void processElement(
        Tuple3<Long, Long, Long> raise, Context context, Collector<Results.CategoryAverage> out)
        throws Exception {
      Tuple2<Long, Long> after = Offers.addRaise(total.value(), raise);
      total.update(after);
      out.collect(new Results.CategoryAverage(raise.f0, after.f0 / after.f1));
    }
  }

  private static final class Sales
      extends KeyedCoProcessFunction<
          Long,
          Tuple4<Long, Long, Long, Long>,
          Tuple3<Long, Long, Long>,
          Tuple4<Long, Long, Long, Long>> {
    /** Seller, time, end, highest bid or 0. */
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
        Collector<Tuple4<Long, Long, Long, Long>> out)
        throws Exception {
      context.timerService().registerEventTimeTimer(auction.f3);
      long highest = 0;
      for (Tuple2<Long, Long> bid : early.take())
        if (bid.f1 >= auction.f2 && bid.f1 <= auction.f3) highest = Math.max(highest, bid.f0);
      open.update(Tuple4.of(auction.f1, auction.f2, auction.f3, highest));
    }

    @Override
    public void processElement2(
        Tuple3<Long, Long, Long> bid,
        Context context,
        Collector<Tuple4<Long, Long, Long, Long>> out)
        throws Exception {
      Tuple4<Long, Long, Long, Long> auction = open.value();
      if (auction == null) {
        early.add(Tuple2.of(bid.f1, bid.f2), context.timerService());
        return;
      }
      if (bid.f2 < auction.f1 || bid.f2 > auction.f2 || bid.f1 <= auction.f3) return;
      open.update(Tuple4.of(auction.f0, auction.f1, auction.f2, bid.f1));
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Tuple4<Long, Long, Long, Long>> out)
        throws Exception {
      early.drop(timestamp, context.timerService());
      Tuple4<Long, Long, Long, Long> auction = open.value();
      if (auction == null || auction.f2 > timestamp) return;
      if (auction.f3 > 0)
        out.collect(Tuple4.of(context.getCurrentKey(), auction.f0, auction.f3, timestamp));
      open.clear();
    }
  }

  /** Sales are auction, seller, price, time of closing. */
  private static final class SellerAverages
      extends KeyedProcessFunction<Long, Tuple4<Long, Long, Long, Long>, Results.SellerAverage> {
    private static final int SALES = 10;

    private transient ListState<Tuple4<Long, Long, Long, Long>> pending;
    private transient ValueState<List<Long>> prices;

    @Override
    public void open(OpenContext context) {
      pending = getRuntimeContext().getListState(new ListStateDescriptor<>("pending", Offers.AUCTION));
      prices =
          getRuntimeContext()
              .getState(new ValueStateDescriptor<>("prices", Types.LIST(Types.LONG)));
    }

    @Override
    public void processElement(
        Tuple4<Long, Long, Long, Long> sale,
        Context context,
        Collector<Results.SellerAverage> out)
        throws Exception {
      pending.add(sale);
      context.timerService().registerEventTimeTimer(sale.f3);
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Results.SellerAverage> out)
        throws Exception {
      List<Tuple4<Long, Long, Long, Long>> closing = new ArrayList<>();
      List<Tuple4<Long, Long, Long, Long>> later = new ArrayList<>();
      for (Tuple4<Long, Long, Long, Long> sale : pending.get())
        (sale.f3 == timestamp ? closing : later).add(sale);
      closing.sort(Comparator.comparing(sale -> sale.f0));
      List<Long> before = prices.value();
      List<Long> last = before == null ? new ArrayList<>() : new ArrayList<>(before);
      for (Tuple4<Long, Long, Long, Long> sale : closing) {
        last.add(sale.f2);
        if (last.size() > SALES) last.remove(0);
        long sum = 0;
        for (long price : last) sum += price;
        out.collect(new Results.SellerAverage(context.getCurrentKey(), sum / last.size()));
      }
      prices.update(last);
      pending.update(later);
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
        Auction auction, Context context, Collector<Results.WinningBid> out) throws Exception {
      open.update(auction);
      context.timerService().registerEventTimeTimer(auction.expires);
      Bid winner = null;
      for (Bid bid : early.take()) {
        if (!Offers.wins(bid, auction, winner)) continue;
        winner = bid;
        out.collect(Results.WinningBid.of(auction, bid));
      }
      if (winner != null) best.update(winner);
    }

    @Override
    public void processElement2(Bid bid, Context context, Collector<Results.WinningBid> out)
        throws Exception {
      Auction auction = open.value();
      if (auction == null) {
        early.add(bid, context.timerService());
        return;
      }
      if (!Offers.wins(bid, auction, best.value())) return;
      best.update(bid);
      out.collect(Results.WinningBid.of(auction, bid));
    }

    @Override
    public void onTimer(
        long timestamp, OnTimerContext context, Collector<Results.WinningBid> out)
        throws Exception {
      early.drop(timestamp, context.timerService());
      Auction auction = open.value();
      if (auction != null && auction.expires > timestamp) return;
      open.clear();
      best.clear();
    }
  }

  private static final class ExpandedBids
      extends KeyedCoProcessFunction<Long, Auction, Bid, Results.ExpandedBid> {
    private transient ValueState<Auction> open;
    /** The auction is there, and of another category: its bids need not wait. */
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
        Auction auction, Context context, Collector<Results.ExpandedBid> out) throws Exception {
      if (auction.category == 10) {
        open.update(auction);
        for (Bid bid : early.get()) out.collect(Results.ExpandedBid.of(bid, auction));
      } else {
        isOther.update(true);
      }
      early.clear();
    }

    @Override
    public void processElement2(Bid bid, Context context, Collector<Results.ExpandedBid> out)
        throws Exception {
      Auction auction = open.value();
      if (auction != null) out.collect(Results.ExpandedBid.of(bid, auction));
      else if (isOther.value() == null) early.add(bid);
    }
  }

  private static final class UserBids extends KeyedProcessFunction<Long, Event, Results.UserBid> {
    private transient ValueState<Person> who;
    private transient ListState<Auction> auctions;
    private transient ListState<Bid> bids;

    @Override
    public void open(OpenContext context) {
      who = getRuntimeContext().getState(new ValueStateDescriptor<>("person", Rows.PERSON));
      auctions =
          getRuntimeContext().getListState(new ListStateDescriptor<>("auctions", Rows.AUCTION));
      bids = getRuntimeContext().getListState(new ListStateDescriptor<>("bids", Rows.BID));
    }

    @Override
    public void processElement(Event event, Context context, Collector<Results.UserBid> out)
        throws Exception {
      if (event instanceof Bid bid) {
        bids.add(bid);
        Person person = who.value();
        if (person == null) return;
        for (Auction auction : auctions.get())
          out.collect(Results.UserBid.of(bid, person, auction));
      } else if (event instanceof Auction auction) {
        auctions.add(auction);
        Person person = who.value();
        if (person == null) return;
        for (Bid bid : bids.get()) out.collect(Results.UserBid.of(bid, person, auction));
      } else {
        Person person = (Person) event;
        who.update(person);
        for (Bid bid : bids.get())
          for (Auction auction : auctions.get())
            out.collect(Results.UserBid.of(bid, person, auction));
      }
    }
  }
}
