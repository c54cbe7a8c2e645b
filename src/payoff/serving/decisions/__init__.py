"""What a server decides: actions by their expected payoff, and quantities."""
