"""What steps read past Payoff, and what is said of a project besides its code, is a factor of its own: nothing of it is blamed on another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from payoff.flows.comparing.hybrids import compose
from payoff.flows.comparing.place import Place
from payoff.flows.comparing.rebuilding import rebuild, sides
from payoff.flows.opening import open_past
from payoff.flows.show import find
from payoff.records.project import Environment
from payoff.reproduction.factors import factors

if TYPE_CHECKING:
    from collections.abc import Iterator

def ask(light: Any, *words: str) -> Any:
    return json.loads(light.command("why", *words, "--json").stdout)


def causes(found: Any) -> list[tuple[str, str]]:
    return [(each["kind"], each["name"]) for each in found["causes"]]


def test_a_file_that_a_step_reads_and_no_source_is(light: Any) -> None:
    (light.root / "tuning").mkdir()
    (light.root / "tuning/model.json").write_text('{"slope": 0.35}')
    (light.root / "tuning/unused.csv").write_text("a\n1\n")
    light.change("pipeline.py", "    return Fitted(slope)", "    import json\n    return Fitted(json.load(open('tuning/model.json'))['slope'])")
    first = light.run()["run"]
    (light.root / "tuning/model.json").write_text('{"slope": 0.6}')
    (light.root / "tuning/unused.csv").write_text("a\n2\n")
    (light.root / "NOTES.md").write_text("of no importance\n")
    light.change("pipeline.py", '("churned", "count")', '("churned", "max")')
    light.change("pipeline.py", "seed=7", "seed=8")
    light.change("pipeline.py", "import json\n", "import json  # read here\n")
    second = light.run()["run"]
    found = ask(light, first, second)
    assert causes(found) == [("code", "tuning/model.json")]
    assert found["verdict"] == "explained"
    assert {each["id"] for each in found["factors"]} == {
        "seed:model", "code:pipeline.rates", "file:tuning/model.json", "file:tuning/unused.csv", "file:*",
    }  # fmt: skip
    assert found["executions"] <= found["bound"]


def test_a_contract_and_a_join_are_files_of_their_own(light: Any) -> None:
    with open(light.root / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(
            '\n[sources.ratings]\nkind = "files"\npath = "data/ratings.csv"\n[joins.known]\nrows = "customers"\nat = "since"\n'
            '[joins.known.as_of.ratings]\nby = ["customer_id"]\nvalid = "from"\ncolumns = ["score"]\n'
        )
    rows = (light.root / "data/customers.csv").read_text().splitlines()
    light.write("data/customers.csv", "\n".join([f"{rows[0]},since", *(f"{row},2026-03-01" for row in rows[1:])]) + "\n")
    ids = [row.partition(",")[0] for row in rows[1:]]
    scores = [f"{each},{day},{n % 4 if day < '2026-02' else 1}" for n, each in enumerate(ids) for day in ("2026-01-01", "2026-02-15")]
    (light.root / "data/ratings.csv").write_text("\n".join(["customer_id,from,score", *scores]) + "\n")
    light.change("sql/examples.sql", "churned, name", "churned, name, score")
    light.change("sql/examples.sql", "from customers", "from known")
    light.change("pipeline.py", '("calls_to_support", "late_payments", "tenure")', '("calls_to_support", "score", "tenure")')
    light.change("pipeline.py", "0.7 * l +", "0.7 * (l or 0) +")
    first = light.run(code=None)["run"]
    light.change("payoff.toml", 'columns = ["score"]', 'columns = ["score"]\nwithin = "10 days"')
    light.change("pipeline.py", "seed=7", "seed=8")
    light.append("contracts/customers.yaml", "# said more\n")
    second = light.run(code=None)["run"]
    found = ask(light, first, second)
    assert causes(found) == [("code", "payoff.toml ([joins.known])")], found
    assert found["verdict"] == "explained"
    assert "file:contracts/customers.yaml" in found["innocent"]


class Two:
    """Two runs, rebuilt, with all that differs between them."""

    def __init__(self, light: Any, place: Place) -> None:
        self.place, past = place, place.past
        runs = [each.run for each in past.kit.ledger.read(past.id).summaries]
        self.a, self.b = (rebuild(place, find(past, run)[0]) for run in (runs[1], runs[0]))
        self.found = factors(*sides(place, self.a, self.b))

    def of(self, *taken: str) -> Any:
        return compose(self.place, self.a, self.b, self.found, taken, lambda *_: "they do not resolve")


@pytest.fixture
def settings(light: Any) -> Iterator[Two]:
    """B has a parameter more, an environment more, and runs its model in that."""
    other = light.root / "envs/other"
    light.change("pipeline.py", "def model(train: pa.Table, rates: pa.Table, *, slope: float = 0.35):", "def model(train: pa.Table, rates: pa.Table, *, slope: float = 0.35, lift: float = 0.1):")
    light.change("pipeline.py", "return Fitted(slope)", "return Fitted(slope + lift)")
    light.change("pipeline.py", "@step(seed=7)", '@step(seed=7, environment="other")')
    other.mkdir(parents=True)
    for name in ("pyproject.toml", "uv.lock"):
        (other / name).write_text((light.root / name).read_text())
    light.append("payoff.toml", '[environments.other]\nfolder = "envs/other"\n')
    light.run("-p", "lift=0.4")
    with Place(open_past(str(light.root))) as place:
        yield Two(light, place)


def test_what_only_one_side_has(settings: Two) -> None:
    assert {each.id for each in settings.found} == {"code:pipeline.model", "system:environment:model"}
    tried = settings.of("code:pipeline.model")
    assert tried.parameters["model"] == {"slope": 0.35, "lift": 0.4}  # as B's run had it, not as its code says
    step = tried.project.step("model")
    assert step.environment == "default"
    tried = settings.of("system:environment:model")
    assert tried.project.step("model").environment == "other"
    other = tried.project.environment("other")
    assert isinstance(other, Environment)
    assert other.folder == str(settings.b.root / "envs/other")
    assert tried.project.environment("default").folder == str(settings.a.root)
    assert replace(other, folder="") == replace(settings.b.project.environment("other"), folder="")
