package millrace.nexmark;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Reads an event file; the layout is in bench/nexmark/README.md. */
final class EventFile {
  private static final int HEADER_BYTES = 64;
  private static final int KIND_PERSON = 0;
  private static final int KIND_AUCTION = 1;

  private final ByteBuffer bytes;
  private final Map<String, String> shared = new HashMap<>();

  private EventFile(ByteBuffer bytes) {
    this.bytes = bytes.order(ByteOrder.LITTLE_ENDIAN);
  }

  static Event[] read(Path path) throws IOException {
    try (FileChannel file = FileChannel.open(path)) {
      return new EventFile(file.map(FileChannel.MapMode.READ_ONLY, 0, file.size())).rows();
    }
  }

  private Event[] rows() {
    Event[] events = new Event[Math.toIntExact(bytes.getLong(8))];
    bytes.position(HEADER_BYTES);
    for (int n = 0; n < events.length; n++) {
      bytes.getInt();
      events[n] = row(bytes.get(), bytes.getLong());
    }
    if (bytes.hasRemaining()) throw new IllegalArgumentException("more rows than the header says");
    return events;
  }

  private Event row(int kind, long dateTime) {
    if (kind == KIND_PERSON)
      return new Person(
          bytes.getLong(), text(), text(), text(), sharedText(), sharedText(), dateTime, text());
    if (kind == KIND_AUCTION) return auction(dateTime);
    return new Bid(
        bytes.getLong(),
        bytes.getLong(),
        bytes.getLong(),
        sharedText(),
        sharedText(),
        dateTime,
        text());
  }

  private Auction auction(long dateTime) {
    long id = bytes.getLong();
    long initialBid = bytes.getLong();
    long reserve = bytes.getLong();
    long expires = bytes.getLong();
    long seller = bytes.getLong();
    long category = bytes.getLong();
    return new Auction(
        id, text(), text(), initialBid, reserve, dateTime, expires, seller, category, text());
  }

  private String text() {
    byte[] chars = new byte[Short.toUnsignedInt(bytes.getShort())];
    bytes.get(chars);
    return new String(chars, StandardCharsets.ISO_8859_1);
  }

  /** Of texts of which there are few. */
  private String sharedText() {
    String text = text();
    String known = shared.putIfAbsent(text, text);
    return known == null ? text : known;
  }
}
