"""What runs again, and why: the plan of a small project under changes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.plan import build, explain, keys, stages
from payoff.plan.stages import Plan
from payoff.records.artifact import Artifact
from payoff.records.charter import (
    Accept,
    Cell,
    Charter,
    CommonSolution,
    Costs,
    Decision,
    Objective,
    OutcomeSpec,
    SplitSpec,
    Stop,
)
from payoff.records.project import Environment, Git, Input, Project, SourceSpec, Step, Tracking
from payoff.records.state import Remembered, State


def charter() -> Charter:
    return Charter(
        objective=Objective("Keep more subscribers", "Head of Retention"),
        decision=Decision(
            question="Who gets an offer?",
            examples="examples",
            id="id",
            outcome=OutcomeSpec(column="churned", positive=True, means="cancels", name="churned"),
            per_year=1000,
        ),
        currency="EUR",
        cells=tuple(
            Cell(action=a, outcome=o, amount=Decimal(1)) for a in ("offer", "nothing") for o in ("churned", "stays")
        ),
        common_solutions=(CommonSolution(name="nobody", action="nothing"),),
        split=SplitSpec(by="hash", on="id", holdout=0.25),
        model_step="model",
        costs=Costs(),
        accept=Accept(),
        stop=Stop(),
        file="charter.toml",
        digest="charter-1",
    )


def step(name: str, *inputs: str, **more: Any) -> Step:
    return Step(
        name=name,
        kind="python",
        file="pipeline.py",
        line=1,
        inputs=tuple(Input(name=i, form="pandas") for i in inputs),
        output="pandas",
        code=f"code-{name}",
        parts={f"pipeline.{name}": f"code-{name}"},
        **more,
    )


def project(**changes: Any) -> Project:
    base = Project(
        id="p",
        name="p",
        root="/nowhere",
        charter=charter(),
        contracts=(),
        sources=(SourceSpec(table="customers", kind="files", options={"path": "c.csv"}),),
        environments=(
            Environment(
                name="default", folder=".", python="3.11", packages={"numpy": "2.0", "six": "1.16"}, digest="e1"
            ),
            Environment(name="train", folder="train", python="3.11", packages={"torch": "2.13"}, digest="t1"),
        ),
        steps=(
            step("clean", "customers"),
            step("examples", "clean"),
            step("model", "train", parameters={"max_iter": 100}, environment="train"),
            step("chart", "clean"),
        ),
        git=Git(commit="c", branch="main", dirty=False),
        tracking=Tracking(),
    )
    return msgspec.structs.replace(base, **changes)


class Memory:
    """Remembers whatever a plan would have run, as a run of it would."""

    def __init__(self) -> None:
        self.by_key: dict[str, Remembered] = {}
        self.latest: dict[str, Remembered] = {}
        self.too_few = ""

    def plan(
        self, given_project: Project, version: str | None = "v1", only: tuple[str, ...] = (), **parameters: Any
    ) -> Plan:
        values = {s.name: {**s.parameters, **parameters.get(s.name, {})} for s in given_project.steps}
        world = build.World(
            sources={s.table: ({"kind": "files"}, version) for s in given_project.sources},
            system={"machine": "x86_64"},
            recall=lambda asked: {k: self.by_key[k] for k in asked if k in self.by_key},
            has=lambda artifact: True,
        )
        return build.build(given_project, State(latest=self.latest), world, build.Request(parameters=values, only=only))

    def run(
        self, given_project: Project, version: str | None = "v1", content: str = "", **parameters: Any
    ) -> list[str]:
        """Run to the end: stages that may run are decided when what they need is there; answers what ran."""
        ran = []
        while True:
            plan = self.plan(given_project, version, **parameters)
            stale = [s for s in plan.stages if s.state == "run"]
            if not stale:
                return ran
            stage = stale[0]
            key = keys.key(stage.name, stage.facts)
            output = Artifact(id=f"{content or key}-{stage.name}", kind="table", file="", bytes=0)
            extra = {"holdout": {"id": f"holdout-{content or key}"}} if stage.name == "split" else {}
            extra |= (
                {"rows": {"id": f"rows-{content or key}"}, "too few": self.too_few} if stage.name == "set aside" else {}
            )
            done = Remembered(step=stage.name, key=key, run="r", output=output, facts=stage.facts, extra=extra)
            self.by_key[key] = self.latest[stage.name] = done
            ran.append(stage.name)


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.run(project())
    return memory


def test_a_first_run_does_everything_in_an_order_that_can_be_run() -> None:
    plan = Memory().plan(project())
    names = [stage.name for stage in plan.stages]
    assert set(names) == {
        "read:customers",
        "step:clean",
        "step:examples",
        "split",
        "step:model",
        "step:chart",
        "leaks",
        "score",
        "value",
        "set aside",
        "fit:model",
        "try out",
    }
    for position, stage in enumerate(plan.stages):
        assert set(stage.needs) <= set(names[:position])


def test_an_unchanged_project_has_nothing_to_do(memory: Memory) -> None:
    assert memory.plan(project()).nothing_to_do


def test_changed_code_marks_the_step_and_what_follows_and_names_the_function(memory: Memory) -> None:
    changed = project(
        steps=tuple(
            msgspec.structs.replace(s, code="new", parts={**s.parts, "lib.helper": "h2"}) if s.name == "clean" else s
            for s in project().steps
        )
    )
    stages = {s.name: s for s in memory.plan(changed).stages}
    assert stages["read:customers"].state == "reuse"
    assert stages["step:clean"].state == "run"
    assert stages["step:clean"].because == ("code of lib.helper changed",)
    assert stages["step:model"].state == "maybe"


def test_a_step_that_gives_the_same_content_stops_the_wave(memory: Memory) -> None:
    """Early cut-off: new code, same table, so nothing after it runs."""
    fresh = Memory()
    fresh.run(project(), content="same")
    changed = project(
        steps=tuple(msgspec.structs.replace(s, code="new") if s.name == "clean" else s for s in project().steps)
    )
    assert fresh.run(changed, content="same") == ["step:clean"]


def test_a_transitive_package_marks_the_steps_of_its_environment_only(memory: Memory) -> None:
    environments = (
        project().environments[0],
        msgspec.structs.replace(project().environments[1], packages={"torch": "2.13", "sympy": "1.14"}, digest="t2"),
    )
    stages = {s.name: s for s in memory.plan(project(environments=environments)).stages}
    assert stages["step:model"].because == ("package sympy: (none) -> 1.14",)
    assert {s.name for s in stages.values() if s.state == "reuse"} >= {"step:clean", "step:examples", "step:chart"}


def test_new_data_and_a_new_parameter_are_named(memory: Memory) -> None:
    assert memory.plan(project(), "v2").stages[0].because == ("version changed",)
    stages = {s.name: s for s in memory.plan(project(), model={"max_iter": 400}).stages}
    assert stages["step:model"].because == ("parameter max_iter: 100 -> 400",)
    assert stages["step:clean"].state == "reuse"


def test_a_source_without_a_version_is_read_on_every_run(memory: Memory) -> None:
    stage = memory.plan(project(), None).stages[0]
    assert stage.state == "run"
    assert stage.because == ("its source has no version: read on every run",)


def test_only_the_steps_asked_for_and_what_they_need() -> None:
    plan = Memory().plan(project(), only=("chart",))
    assert [s.name for s in plan.stages] == ["read:customers", "step:clean", "step:chart"]


def test_the_same_model_valued_after_another_is_valued_again(memory: Memory) -> None:
    """The looks at the holdout grew in between, so the interval is another."""
    memory.run(project(), model={"max_iter": 400})
    assert [s.name for s in memory.plan(project()).stages if s.state != "reuse"] == ["value"]


def test_what_lies_between_train_and_the_model_is_made_again_without_what_is_set_aside() -> None:
    steps = (step("examples", "clean"), step("scale", "train"), step("extra", "clean"), step("model", "scale", "extra"))
    changed = project(steps=(project().steps[0], *steps))
    plan = Memory().plan(changed)
    again = [stage for stage in plan.stages if isinstance(stage, stages.Refit)]
    assert [stage.name for stage in again] == ["fit:scale", "fit:model"]
    assert again[0].inputs == {"train": "fit:train"}
    assert again[1].inputs == {"scale": "fit:scale", "extra": "extra"}
    assert set(again[1].needs) == {"fit:scale", "step:extra"}
    assert not [stage for stage in plan.stages if stage.name == "fit:extra"], "it has nothing to do with train"


def test_nothing_is_set_aside_where_the_charter_says_so_or_where_it_said_nothing() -> None:
    never = project(charter=msgspec.structs.replace(charter(), recalibrate="never"))
    assert not {"set aside", "fit:model", "try out"} & {stage.name for stage in Memory().plan(never).stages}
    memory = Memory()
    memory.too_few = "3 rows"
    memory.run(project())
    plan = memory.plan(project())
    assert plan.nothing_to_do
    assert "fit:model" not in {stage.name for stage in plan.stages}


def test_every_stage_can_be_explained() -> None:
    plan = Memory().plan(project())
    assert len(explain.text(plan).splitlines()) == len(plan.stages)
    assert [s["name"] for s in explain.document(plan)["stages"]] == [s.name for s in plan.stages]


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_a_key_depends_on_facts_not_on_their_order(facts: dict[str, Any]) -> None:
    turned = dict(reversed(facts.items()))
    assert keys.key("s", facts) == keys.key("s", turned)
    assert keys.key("s", {**facts, "one more": 1}) != keys.key("s", facts)
