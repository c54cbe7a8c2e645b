"""Earlier runs executed again, from what is kept of them."""
