package millrace.nexmark;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.streaming.api.TimerService;

/** Bids that come before their auction does. They wait with a timer at the first one's time. */
final class EarlyBids<T> {
  private final ListState<T> state;
  private final ToLongFunction<T> timeOf;

  EarlyBids(ListState<T> state, ToLongFunction<T> timeOf) {
    this.state = state;
    this.timeOf = timeOf;
  }

  void add(T bid, TimerService timers) throws Exception {
    if (!state.get().iterator().hasNext()) timers.registerEventTimeTimer(timeOf.applyAsLong(bid));
    state.add(bid);
  }

  /** All that wait; they wait no longer. */
  List<T> take() throws Exception {
    List<T> bids = new ArrayList<>();
    for (T bid : state.get()) bids.add(bid);
    if (!bids.isEmpty()) state.clear();
    return bids;
  }

  /** Drops bids whose auction would be here if there were one; the others wait on. */
  void drop(long watermark, TimerService timers) throws Exception {
    List<T> later = new ArrayList<>();
    boolean hadAny = false;
    for (T bid : state.get()) {
      hadAny = true;
      if (timeOf.applyAsLong(bid) > watermark) later.add(bid);
    }
    if (!hadAny) return;
    state.update(later);
    if (!later.isEmpty()) timers.registerEventTimeTimer(timeOf.applyAsLong(later.get(0)));
  }
}
