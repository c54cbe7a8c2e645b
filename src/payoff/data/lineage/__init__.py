"""What the columns of a query depend on, values and implicit flows apart."""

from payoff.data.lineage.query import flows, grouped
from payoff.data.lineage.records import Flow, Flows, Grouping, Source

__all__ = ["Flow", "Flows", "Grouping", "Source", "flows", "grouped"]
