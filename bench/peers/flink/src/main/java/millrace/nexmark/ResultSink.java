package millrace.nexmark;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/** Counts results and drops them, or writes them to a file as lines of JSON, to be compared. */
final class ResultSink implements Sink<Object> {
  private static final AtomicLong COUNT = new AtomicLong();

  /** Null: results are dropped. */
  private final String file;

  ResultSink(String file) {
    this.file = file;
  }

  /** How many results there were since it was last asked. */
  static long takeCount() {
    return COUNT.getAndSet(0);
  }

  @Override
  public SinkWriter<Object> createWriter(WriterInitContext context) throws IOException {
    return file == null ? new Counter() : new Dump(Files.newBufferedWriter(Path.of(file)));
  }

  private static final class Counter implements SinkWriter<Object> {
    private long count;

    @Override
    public void write(Object result, Context context) {
      count++;
    }

    @Override
    public void flush(boolean endOfInput) {
      if (!endOfInput) return;
      COUNT.addAndGet(count);
      count = 0;
      Stopwatch.end();
    }

    @Override
    public void close() {}
  }

  private static final class Dump implements SinkWriter<Object> {
    private final ObjectMapper json = new ObjectMapper();
    private final BufferedWriter out;

    Dump(BufferedWriter out) {
      this.out = out;
    }

    @Override
    public void write(Object result, Context context) throws IOException {
      ObjectNode node = json.valueToTree(result);
      if (result instanceof Bid) node.put("kind", "bid");
      out.write(node.toString());
      out.newLine();
    }

    @Override
    public void flush(boolean endOfInput) {
      if (endOfInput) Stopwatch.end();
    }

    @Override
    public void close() throws IOException {
      out.close();
    }
  }
}
