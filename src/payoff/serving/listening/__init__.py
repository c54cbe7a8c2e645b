"""What a client meets first: connections, TLS, and the limits of what comes in by them."""
