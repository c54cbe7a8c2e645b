"""The order of steps: who needs whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payoff.records.project import Project, Step

TRAIN = "train"
# What is left of train when a part was set aside, and what is made of it (no name of a user's: those are identifiers).
FIT, ASIDE, TRIED = "fit:", "aside:rows", "aside:scores"
# What the model says of the holdout, and what that is worth.
SCORES, PREDICTIONS = "holdout:scores", "holdout:predictions"


def needed_steps(project: Project, only: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """All steps (or those that `only` need), inputs before users (the loader saw to it that there is no cycle)."""
    order: dict[str, Step] = {}

    def visit(name: str) -> None:
        if name == TRAIN:
            name = project.charter.decision.examples
        step = project.step(name)
        if step is None or name in order:
            return
        for each in step.inputs:
            visit(each.name)
        order[name] = step

    for name in only or [step.name for step in project.steps]:
        visit(name)
    return tuple(order.values())


def sources_of(
    project: Project, steps: tuple[Step, ...], *, split: bool = True, written: bool = False
) -> tuple[str, ...]:
    """The sources that the steps read (with `split` the examples too, with `written` those that go to sinks), and those their contracts refer to, in the order of use."""
    names = [each.name for step in steps for each in step.inputs if project.source(each.name)]
    examples = project.charter.decision.examples
    if project.source(examples) and split:
        names.append(examples)
    names += [sink.table for sink in project.sinks if written and project.source(sink.table)]
    for name in list(names):
        contract = project.contract(name)
        if contract:
            names += [c.references[0] for c in contract.columns if c.references and project.source(c.references[0])]
    return tuple(dict.fromkeys(names))


def consumers(steps: tuple[Step, ...], table: str) -> tuple[Step, ...]:
    """The steps that take a table."""
    return tuple(step for step in steps if any(each.name == table for each in step.inputs))


def made_of_train(project: Project) -> tuple[Step, ...]:
    """The steps from train to the model, the model's own last: those that would come out otherwise with another train."""
    derived: list[Step] = []
    names = {TRAIN}
    for step in needed_steps(project, (project.charter.model_step,)):
        if any(each.name in names for each in step.inputs):
            derived.append(step)
            names.add(step.name)
    return tuple(derived)


def compiled_early(project: Project, steps: tuple[Step, ...], pushed: frozenset[str] = frozenset()) -> frozenset[str]:
    """The lazy steps whose query can be known before any row is read: all they take are sources and other such steps.

    `pushed` are those whose query is known and runs elsewhere.
    """
    known: set[str] = set()
    for step in steps:
        if (
            step.lazy
            and step.name not in pushed
            and all(project.source(each.name) or each.name in known for each in step.inputs)
        ):
            known.add(step.name)
    return frozenset(known)
