package millrace.nexmark;

public final class Auction extends Event {
  public final long id;
  public final String itemName;
  public final String description;
  public final long initialBid;
  public final long reserve;
  public final long expires;
  public final long seller;
  public final long category;
  public final String extra;

  Auction(
      long id,
      String itemName,
      String description,
      long initialBid,
      long reserve,
      long dateTime,
      long expires,
      long seller,
      long category,
      String extra) {
    super(dateTime);
    this.id = id;
    this.itemName = itemName;
    this.description = description;
    this.initialBid = initialBid;
    this.reserve = reserve;
    this.expires = expires;
    this.seller = seller;
    this.category = category;
    this.extra = extra;
  }
}
