package millrace.nexmark;

/** What the queries yield; fields are named as in bench/nexmark. */
final class Results {
  private Results() {}

  record Passed(long auction, long bidder, long price, long dateTime, String extra) {}

  record Converted(long auction, long bidder, double price, long dateTime, String extra) {}

  record Selected(long auction, long price) {}

  record LocalItem(String name, String city, String state, long id) {}

  record CategoryAverage(long category, long average) {}

  record HotItem(long auction, long num, long start) {}

  record SellerAverage(long seller, long average) {}

  record Newcomer(long id, String name, long start) {}

  record BidderWindow(long bidder, long count, long start, long end) {}

  record Annotated(long auction, long bidder, long price, long dateTime, String value) {}

  record Calculated(
      long auction,
      long bidder,
      double price,
      String bidTimeType,
      long dateTime,
      String extra,
      int cCounts) {}

  record BidStatistics(
      long totalBids,
      long rank1Bids,
      long rank2Bids,
      long rank3Bids,
      long totalBidders,
      long rank1Bidders,
      long rank2Bidders,
      long rank3Bidders,
      long totalAuctions,
      long rank1Auctions,
      long rank2Auctions,
      long rank3Auctions) {
    static BidStatistics of(long[] s) {
      return new BidStatistics(
          s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]);
    }
  }

  record DayStatistics(String day, BidStatistics statistics) {}

  record ChannelStatistics(String channel, String day, String minute, BidStatistics statistics) {}

  record AuctionStatistics(
      long auction,
      String day,
      long totalBids,
      long rank1Bids,
      long rank2Bids,
      long rank3Bids,
      long minPrice,
      long maxPrice,
      long avgPrice,
      long sumPrice) {}

  record RankedBid(
      long auction,
      long bidder,
      long price,
      String channel,
      String url,
      long dateTime,
      String extra,
      int rank) {
    static RankedBid of(Bid bid, int rank) {
      return new RankedBid(
          bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.dateTime, bid.extra, rank);
    }
  }

  record WinningBid(
      long id,
      String itemName,
      String description,
      long initialBid,
      long reserve,
      long dateTime,
      long expires,
      long seller,
      long category,
      String extra,
      long auction,
      long bidder,
      long price,
      long bidDateTime,
      String bidExtra) {
    static WinningBid of(Auction auction, Bid bid) {
      return new WinningBid(
          auction.id,
          auction.itemName,
          auction.description,
          auction.initialBid,
          auction.reserve,
          auction.dateTime,
          auction.expires,
          auction.seller,
          auction.category,
          auction.extra,
          bid.auction,
          bid.bidder,
          bid.price,
          bid.dateTime,
          bid.extra);
    }
  }

  record ExpandedBid(
      long auction,
      long bidder,
      long price,
      String channel,
      String url,
      long bidDateTime,
      String bidExtra,
      String itemName,
      String description,
      long initialBid,
      long reserve,
      long auctionDateTime,
      long expires,
      long seller,
      long category,
      String auctionExtra) {
    static ExpandedBid of(Bid bid, Auction auction) {
      return new ExpandedBid(
          bid.auction,
          bid.bidder,
          bid.price,
          bid.channel,
          bid.url,
          bid.dateTime,
          bid.extra,
          auction.itemName,
          auction.description,
          auction.initialBid,
          auction.reserve,
          auction.dateTime,
          auction.expires,
          auction.seller,
          auction.category,
          auction.extra);
    }
  }

  record ChannelBid(long auction, long bidder, long price, String channel, String channelId) {}

  record BidDirectories(
      long auction,
      long bidder,
      long price,
      String channel,
      String dir1,
      String dir2,
      String dir3) {}

  record UserBid(
      long bidder,
      long price,
      String channel,
      String url,
      String bidExtra,
      long personId,
      String name,
      String emailAddress,
      String creditCard,
      String city,
      String state,
      String personExtra,
      String itemName,
      String description,
      long initialBid,
      long reserve,
      long auctionDateTime,
      long expires,
      long seller,
      long category,
      String auctionExtra) {
    static UserBid of(Bid bid, Person person, Auction auction) {
      return new UserBid(
          bid.bidder,
          bid.price,
          bid.channel,
          bid.url,
          bid.extra,
          person.id,
          person.name,
          person.emailAddress,
          person.creditCard,
          person.city,
          person.state,
          person.extra,
          auction.itemName,
          auction.description,
          auction.initialBid,
          auction.reserve,
          auction.dateTime,
          auction.expires,
          auction.seller,
          auction.category,
          auction.extra);
    }
  }
}
