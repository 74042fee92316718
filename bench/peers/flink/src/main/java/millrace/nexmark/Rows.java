package millrace.nexmark;

import java.io.IOException;
import java.util.Objects;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.types.StringValue;

/** Types and serializers of events, written by hand: they cost less than those that Flink derives for POJOs. Rows never change, so copies are free. */
final class Rows {
  static final TypeInformation<Event> EVENT = new RowType<>(Event.class, new EventSerializer());
  static final TypeInformation<Person> PERSON = new RowType<>(Person.class, new PersonSerializer());
  static final TypeInformation<Auction> AUCTION =
      new RowType<>(Auction.class, new AuctionSerializer());
  static final TypeInformation<Bid> BID = new RowType<>(Bid.class, new BidSerializer());

  private Rows() {}

  private static String text(DataInputView in) throws IOException {
    return StringValue.readString(in);
  }

  private static void text(String text, DataOutputView out) throws IOException {
    StringValue.writeString(text, out);
  }

  abstract static class RowSerializer<T> extends TypeSerializer<T> {
    @Override
    public boolean isImmutableType() {
      return true;
    }

    @Override
    public TypeSerializer<T> duplicate() {
      return this;
    }

    @Override
    public T createInstance() {
      return null;
    }

    @Override
    public T copy(T from) {
      return from;
    }

    @Override
    public T copy(T from, T reuse) {
      return from;
    }

    @Override
    public int getLength() {
      return -1;
    }

    @Override
    public T deserialize(T reuse, DataInputView in) throws IOException {
      return deserialize(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
      serialize(deserialize(in), out);
    }

    @Override
    public boolean equals(Object other) {
      return other != null && other.getClass() == getClass();
    }

    @Override
    public int hashCode() {
      return getClass().hashCode();
    }
  }

  static final class BidSerializer extends RowSerializer<Bid> {
    @Override
    public void serialize(Bid bid, DataOutputView out) throws IOException {
      out.writeLong(bid.auction);
      out.writeLong(bid.bidder);
      out.writeLong(bid.price);
      out.writeLong(bid.dateTime);
      text(bid.channel, out);
      text(bid.url, out);
      text(bid.extra, out);
    }

    @Override
    public Bid deserialize(DataInputView in) throws IOException {
      long auction = in.readLong();
      long bidder = in.readLong();
      long price = in.readLong();
      long dateTime = in.readLong();
      return new Bid(auction, bidder, price, text(in), text(in), dateTime, text(in));
    }

    @Override
    public TypeSerializerSnapshot<Bid> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Bid> {
      public Snapshot() {
        super(BidSerializer::new);
      }
    }
  }

  static final class AuctionSerializer extends RowSerializer<Auction> {
    @Override
    public void serialize(Auction auction, DataOutputView out) throws IOException {
      out.writeLong(auction.id);
      out.writeLong(auction.initialBid);
      out.writeLong(auction.reserve);
      out.writeLong(auction.dateTime);
      out.writeLong(auction.expires);
      out.writeLong(auction.seller);
      out.writeLong(auction.category);
      text(auction.itemName, out);
      text(auction.description, out);
      text(auction.extra, out);
    }

    @Override
    public Auction deserialize(DataInputView in) throws IOException {
      long id = in.readLong();
      long initialBid = in.readLong();
      long reserve = in.readLong();
      long dateTime = in.readLong();
      long expires = in.readLong();
      long seller = in.readLong();
      long category = in.readLong();
      String name = text(in);
      String description = text(in);
      return new Auction(
          id, name, description, initialBid, reserve, dateTime, expires, seller, category, text(in));
    }

    @Override
    public TypeSerializerSnapshot<Auction> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Auction> {
      public Snapshot() {
        super(AuctionSerializer::new);
      }
    }
  }

  static final class PersonSerializer extends RowSerializer<Person> {
    @Override
    public void serialize(Person person, DataOutputView out) throws IOException {
      out.writeLong(person.id);
      out.writeLong(person.dateTime);
      text(person.name, out);
      text(person.emailAddress, out);
      text(person.creditCard, out);
      text(person.city, out);
      text(person.state, out);
      text(person.extra, out);
    }

    @Override
    public Person deserialize(DataInputView in) throws IOException {
      long id = in.readLong();
      long dateTime = in.readLong();
      return new Person(
          id, text(in), text(in), text(in), text(in), text(in), dateTime, text(in));
    }

    @Override
    public TypeSerializerSnapshot<Person> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Person> {
      public Snapshot() {
        super(PersonSerializer::new);
      }
    }
  }

  static final class EventSerializer extends RowSerializer<Event> {
    private final BidSerializer bids = new BidSerializer();
    private final AuctionSerializer auctions = new AuctionSerializer();
    private final PersonSerializer people = new PersonSerializer();

    @Override
    public void serialize(Event event, DataOutputView out) throws IOException {
      if (event instanceof Bid bid) {
        out.writeByte(2);
        bids.serialize(bid, out);
      } else if (event instanceof Auction auction) {
        out.writeByte(1);
        auctions.serialize(auction, out);
      } else {
        out.writeByte(0);
        people.serialize((Person) event, out);
      }
    }

    @Override
    public Event deserialize(DataInputView in) throws IOException {
      int kind = in.readByte();
      if (kind == 2) return bids.deserialize(in);
      return kind == 1 ? auctions.deserialize(in) : people.deserialize(in);
    }

    @Override
    public TypeSerializerSnapshot<Event> snapshotConfiguration() {
      return new Snapshot();
    }

    public static final class Snapshot extends SimpleTypeSerializerSnapshot<Event> {
      public Snapshot() {
        super(EventSerializer::new);
      }
    }
  }

  private static final class RowType<T> extends TypeInformation<T> {
    private final Class<T> type;
    private final TypeSerializer<T> serializer;

    RowType(Class<T> type, TypeSerializer<T> serializer) {
      this.type = type;
      this.serializer = serializer;
    }

    @Override
    public boolean isBasicType() {
      return false;
    }

    @Override
    public boolean isTupleType() {
      return false;
    }

    @Override
    public int getArity() {
      return 1;
    }

    @Override
    public int getTotalFields() {
      return 1;
    }

    @Override
    public Class<T> getTypeClass() {
      return type;
    }

    @Override
    public boolean isKeyType() {
      return false;
    }

    @Override
    public TypeSerializer<T> createSerializer(SerializerConfig config) {
      return serializer;
    }

    @Override
    public String toString() {
      return type.getSimpleName();
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof RowType<?> row && row.type == type;
    }

    @Override
    public int hashCode() {
      return Objects.hash(type);
    }

    @Override
    public boolean canEqual(Object other) {
      return other instanceof RowType<?>;
    }
  }
}
