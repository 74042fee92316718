package millrace.nexmark;

/** One event of the site; times are milliseconds since the epoch. */
public abstract class Event {
  public final long dateTime;

  Event(long dateTime) {
    this.dateTime = dateTime;
  }
}
