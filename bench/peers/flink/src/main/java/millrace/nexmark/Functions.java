package millrace.nexmark;

import java.time.Instant;
import java.time.LocalDate;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Scalar functions of the queries; those of bench/nexmark/functions.ts. All of time is in UTC. */
final class Functions {
  static final double EURO_PER_DOLLAR = 0.908;
  static final long SIDE_INPUT_ROWS = 10_000;

  private static final long MINUTE_MS = 60_000;
  private static final long HOUR_MS = 3_600_000;
  private static final long DAY_MS = 86_400_000;
  private static final Pattern CHANNEL_ID = Pattern.compile("(?:&|^)channel_id=([^&]*)");
  private static final ThreadLocal<Map<Long, String>> DAY_NAMES =
      ThreadLocal.withInitial(HashMap::new);
  private static final String[] MINUTE_NAMES = new String[(int) (DAY_MS / MINUTE_MS)];

  static {
    for (int minute = 0; minute < MINUTE_NAMES.length; minute++)
      MINUTE_NAMES[minute] = Instant.ofEpochMilli(minute * MINUTE_MS).toString().substring(11, 16);
  }

  private Functions() {}

  static String dayOf(long dateTime) {
    return DAY_NAMES
        .get()
        .computeIfAbsent(dateTime / DAY_MS, day -> LocalDate.ofEpochDay(day).toString());
  }

  static String minuteOf(long dateTime) {
    return MINUTE_NAMES[(int) (dateTime % DAY_MS / MINUTE_MS)];
  }

  static int countChar(String text, char character) {
    int count = 0;
    for (int at = text.indexOf(character); at != -1; at = text.indexOf(character, at + 1)) count++;
    return count;
  }

  static String bidTimeTypeOf(long dateTime) {
    long hour = dateTime % DAY_MS / HOUR_MS;
    if (hour >= 8 && hour <= 18) return "dayTime";
    return hour <= 6 || hour >= 20 ? "nightTime" : "otherTime";
  }

  /** Null where neither the channel nor the url tells. */
  static String channelIdOf(Bid bid) {
    switch (bid.channel.toLowerCase()) {
      case "apple":
        return "0";
      case "google":
        return "1";
      case "facebook":
        return "2";
      case "baidu":
        return "3";
      default:
        Matcher matcher = CHANNEL_ID.matcher(bid.url);
        return matcher.find() ? matcher.group(1) : null;
    }
  }

  static int rankOf(long price) {
    if (price < 10_000) return 1;
    return price < 1_000_000 ? 2 : 3;
  }

  static Map<Long, String> makeSideInput() {
    Map<Long, String> rows = new HashMap<>();
    for (long key = 0; key < SIDE_INPUT_ROWS; key++) rows.put(key, "side-" + key);
    return rows;
  }
}
