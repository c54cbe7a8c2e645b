"""Hybrids of two runs in the laboratory: each thing from the side it is taken from, nothing executed twice, nothing told to anybody."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from payoff.flows.comparing import laboratory
from payoff.flows.comparing.hybrids import compose, measure
from payoff.flows.comparing.laboratory import Laboratory
from payoff.flows.comparing.place import Place
from payoff.flows.comparing.rebuilding import rebuild
from payoff.flows.opening import open_past
from payoff.flows.show import find
from payoff.records.hybrids.attribution import Factor, Measured

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTORS = (
    Factor(id="code:pipeline.Fitted", kind="code", name="Fitted"),
    Factor(id="code:pipeline.rates", kind="code", name="rates"),
    Factor(id="parameter:model.slope", kind="parameter", name="slope", a="0.35", b="0.55"),
    Factor(id="seed:model", kind="seed", name="model", a="7", b="8"),
    Factor(id="data:customers", kind="data", name="customers"),
    Factor(id="charter:costs.run_per_year", kind="code", name="costs.run_per_year", a="6000", b="5000"),
)


class Pair:
    """Two runs of the light project, rebuilt."""

    def __init__(self, light: Any, place: Place) -> None:
        self.light, self.place = light, place
        past = place.past
        self.runs = [each.run for each in past.kit.ledger.read(past.id).summaries]
        self.a, self.b = (rebuild(place, find(past, run)[0]) for run in (self.runs[-1], self.runs[0]))
        self.laboratory = Laboratory(place)

    def gain(self, *taken: str, factors: tuple[Factor, ...] = FACTORS, replicate: int = 0, metric: str = "gain") -> Measured:
        ask = measure(self.laboratory, self.a, self.b, factors, lambda _e, _p: "they do not resolve", metric=metric)
        return ask(frozenset(taken), replicate)


@pytest.fixture
def pair(twice: Any) -> Iterator[Pair]:
    with Place(open_past(str(twice.root))) as place:
        yield Pair(twice, place)


def test_the_ends_are_the_runs_and_every_part_moves_its_own(pair: Pair) -> None:
    gain_a, gain_b = (side.record.valuation.gain.mean for side in (pair.a, pair.b))
    assert pair.gain() == Measured(state="value", value=gain_a)
    assert pair.gain(*(each.id for each in FACTORS)) == Measured(state="value", value=gain_b)
    assert gain_a != gain_b
    alone = {each.id: pair.gain(each.id) for each in FACTORS}
    assert all(each.state == "value" for each in alone.values()), alone
    moved = {name for name, each in alone.items() if each.value != gain_a}
    assert moved == {"code:pipeline.Fitted", "parameter:model.slope", "data:customers", "charter:costs.run_per_year"}
    cheaper = pair.gain("charter:costs.run_per_year").value - gain_a
    assert cheaper == pytest.approx(float(pair.a.record.charter.costs.run_per_year) - 5000)
    # What is measured once is known, also to the next who asks, and of every metric.
    before = pair.laboratory.executions
    assert pair.gain("seed:model", metric="per_year.model").value == pytest.approx(pair.a.record.valuation.per_year["model"].mean)
    other = Laboratory(pair.place)
    assert pair.laboratory.executions == before
    pair.laboratory = other
    assert pair.gain("data:customers") == alone["data:customers"]
    assert other.executions == 0
    # Nobody is told of it.
    past = pair.place.past
    assert [each["run"] for each in pair.light.runs()] == pair.runs
    looks = past.kit.ledger.state(past.id).looks
    assert sorted(looks.values()) == [1, 1]
    pair.light.keeps_secrets()


def test_steps_that_were_computed_are_not_computed_again(pair: Pair) -> None:
    tried = compose(pair.place, pair.a, pair.b, FACTORS, ["code:pipeline.rates"], lambda *_: "")
    steps = {each.name: each.state for each in laboratory.execute(pair.place, tried, again="stale").steps}
    assert steps == {"examples": "reused", "rates": "ran", "model": "ran"}
    steps = {each.name: each.state for each in laboratory.execute(pair.place, tried, again="stale").steps}
    assert set(steps.values()) == {"reused"}
    record = laboratory.execute(pair.place, tried, again="varying")
    assert {each.name: each.state for each in (*record.steps, *record.stages) if each.state == "reused"}.keys() <= {
        "read:customers", "check:customers", "split", "leaks", "set aside",
    }  # fmt: skip
    assert {each.name: each.state for each in record.steps} == {"examples": "ran", "rates": "ran", "model": "ran"}


def test_settings_parameters_and_variables_are_from_their_side(pair: Pair) -> None:
    variable = Factor(id="system:env:OMP_NUM_THREADS", kind="system", name="OMP_NUM_THREADS", a="1", b="")
    known = (*FACTORS, variable)
    tried = compose(pair.place, pair.a, pair.b, known, ["seed:model", "parameter:model.slope"], lambda *_: "")
    model = tried.project.step("model")
    assert (model.seed, tried.parameters["model"]["slope"], tried.variables["OMP_NUM_THREADS"]) == (8, 0.55, "1")
    assert tried.tables["customers"].id == pair.a.tables["customers"].id
    other = compose(pair.place, pair.a, pair.b, known, ["system:env:OMP_NUM_THREADS", "data:customers"], lambda *_: "")
    assert other.project.step("model").seed == 7
    assert other.variables["OMP_NUM_THREADS"] == ""
    assert other.tables["customers"].id == pair.b.tables["customers"].id
    assert other.identity != tried.identity
    again = compose(pair.place, pair.a, pair.b, known, ["parameter:model.slope", "seed:model"], lambda *_: "")
    assert again.identity == tried.identity


def test_a_variable_reaches_the_steps_and_no_result_of_another_is_taken_over(twice: Any) -> None:
    twice.change("pipeline.py", "    return Fitted(slope)", "    import os\n    return Fitted(float(os.environ.get('SLOPE') or slope))")
    run = twice.run()["run"]
    past = open_past(str(twice.root))
    with Place(past) as place:
        built = rebuild(place, find(past, run)[0])
        factors = (Factor(id="system:env:SLOPE", kind="system", name="SLOPE", a="", b="0.7"), FACTORS[3])
        ask = measure(Laboratory(place), built, built, factors, lambda *_: "")
        gain = built.record.valuation.gain.mean
        assert ask(frozenset(), 0).value == gain
        assert ask(frozenset(["system:env:SLOPE"]), 0).value != gain


def test_packages_that_do_not_resolve_are_unknown(pair: Pair) -> None:
    package = Factor(id="package:default:pyarrow", kind="package", name="pyarrow", a="1", b="2")
    found = pair.gain("package:default:pyarrow", factors=(*FACTORS, package, replace(package, id="package:default:numpy")))
    assert found == Measured(state="unknown", error="they do not resolve")


def test_packages_come_from_who_makes_environments(pair: Pair) -> None:
    asked = []
    one = Factor(id="package:default:pyarrow", kind="package", name="pyarrow", a="1", b="2")
    two = Factor(id="package:default:numpy", kind="package", name="numpy", a="1", b="")

    def make(environment: Any, packages: dict[str, str]) -> Any:
        asked.append((Path(environment.folder).is_absolute(), packages))
        return replace(environment, digest="other")

    tried = compose(pair.place, pair.a, pair.b, (*FACTORS, one, two), ["package:default:numpy"], make)
    assert asked == [(True, {"numpy": ""})]
    assert tried.project.environment("default").digest == "other"
    whole = compose(pair.place, pair.a, pair.b, (*FACTORS, one, two), ["package:default:numpy", "package:default:pyarrow"], make)
    assert len(asked) == 1
    assert whole.project.environment("default").folder == str(pair.b.root)


def test_a_failure_is_an_outcome(twice: Any) -> None:
    twice.change("pipeline.py", "    assert rates.num_rows > 1", "    raise KeyError('x')")
    twice.run(code=2)
    with Place(open_past(str(twice.root))) as place:
        pair = Pair(twice, place)
        model = Factor(id="code:pipeline.model", kind="code", name="model")
        known = (*FACTORS, model)
        assert pair.gain(*(each.id for each in known), factors=known) == Measured(state="failed", error="KeyError in model")
        assert pair.gain("code:pipeline.model", factors=known) == Measured(state="failed", error="KeyError in model")
        assert pair.gain("seed:model", factors=known).state == "value"
        assert pair.gain(metric="nonsense", factors=known) == Measured(state="failed", error="no metric nonsense")


def test_parts_that_do_not_fit_together_are_unknown(twice: Any) -> None:
    (twice.root / "sql/more.sql").write_text("select * from train\n")
    twice.change("pipeline.py", "def model(train: pa.Table, rates: pa.Table,", "def model(train: pa.Table, more: pa.Table, rates: pa.Table,")
    twice.run()
    with Place(open_past(str(twice.root))) as place:
        pair = Pair(twice, place)
        known = (*FACTORS, Factor(id="code:pipeline.model", kind="code", name="model"), Factor(id="code:sql/more.sql", kind="code", name="more"))
        found = pair.gain("code:pipeline.model", factors=known)
        assert found.state == "unknown"
        assert "more" in found.error
        assert pair.gain("code:pipeline.model", "code:sql/more.sql", factors=known).state == "value"


def test_a_column_that_one_run_did_not_read_is_no_failure_of_the_hybrid(twice: Any) -> None:
    twice.change("sql/examples.sql", "churned, name", "churned, name, upper(plan) as plan")
    text = (twice.root / "data/customers.csv").read_text().splitlines()
    twice.write("data/customers.csv", "\n".join(f"{line},{'plan' if not n else 'basic'}" for n, line in enumerate(text)) + "\n")
    twice.run()
    with Place(open_past(str(twice.root))) as place:
        pair = Pair(twice, place)
        known = (*FACTORS, Factor(id="code:sql/examples.sql", kind="code", name="examples"))
        found = pair.gain("code:sql/examples.sql", factors=known)
        assert found == Measured(state="unknown", error="the snapshot of customers lacks plan: the run that it is from did not read that")
        assert pair.gain("code:sql/examples.sql", "data:customers", factors=known).state == "value"


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from test_hybrids import *
past = open_past({root!r})
with Place(past) as place:
    first, second = (each.run for each in past.kit.ledger.read(past.id).summaries[::-1])
    a, b = (rebuild(place, find(past, run)[0]) for run in (first, second))
    ask = measure(Laboratory(place), a, b, FACTORS, lambda *_: "")
    for each in ((), *((f.id,) for f in FACTORS)):
        print(ask(frozenset(each), 0), flush=True)
"""


def test_a_kill_loses_nothing_that_was_measured(twice: Any) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(twice.root))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with process:
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGKILL)
    assert all("value" in line for line in lines)
    left = list((twice.root / ".payoff/laboratory/work").iterdir())
    assert left
    past = open_past(str(twice.root))
    with Place(past) as place:
        assert not any(each.exists() for each in left)
        pair = Pair(twice, place)
        assert pair.gain().state == pair.gain(FACTORS[0].id).state == "value"
        assert pair.laboratory.executions == 0
