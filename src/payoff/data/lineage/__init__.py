"""Column lineage of one query: which columns flow into which, explicitly and implicitly. Over a project it is joined up by `data.labels`."""

from payoff.data.lineage.analysis import flows
from payoff.data.lineage.flow import Flow, Flows, Grouping, Source, Threshold, Way
from payoff.data.lineage.grouping import grouped

__all__ = ["Flow", "Flows", "Grouping", "Source", "Threshold", "Way", "flows", "grouped"]
