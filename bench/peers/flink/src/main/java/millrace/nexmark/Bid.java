package millrace.nexmark;

public final class Bid extends Event {
  public final long auction;
  public final long bidder;
  public final long price;
  public final String channel;
  public final String url;
  public final String extra;

  Bid(
      long auction,
      long bidder,
      long price,
      String channel,
      String url,
      long dateTime,
      String extra) {
    super(dateTime);
    this.auction = auction;
    this.bidder = bidder;
    this.price = price;
    this.channel = channel;
    this.url = url;
    this.extra = extra;
  }
}
