"""`payoff data`: a file for each question about the project's tables."""
