"""`payoff gateway`: who may read, and the project as its files say it now; the room `gateway` serves it."""

from payoff.flows.gateway.offers import Offers

__all__ = ["Offers"]
