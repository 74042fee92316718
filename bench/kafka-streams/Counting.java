import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.lang.management.ManagementFactory;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/** The job of bench/kafka-job.ts in Kafka Streams: exactly-once, state in memory with a changelog topic, a commit every second. */
public final class Counting {
  public static void main(String[] args) throws Exception {
    String brokers = args[0];
    String input = args[1];
    String output = args[2];
    long records = Long.parseLong(args[3]);
    ObjectMapper json = new ObjectMapper();
    long[] seen = {0};
    CountDownLatch done = new CountDownLatch(1);

    StreamsBuilder builder = new StreamsBuilder();
    var strings = Serdes.String();
    builder.stream(input, Consumed.with(strings, strings))
        .groupByKey(Grouped.with(strings, strings))
        .aggregate(
            () -> "",
            (key, value, total) -> add(json, value, total),
            Materialized.<String, String>as(Stores.inMemoryKeyValueStore("totals"))
                .withKeySerde(strings)
                .withValueSerde(strings)
                .withCachingDisabled())
        .toStream()
        .peek((key, value) -> {
          if (++seen[0] == records) done.countDown();
        })
        .to(output, Produced.with(strings, strings));

    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-" + System.nanoTime());
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put("auto.offset.reset", "earliest");
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);

    long started = System.nanoTime();
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.start();
    done.await();
    streams.close();
    double seconds = (System.nanoTime() - started) / 1e9;
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    System.out.println(
        "{\"seconds\":" + seconds + ",\"cpuSeconds\":" + system.getProcessCpuTime() / 1e9 + "}");
  }

  private static String add(ObjectMapper json, String value, String total) {
    try {
      JsonNode event = json.readTree(value);
      ObjectNode result = json.createObjectNode();
      long count = 0;
      long sum = 0;
      if (!total.isEmpty()) {
        JsonNode before = json.readTree(total);
        count = before.get("count").asLong();
        sum = before.get("sum").asLong();
      }
      result.put("key", event.get("key").asText());
      result.put("count", count + 1);
      result.put("sum", sum + event.get("amount").asLong());
      return json.writeValueAsString(result);
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }
}
