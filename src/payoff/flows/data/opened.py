"""What every question about tables begins with: the project, its labels, and what runs recorded of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.data.labels import epsilon
from payoff.execute import ahead, governing
from payoff.flows import parameters
from payoff.flows.data import labels
from payoff.flows.opening import open_project
from payoff.plan.graph import TRAIN
from payoff.plan.stages import Plan
from payoff.records.catalog import Told
from payoff.records.label import CLASSIFICATIONS

if TYPE_CHECKING:
    from payoff.data.labels import Labelled
    from payoff.flows.opening import Opened
    from payoff.records.artifact import Artifact
    from payoff.records.label import Label
    from payoff.records.project import Project
    from payoff.records.run import RunRecord

MOST_RUNS = 1000
MOST_EVENTS = 1_000_000_000  # all that there are


class Catalog:
    """A project's tables. What runs recorded is read once; labels are worked out when they are first asked for."""

    def __init__(self, project: str | Opened | None) -> None:
        self.opened: Opened = open_project(project) if project is None or isinstance(project, str) else project
        self._labelled: Labelled | None = None
        self._records: tuple[RunRecord, ...] | None = None

    @property
    def project(self) -> Project:
        """The project."""
        return self.opened.project

    @property
    def names(self) -> tuple[str, ...]:
        """The tables: sources first, then steps (models apart) in the order of their making."""
        project = self.project
        made = [
            step.name for step in project.steps if step.output != "object" and step.name != project.charter.model_step
        ]
        return (*(source.table for source in project.sources), *made)

    def known(self, table: str) -> str:
        """A name that is a table's; `train` is one, too."""
        if table not in (*self.names, TRAIN):
            raise UserError(
                f"the project has no table {table!r}",
                code="PO-R140",
                expected=did_you_mean(table, self.names),
                remedy="payoff data ls lists them",
            )
        return table

    @property
    def labelled(self) -> Labelled:
        """The labels of all columns."""
        if self._labelled is None:
            project, kit = self.project, self.opened.kit
            context = labels.context_of(project, kit, Plan(stages=(), parameters=parameters.resolve(project, {})))
            try:
                ahead.look(context)
            finally:
                if kit.made("executor"):
                    kit.executor.close()
            self._labelled = governing.label(project, labels.facts_of(context))
        return self._labelled

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """The records of the newest runs, the oldest first."""
        if self._records is None:
            ledger, project = self.opened.kit.ledger, self.opened.id
            names = [
                each.run for each in ledger.read(project, limit=MOST_RUNS).summaries if each.status != "unfinished"
            ]
            self._records = tuple(ledger.read(project, name).entries[-1].record for name in reversed(names))
        return self._records

    def told(self, table: str) -> list[Told]:
        """The versions of a table that were made with noise, and those that its budget did not let be made, the oldest first."""
        events = self.opened.kit.ledger.read(self.opened.id, event=epsilon.EVENT, limit=MOST_EVENTS).events
        found = (msgspec.convert(body, Told) for _, body in events)
        return [each for each in found if not table or each.table == table]

    def shows(self, label: Label) -> bool:
        """True when values under this label may stand on a screen, in a sample or a report: at most `[labels] shown`."""
        return label.level <= CLASSIFICATIONS.index(self.project.shown)

    def newest(self, table: str) -> tuple[RunRecord, Artifact] | None:
        """The newest run that had the table, and the version that it had."""
        return next(((each, each.tables[table]) for each in reversed(self.records) if table in each.tables), None)
