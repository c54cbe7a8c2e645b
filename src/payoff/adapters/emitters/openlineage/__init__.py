"""OpenLineage: run events with column facets, to a file (one event a line) or to a service by HTTP.

Events for a service are first kept in `.payoff/openlineage/`, a file for each run, and removed when it took them.
"""

from payoff.adapters.emitters.openlineage.emitter import Options, connect

__all__ = ["Options", "connect"]
