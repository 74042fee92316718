package millrace.nexmark;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/**
 * The events in memory. Runs of 1,024 are dealt out to subtasks in turn, so that all advance through event time together; a reader knows its
 * share by its number and needs no splits. Not for restoring.
 */
final class EventSource implements Source<Event, EventSource.NoSplit, Void> {
  private static final int RUN = 1024;
  /** Events handed over between two looks at the mailbox. */
  private static final int POLL = 128;

  /** Of this process: every job in it reads the same. */
  static Event[] events = new Event[0];

  @Override
  public Boundedness getBoundedness() {
    return Boundedness.BOUNDED;
  }

  @Override
  public SourceReader<Event, NoSplit> createReader(SourceReaderContext context) {
    return new Reader(context.getIndexOfSubtask(), context.currentParallelism());
  }

  private static final class Reader implements SourceReader<Event, NoSplit> {
    private final int step;
    private int at;
    private int end;

    Reader(int subtask, int parallelism) {
      at = subtask * RUN;
      end = Math.min(events.length, at + RUN);
      step = (parallelism - 1) * RUN;
    }

    @Override
    public InputStatus pollNext(ReaderOutput<Event> output) {
      Stopwatch.start();
      if (at >= events.length) return InputStatus.END_OF_INPUT;
      int until = Math.min(at + POLL, end);
      while (at < until) output.collect(events[at++]);
      if (at == end) {
        at += step;
        end = Math.min(events.length, at + RUN);
      }
      return InputStatus.MORE_AVAILABLE;
    }

    @Override
    public void start() {}

    @Override
    public List<NoSplit> snapshotState(long checkpointId) {
      return List.of();
    }

    @Override
    public CompletableFuture<Void> isAvailable() {
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public void addSplits(List<NoSplit> splits) {}

    @Override
    public void notifyNoMoreSplits() {}

    @Override
    public void close() {}
  }

  static final class NoSplit implements SourceSplit {
    @Override
    public String splitId() {
      return "none";
    }
  }

  @Override
  public SplitEnumerator<NoSplit, Void> createEnumerator(SplitEnumeratorContext<NoSplit> context) {
    return new SplitEnumerator<>() {
      @Override
      public void start() {}

      @Override
      public void handleSplitRequest(int subtask, String host) {}

      @Override
      public void addSplitsBack(List<NoSplit> splits, int subtask) {}

      @Override
      public void addReader(int subtask) {
        context.signalNoMoreSplits(subtask);
      }

      @Override
      public Void snapshotState(long checkpointId) {
        return null;
      }

      @Override
      public void close() {}
    };
  }

  @Override
  public SplitEnumerator<NoSplit, Void> restoreEnumerator(
      SplitEnumeratorContext<NoSplit> context, Void checkpoint) {
    return createEnumerator(context);
  }

  @Override
  public SimpleVersionedSerializer<NoSplit> getSplitSerializer() {
    return new Nothing<>();
  }

  @Override
  public SimpleVersionedSerializer<Void> getEnumeratorCheckpointSerializer() {
    return new Nothing<>();
  }

  private static final class Nothing<T> implements SimpleVersionedSerializer<T> {
    @Override
    public int getVersion() {
      return 1;
    }

    @Override
    public byte[] serialize(T value) {
      return new byte[0];
    }

    @Override
    public T deserialize(int version, byte[] bytes) {
      return null;
    }
  }
}
