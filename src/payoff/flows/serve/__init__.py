"""What `payoff serve` and `payoff score` have: a model with its files, its promises and its charter."""
