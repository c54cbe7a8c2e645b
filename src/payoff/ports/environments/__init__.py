"""What environments are made of, and made into."""
