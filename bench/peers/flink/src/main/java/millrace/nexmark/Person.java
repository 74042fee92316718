package millrace.nexmark;

public final class Person extends Event {
  public final long id;
  public final String name;
  public final String emailAddress;
  public final String creditCard;
  public final String city;
  public final String state;
  public final String extra;

  Person(
      long id,
      String name,
      String emailAddress,
      String creditCard,
      String city,
      String state,
      long dateTime,
      String extra) {
    super(dateTime);
    this.id = id;
    this.name = name;
    this.emailAddress = emailAddress;
    this.creditCard = creditCard;
    this.city = city;
    this.state = state;
    this.extra = extra;
  }
}
