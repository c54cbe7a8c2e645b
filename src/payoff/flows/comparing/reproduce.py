"""`payoff reproduce RUN`: rebuild a run, execute all of it again, and say whether the same comes out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from payoff.base import switches
from payoff.flows.comparing import laboratory
from payoff.flows.comparing.place import Place, find_anywhere
from payoff.flows.comparing.rebuilding import rebuild
from payoff.flows.opening import open_past
from payoff.plan import graph
from payoff.ports.observer import silent
from payoff.records.answers.reproduce import Reproduced
from payoff.reproduction import again

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.ports.observer import Observer
    from payoff.records.answers.reproduce import ReproduceRequest
    from payoff.records.project import Project
    from payoff.records.run import RunRecord

CONFIDENCE = 0.99


def reproduce(request: ReproduceRequest, tell: Observer = silent) -> Reproduced:
    """Execute a run again from what is kept of it, everything in it, and hold the two against each other.

    Where the first execution is not the same, it is executed further, at most `replicates` times in all, until it is clear whether executions differ
    among themselves. The record of the first is kept in the laboratory's ledger.
    """
    past = open_past(request.project)
    record = find_anywhere(past, request.run)
    with Place(past) as place:
        built = rebuild(place, record)
        experiment = built.experiment
        executions: list[RunRecord] = []
        with _Environ(experiment.variables):
            while not executions or not (again.settled(record, executions) or len(executions) >= request.replicates):
                executions.append(
                    laboratory.execute(place, experiment, again="everything", tell=tell, command=request.command)
                )
                if len(executions) == 1:
                    place.ledger.append(executions[0])
    compared = again.compare(record, executions, _inputs(built.project), _expect, confidence=CONFIDENCE)
    return Reproduced(
        run=record.run,
        again=executions[0].run,
        verdict=compared.verdict,
        currency=record.valuation.currency if record.valuation else "",
        steps=compared.steps,
        figures=compared.figures,
        executions=len(executions),
        confidence=CONFIDENCE,
        failed="" if record.valuation else laboratory.failure(record),
        seconds=executions[0].seconds,
        run_seconds=record.seconds,
        notes=built.notes,
    )


class _Environ:
    """The switches of numerical libraries as the run had them, for our own arithmetic too: the last bit of an interval's bound hangs on the number of
    threads. It reaches libraries that are loaded within.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.before: dict[str, str] = {}

    def __enter__(self) -> None:
        self.before = {name: os.environ.pop(name) for name in switches.NAMES if name in os.environ}
        os.environ.update({name: value for name, value in self.variables.items() if value})

    def __exit__(self, *_: object) -> None:
        for name in switches.NAMES:
            os.environ.pop(name, None)
        os.environ.update(self.before)


def _expect(values: Sequence[float], confidence: float) -> tuple[float, float]:
    from payoff.value.repeated.prediction import prediction  # brings scipy, and most runs come out the same

    return prediction(values, confidence)


def _inputs(project: Project) -> dict[str, tuple[str, ...]]:
    """The stages that each stage takes something from, by the names that they have in records."""
    examples, model = project.charter.decision.examples, project.charter.model_step

    def maker(table: str) -> str:
        if table == graph.TRAIN:
            return "split"
        return table if project.step(table) is not None else f"read:{table}"

    found = {step.name: tuple(maker(each.name) for each in step.inputs) for step in project.steps}
    derived = {step.name for step in graph.made_of_train(project)} if model else set()
    for name in derived:
        again_of = [f"{graph.FIT}{each}" if each in derived else each for each in found[name] if each != "split"]
        found[f"{graph.FIT}{name}"] = ("set aside", *again_of)
    tables = {source.table for source in project.sources} | {step.name for step in project.steps}
    found |= {f"check:{table}": (maker(table),) for table in tables}
    found |= {"split": (maker(examples),), "leaks": ("split",), "set aside": ("split",), "score": (model, "split")}
    return found | {"try out": (f"{graph.FIT}{model}",), "value": ("score", "try out")}
