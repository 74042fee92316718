package millrace.nexmark;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.serialization.Encoder;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.sink.filesystem.BucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.SimpleVersionedStringSerializer;
import org.apache.flink.util.Collector;

/** Queries that keep nothing. */
final class StatelessQueries {
  private StatelessQueries() {}

  static DataStream<?> q0(Streams site) {
    return site.bids()
        .map(b -> new Results.Passed(b.auction, b.bidder, b.price, b.dateTime, b.extra));
  }

  static DataStream<?> q1(Streams site) {
    return site.bids()
        .map(
            b ->
                new Results.Converted(
                    b.auction,
                    b.bidder,
                    Functions.EURO_PER_DOLLAR * b.price,
                    b.dateTime,
                    b.extra));
  }

  static DataStream<?> q2(Streams site) {
    return site.bids()
        .filter(b -> b.auction % 123 == 0)
        .map(b -> new Results.Selected(b.auction, b.price));
  }

  static DataStream<?> q13(Streams site) {
    return site.bids().flatMap(new SideInputJoin());
  }

  static DataStream<?> q14(Streams site) {
    return site.bids()
        .filter(
            b -> {
              double euro = Functions.EURO_PER_DOLLAR * b.price;
              return euro > 1_000_000 && euro < 50_000_000;
            })
        .map(
            b ->
                new Results.Calculated(
                    b.auction,
                    b.bidder,
                    Functions.EURO_PER_DOLLAR * b.price,
                    Functions.bidTimeTypeOf(b.dateTime),
                    b.dateTime,
                    b.extra,
                    Functions.countChar(b.extra, 'c')));
  }

  static DataStream<?> q21(Streams site) {
    return site.bids()
        .map(
            b ->
                new Results.ChannelBid(
                    b.auction, b.bidder, b.price, b.channel, Functions.channelIdOf(b)))
        .filter(bid -> bid.channelId() != null);
  }

  static DataStream<?> q22(Streams site) {
    return site.bids()
        .map(
            b -> {
              String[] parts = b.url.split("/");
              return new Results.BidDirectories(
                  b.auction, b.bidder, b.price, b.channel, part(parts, 3), part(parts, 4),
                  part(parts, 5));
            });
  }

  private static String part(String[] parts, int at) {
    return at < parts.length ? parts[at] : null;
  }

  /** CSV files by day and minute. Without checkpoints Flink never gives them their final names. */
  static void q10(Streams site, String dir) {
    site.bids()
        .map(new EndMarker())
        .returns(Rows.BID)
        .sinkTo(
            FileSink.forRowFormat(new Path(dir), new CsvEncoder())
                .withBucketAssigner(new ByMinute())
                .build());
  }

  private static final class SideInputJoin extends RichFlatMapFunction<Bid, Results.Annotated> {
    private transient Map<Long, String> table;

    @Override
    public void open(OpenContext context) {
      table = Functions.makeSideInput();
    }

    @Override
    public void flatMap(Bid b, Collector<Results.Annotated> out) {
      String value = table.get(b.auction % Functions.SIDE_INPUT_ROWS);
      if (value != null)
        out.collect(new Results.Annotated(b.auction, b.bidder, b.price, b.dateTime, value));
    }
  }

  /** The file sink is not ours: what is chained before it is closed when the sink has finished. */
  private static final class EndMarker extends RichMapFunction<Bid, Bid> {
    @Override
    public Bid map(Bid bid) {
      return bid;
    }

    @Override
    public void close() {
      Stopwatch.end();
    }
  }

  private static final class CsvEncoder implements Encoder<Bid> {
    private final StringBuilder row = new StringBuilder();

    @Override
    public void encode(Bid b, OutputStream out) throws IOException {
      row.setLength(0);
      row.append(b.auction).append(',').append(b.bidder).append(',').append(b.price).append(',');
      row.append(Instant.ofEpochMilli(b.dateTime)).append(',');
      row.append(b.extra).append(',').append(Functions.dayOf(b.dateTime)).append(',');
      row.append(Functions.minuteOf(b.dateTime)).append('\n');
      out.write(row.toString().getBytes(StandardCharsets.UTF_8));
    }
  }

  private static final class ByMinute implements BucketAssigner<Bid, String> {
    @Override
    public String getBucketId(Bid bid, Context context) {
      return "dt="
          + Functions.dayOf(bid.dateTime)
          + "/hm="
          + Functions.minuteOf(bid.dateTime).replace(':', '-');
    }

    @Override
    public SimpleVersionedSerializer<String> getSerializer() {
      return SimpleVersionedStringSerializer.INSTANCE;
    }
  }
}
