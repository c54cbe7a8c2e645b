"""What is given away of people, counted."""
