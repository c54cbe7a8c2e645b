"""Labels of columns: what they say, how steps pass them on, where a column may go, and how a label is lowered."""

from payoff.data.labels.flow import Labelled, Made, propagate
from payoff.data.labels.lattice import Labels, join
from payoff.data.labels.rules import Breach, Use, breaches

__all__ = ["Breach", "Labelled", "Labels", "Made", "Use", "breaches", "join", "propagate"]
