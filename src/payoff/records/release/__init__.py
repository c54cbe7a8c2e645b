"""What is released: an image, and the record that says what is in it and why it may go anywhere."""
