"""What `payoff serve` and `payoff score` have: a model with its files, its promises and its charter."""

from payoff.flows.serve.offer import Offer, offer

__all__ = ["Offer", "offer"]
