package millrace.nexmark;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Runs queries over an event file as often as it is told: `EVENTS-FILE PARALLELISM key=value...`, the pairs being options of Flink's. Each line of standard
 * input is `run QUERY DIR` or `dump QUERY DIR FILE`, DIR being for files that the query writes, and is answered by a line of JSON.
 */
public final class Main {
  private static final Map<String, Function<Streams, DataStream<?>>> QUERIES = new HashMap<>();
  /** Those that read state asynchronously in functions of ours; windows of Flink's do so themselves. */
  private static final Map<String, Function<Streams, DataStream<?>>> ASYNC = new HashMap<>();

  static {
    QUERIES.put("q0", StatelessQueries::q0);
    QUERIES.put("q1", StatelessQueries::q1);
    QUERIES.put("q2", StatelessQueries::q2);
    QUERIES.put("q3", JoinQueries::q3);
    QUERIES.put("q4", JoinQueries::q4);
    QUERIES.put("q5", WindowQueries::q5);
    QUERIES.put("q6", JoinQueries::q6);
    QUERIES.put("q7", WindowQueries::q7);
    QUERIES.put("q8", WindowQueries::q8);
    QUERIES.put("q9", JoinQueries::q9);
    QUERIES.put("q11", WindowQueries::q11);
    QUERIES.put("q12", WindowQueries::q12);
    QUERIES.put("q13", StatelessQueries::q13);
    QUERIES.put("q14", StatelessQueries::q14);
    QUERIES.put("q15", StatisticsQueries::q15);
    QUERIES.put("q16", StatisticsQueries::q16);
    QUERIES.put("q17", StatisticsQueries::q17);
    QUERIES.put("q18", StatisticsQueries::q18);
    QUERIES.put("q19", StatisticsQueries::q19);
    QUERIES.put("q20", JoinQueries::q20);
    QUERIES.put("q21", StatelessQueries::q21);
    QUERIES.put("q22", StatelessQueries::q22);
    QUERIES.put("q23", JoinQueries::q23);
    ASYNC.put("q4", AsyncQueries::q4);
    ASYNC.put("q9", AsyncQueries::q9);
    ASYNC.put("q16", AsyncQueries::q16);
    ASYNC.put("q18", AsyncQueries::q18);
    ASYNC.put("q19", AsyncQueries::q19);
    ASYNC.put("q20", AsyncQueries::q20);
  }

  private final int parallelism;
  private final Configuration options;
  private final boolean isAsync;

  private Main(int parallelism, Configuration options) {
    this.parallelism = parallelism;
    this.options = options;
    this.isAsync = options.getString("state.backend.type", "").equals("forst");
  }

  public static void main(String[] args) throws Exception {
    EventSource.events = EventFile.read(Path.of(args[0]));
    Map<String, String> pairs = new HashMap<>();
    for (int i = 2; i < args.length; i++) {
      int at = args[i].indexOf('=');
      pairs.put(args[i].substring(0, at), args[i].substring(at + 1));
    }
    Main main = new Main(Integer.parseInt(args[1]), Configuration.fromMap(pairs));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ");
      System.out.println(main.run(words[1], words[2], words.length > 3 ? words[3] : null));
    }
    System.exit(0);
  }

  private String run(String query, String dir, String resultFile) throws Exception {
    System.gc();
    Stopwatch.reset();
    StreamExecutionEnvironment env =
        StreamExecutionEnvironment.createLocalEnvironment(parallelism, options);
    Streams site = new Streams(eventsIn(env), isAsync);
    if (query.equals("q10")) StatelessQueries.q10(site, dir);
    else results(queryOf(query).apply(site)).sinkTo(new ResultSink(resultFile));
    env.execute(query);
    return json(ResultSink.takeCount());
  }

  private Function<Streams, DataStream<?>> queryOf(String query) {
    Function<Streams, DataStream<?>> known = isAsync ? ASYNC.get(query) : null;
    return known == null ? QUERIES.get(query) : known;
  }

  /** A sink takes what its stream has; ours takes anything. */
  @SuppressWarnings("unchecked")
  private static DataStream<Object> results(DataStream<?> stream) {
    return (DataStream<Object>) stream;
  }

  private static DataStream<Event> eventsIn(StreamExecutionEnvironment env) {
    return env.fromSource(
        new EventSource(),
        WatermarkStrategy.<Event>forBoundedOutOfOrderness(Duration.ofSeconds(4))
            .withTimestampAssigner((event, previous) -> event.dateTime),
        "events",
        Rows.EVENT);
  }

  private static String json(long results) throws IOException {
    return String.format(
        "{\"seconds\":%f,\"cpuSeconds\":%f,\"results\":%d,\"peakRssBytes\":%d}",
        Stopwatch.seconds(), Stopwatch.cpuSeconds(), results, Stopwatch.peakRssBytes());
  }
}
