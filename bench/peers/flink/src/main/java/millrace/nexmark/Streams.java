package millrace.nexmark;

import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;

/** The one stream of events, its three parts, and how state is to be used. */
record Streams(DataStream<Event> events, boolean isAsync) {
  DataStream<Person> people() {
    return events
        .filter(event -> event instanceof Person)
        .map(event -> (Person) event)
        .returns(Rows.PERSON);
  }

  DataStream<Auction> auctions() {
    return events
        .filter(event -> event instanceof Auction)
        .map(event -> (Auction) event)
        .returns(Rows.AUCTION);
  }

  DataStream<Bid> bids() {
    return events.filter(event -> event instanceof Bid).map(event -> (Bid) event).returns(Rows.BID);
  }

  /** By key, with asynchronous state where the backend has it. */
  <T, K> KeyedStream<T, K> keyed(DataStream<T> stream, KeySelector<T, K> keyOf) {
    KeyedStream<T, K> keyed = stream.keyBy(keyOf);
    return isAsync ? keyed.enableAsyncState() : keyed;
  }
}
