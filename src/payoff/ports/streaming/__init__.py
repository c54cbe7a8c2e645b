"""What streams need besides a broker: the form of their messages."""
