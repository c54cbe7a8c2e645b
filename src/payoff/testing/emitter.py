"""The contract suite of emitters.

Inherit it in a test file and name the adapter; pytest does the rest. The options have to lead to a service that is not there, so
that what is promised of one that fails is tried.

    class TestMyEmitter(EmitterSuite):
        adapter = "payoff.emitters:mine"
        options = {"url": "http://127.0.0.1:9"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from payoff.base.clock import stopwatch
from payoff.records.artifact import Field
from payoff.records.emission import Dataset, Emission, Job, Parent
from payoff.records.evidence import CheckResult
from payoff.records.project import Git
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.tracker import Emitter

SECONDS = 6.0


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Emitter:
    """The emitter that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    emitter: Emitter = module.connect(root, module.Options(**options))
    return emitter


def sample_emission(run: str = "r1", error: str = "") -> Emission:
    """A run that read `customers` and made `examples` of it."""
    kind = Field("age", "int64").type
    check = CheckResult(
        table="customers", check="unique", column="age", passed=not error, failed=1 if error else 0, rows=3
    )
    customers = Dataset(
        name="customers",
        address="postgresql://host:5432/shop",
        version="t1",
        rows=3,
        documentation="Who buys",
        fields=(("age", kind), ("region", "string")),
        labels={"age": "confidential", "region": "internal"},
        checks=(check,),
    )
    parents = (
        Parent(table="customers", column="age", control=False),
        Parent(table="customers", column="region", control=True, ways=("filter",)),
    )
    examples = Dataset(
        name="examples", version="t2", rows=2, bytes=99, fields=(("age", kind),), parents={"age": parents}
    )
    job = Job(
        name="examples",
        language="sql",
        file="sql/examples.sql",
        inputs=("customers",),
        output="examples",
        sql="select age from customers where region = 'N'",
        error=error,
    )
    return Emission(
        project="p" * 8,
        name="churn",
        run=run,
        started="2026-11-23T14:41:05.123Z",
        finished="2026-11-23T14:41:11.623Z",
        version="0.1.0",
        documentation="Keep customers",
        git=Git(commit="d" * 40, branch="main", dirty=False),
        inputs=("customers",),
        outputs=("examples",),
        jobs=(job,),
        datasets={"customers": customers, "examples": examples},
        error=error,
    )


class EmitterSuite:
    """What every emitter does for a service that is not there."""

    adapter: ClassVar[str] = ""
    options: ClassVar[dict[str, Any]] = {}

    def test_a_service_that_is_not_there_is_a_warning_in_time(self, tmp_path: Path) -> None:
        """It is told, nothing raises, and the run does not wait long."""
        began = stopwatch()
        found = connect(self.adapter, tmp_path, self.options).emit(sample_emission())
        assert stopwatch() - began < SECONDS
        assert found is not None
        assert found.severity == "warning"

    def test_what_was_not_delivered_is_kept(self, tmp_path: Path) -> None:
        """The next run warns of it, too: it is not forgotten."""
        connect(self.adapter, tmp_path, self.options).emit(sample_emission())
        assert connect(self.adapter, tmp_path, self.options).catch_up() is not None

    def test_nothing_to_tell_is_no_warning(self, tmp_path: Path) -> None:
        """A service that is not needed is not asked."""
        assert connect(self.adapter, tmp_path, self.options).catch_up() is None
