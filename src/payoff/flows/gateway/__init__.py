"""`payoff gateway`: what readers in other zones may read of this project's tables, and that they did."""

from payoff.flows.gateway.offers import Offers
from payoff.flows.gateway.reading import Answer, Asked, Reading, Shape

__all__ = ["Answer", "Asked", "Offers", "Reading", "Shape"]
