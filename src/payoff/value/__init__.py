"""What decisions are worth: payoffs, choices, intervals, the valuation of a holdout. Numbers only."""
