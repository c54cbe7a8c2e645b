"""Column lineage: which columns flow into which, explicitly and implicitly, through queries and pipelines."""

from payoff.data.lineage.analysis import flows
from payoff.data.lineage.flow import Flow, Flows, Grouping, Source, Threshold
from payoff.data.lineage.grouping import grouped
from payoff.data.lineage.pipeline import ROWS, Lineage, Opaque, declared, through

__all__ = [
    "ROWS", "Flow", "Flows", "Grouping", "Lineage", "Opaque", "Source", "Threshold", "declared", "flows", "grouped", "through",
]  # fmt: skip
