"""`payoff reproduce`: a run rebuilt from git and the store and executed again, whatever became of its files, its branch and its sources."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from msgspec.structs import replace

from payoff.base.errors import PayoffError
from payoff.flows.comparing.place import Place
from payoff.flows.comparing.reproduce import reproduce
from payoff.flows.opening import open_past
from payoff.flows.show import find
from payoff.records.answers.reproduce import ReproduceRequest
from payoff.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.records.answers.reproduce import Reproduced

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "reproduce.json"


def again(light: Any, run: str = "latest", **more: Any) -> Reproduced:
    return reproduce(ReproduceRequest(project=str(light.root), run=run, **more))


def refused(light: Any, code: str, run: str = "latest") -> PayoffError:
    with pytest.raises(PayoffError) as caught:
        again(light, run)
    assert caught.value.code == code, caught.value
    assert caught.value.expected
    assert caught.value.remedy
    return caught.value


def git(light: Any, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=light.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def forget(light: Any) -> None:
    """What nothing holds on to is gone from the repository."""
    git(light, "reflog", "expire", "--expire=now", "--all")
    git(light, "gc", "--quiet", "--prune=now")


def test_the_same_comes_out_and_nothing_else_happens(light: Any) -> None:
    past = open_past(str(light.root))
    looks = past.kit.ledger.state(past.id).looks
    assert looks
    (light.root / "data/customers.csv").unlink()
    light.write("pipeline.py", "nonsense(")
    answer = json.loads(light.payoff("reproduce", light.first["run"], "--json"))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(answer)
    assert (answer["verdict"], answer["executions"]) == ("exact", 1)
    assert {step["name"] for step in answer["steps"]} >= {"read:customers", "examples", "rates", "model", "split", "score", "value"}
    assert {step["same"] for step in answer["steps"]} == {"exact"}
    money = {each["name"]: each for each in answer["figures"]}
    assert money["gain"]["a"] == money["gain"]["b"] == light.first["per_year"]["gain"]["mean"]
    assert money["gain.low"]["b"] == light.first["per_year"]["gain"]["low"]
    light.mend()
    assert [each["run"] for each in light.runs()] == [light.first["run"]]
    assert past.kit.ledger.state(past.id).looks == looks
    with Place(past) as place:
        kept = place.ledger.read(past.id, answer["again"]).entries[-1].record
    assert kept.valuation.gain.mean == money["gain"]["a"]
    assert list((light.root / ".payoff/laboratory/work").iterdir()) == []
    light.keeps_secrets()


def test_a_commit_that_no_branch_has_any_more_is_kept_by_the_run(light: Any) -> None:
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.45")
    git(light, "commit", "--quiet", "--all", "--message", "another slope")
    run = light.run()["run"]
    git(light, "reset", "--quiet", "--hard", "HEAD~1")
    forget(light)
    screen = light.payoff("reproduce", run)
    assert "Exact: executed again, every table, model, metric and amount is the same to the last bit." in " ".join(screen.split())
    assert git(light, "branch", "--format=%(refname)") == "refs/heads/main"
    git(light, "update-ref", "-d", f"refs/payoff/runs/{run}")
    forget(light)
    assert run in refused(light, "PO-Q002", run).what


def test_what_was_never_committed_is_kept_too(light: Any) -> None:
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.45")
    run = light.run("-p", "slope=0.5")["run"]
    git(light, "checkout", "--quiet", ".")
    forget(light)
    answer = again(light, run)
    assert answer.verdict == "exact"
    past = open_past(str(light.root))
    assert find(past, run)[0].parameters["model"] == {"slope": 0.5}
    assert not git(light, "stash", "list")


def test_a_snapshot_that_is_gone_is_said(light: Any) -> None:
    record = find(open_past(str(light.root)), "latest")[0]
    (light.root / ".payoff/store" / record.tables["customers"].file).unlink()
    error = refused(light, "PO-Q004")
    assert "customers" in error.what
    assert error.exit_code == 2


def test_a_lock_that_git_does_not_keep_is_said(light: Any) -> None:
    (light.root / ".gitignore").write_text((light.root / ".gitignore").read_text() + "uv.lock\n")
    git(light, "rm", "--quiet", "--cached", "uv.lock")
    git(light, "commit", "--quiet", "--all", "--message", "no lock")
    light.change("pipeline.py", "slope: float = 0.35", "slope: float = 0.45")
    light.run()
    assert "uv.lock" in refused(light, "PO-Q005").what


def test_a_failure_that_fails_in_the_same_way_is_exact(light: Any) -> None:
    light.change("pipeline.py", "    assert rates.num_rows > 1\n", "    raise ValueError('not today')\n")
    light.run(code=2)
    light.mend()
    answer = again(light)
    assert answer.verdict == "exact"
    assert answer.failed.startswith("ValueError in model (message ")


def test_a_refusal_by_a_contract_is_refused_again(light: Any) -> None:
    light.append("data/customers.csv", f"1,10,1,0,100.0,true,x\n")
    light.run(code=1)
    assert again(light).verdict == "exact"


def test_a_model_that_holds_the_time_is_the_same_model(light: Any) -> None:
    light.change("pipeline.py", "    return Fitted(slope)", "    import time\n    fitted = Fitted(slope)\n    fitted.at = time.time_ns()\n    return fitted")
    light.run()
    answer = again(light)
    assert (answer.verdict, answer.executions) == ("exact", 1)
    assert {step.name: step.same for step in answer.steps}["model"] == "equal"


def test_noise_is_measured_before_it_is_believed(light: Any) -> None:
    light.change(
        "pipeline.py", "    return Fitted(slope)",
        "    import os\n    from payoff import log_metric\n    noise = int.from_bytes(os.urandom(4), 'big') / 2**32\n"
        "    log_metric('noise', noise)\n    return Fitted(slope + noise / 1e9)",
    )  # fmt: skip
    light.run()
    answer = again(light, replicates=4)
    same = {step.name: step.same for step in answer.steps}
    assert answer.executions == 4
    assert same["rates"] == "exact"
    assert same["model"] == same["score"] == "varies"
    assert answer.verdict == "within-noise", answer.figures
    noise = next(each for each in answer.figures if each.name == "noise")
    assert noise.low < noise.a < noise.high
    assert noise.low < 0 < 1 < noise.high


def test_what_differs_is_named(light: Any) -> None:
    (light.root / ".gitignore").write_text((light.root / ".gitignore").read_text() + "secret.txt\n")
    (light.root / "secret.txt").write_text("0.35")
    git(light, "commit", "--quiet", "--all", "--message", "a file that git does not keep")
    place = repr(str(light.root / "secret.txt"))
    light.change("pipeline.py", "return Fitted(slope)", f"return Fitted(float(open({place}).read()))")
    run = light.run()["run"]
    (light.root / "secret.txt").write_text("0.55")
    answer = again(light)
    differing = [step.name for step in answer.steps if step.same == "differs"]
    assert (answer.verdict, answer.executions) == ("differs", 2)
    assert {"model", "score", "value"} <= set(differing)
    assert "rates" not in differing
    screen = light.payoff("reproduce", run, code=1)
    assert "Differs" in screen
    assert f"payoff why {run} 2" in screen


def test_switches_of_the_run_are_set_again(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment says meanwhile is not the run's."""
    light.change("pipeline.py", "    return Fitted(slope)", "    import os\n    return Fitted(float(os.environ.get('OMP_NUM_THREADS', slope)))")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    light.run(code=None)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "Exact" in light.payoff("reproduce")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "Exact" in light.payoff("reproduce")


def test_a_project_in_a_folder_of_a_repository(light: Any, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    shutil.rmtree(light.root / ".git")
    light.root.rename(outer / "inner")
    light.root = outer / "inner"
    (outer / "other.txt").write_text("not the project's")
    for words in (["init", "--quiet", "-b", "main"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", *words], cwd=outer, check=True)
    (light.root / "pipeline.py").write_text((light.root / "pipeline.py").read_text().replace("0.35", "0.4"))
    light.run()
    git(light, "checkout", "--quiet", ".")
    forget(light)
    assert again(light).verdict == "exact"


def test_links_out_of_the_project_are_left_out(light: Any, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("theirs")
    (light.root / "way").symlink_to(tmp_path / "outside")
    (light.root / "within").symlink_to("charter.toml")
    git(light, "add", "-A")
    git(light, "commit", "--quiet", "--message", "links")
    light.run("--force")
    answer = again(light)
    assert answer.verdict == "exact"
    assert answer.notes == ("way led out of the project and was left out",)
    assert (tmp_path / "outside" / "file").read_text() == "theirs"


def test_a_repository_that_cannot_be_written_to_does_not_stop_a_run(light: Any) -> None:
    shutil.rmtree(light.root / ".git/refs/payoff")
    (light.root / ".git" / "refs" / "payoff").write_text("in the way")
    assert light.run("--force")["status"] == "passed"
    assert again(light).verdict == "exact"


def test_packages_that_cannot_be_fetched(light: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is still here needs no network; one that is gone does."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "nothing"))
    assert again(light).verdict == "exact"
    (light.root / ".payoff/environments").unlink()
    error = refused(light, "PO-X003")
    assert error.exit_code == 4
    assert "pyarrow" in error.what


def test_what_was_executed_again_can_be_executed_again(light: Any) -> None:
    first = again(light)
    second = again(light, first.again)
    assert (second.run, second.verdict) == (first.again, "exact")
    assert second.again != first.again


def test_a_run_that_was_stopped_or_not_begun_is_nothing_to_do_again(light: Any) -> None:
    past = open_past(str(light.root))
    record = find(past, "latest")[0]
    stopped = Finding(code="PO-R010", severity="error", what="the run was stopped")
    past.kit.ledger.append(replace(record, run="20990101-000000-aaaaaa", status="failed", errors=(stopped,)))
    assert "stopped" in refused(light, "PO-Q007").what
    past.kit.ledger.append(replace(record, run="20990101-000001-aaaaaa", status="refused", steps=(), stages=(), valuation=None))
    assert "refused" in refused(light, "PO-Q007").what
    unread = {name: table for name, table in record.tables.items() if name != "customers"}
    past.kit.ledger.append(replace(record, run="20990101-000002-aaaaaa", tables=unread))
    assert "customers" in refused(light, "PO-Q008").what
    lost = replace(record.git, dirty=True, tree=None)
    past.kit.ledger.append(replace(record, run="20990101-000003-aaaaaa", git=lost))
    refused(light, "PO-Q001")
    other = light.root / "payoff.toml"
    other.write_text(other.read_text().replace('name = "', 'name = "other-'))
    git(light, "commit", "--quiet", "--all", "--message", "renamed")
    renamed = replace(record.git, commit=git(light, "rev-parse", "HEAD"))
    past.kit.ledger.append(replace(record, run="20990101-000004-aaaaaa", git=renamed))
    git(light, "checkout", "--quiet", "HEAD~1")
    refused(light, "PO-Q006")


def test_a_run_of_some_steps_only(light: Any) -> None:
    light.change("pipeline.py", '("churned", "count")', '("churned", "max")')
    light.run("--only", "rates")
    answer = again(light)
    assert answer.verdict == "exact"
    assert {step.name for step in answer.steps} >= {"examples", "split", "rates"}
    assert "model" not in {step.name for step in answer.steps}


def test_an_unknown_run_and_one_of_another_project(light: Any, lights: Callable[[str], Any]) -> None:
    refused(light, "PO-L001", "20200101")
    other = lights("other")
    (other.root / "payoff.toml").write_text((other.root / "payoff.toml").read_text().replace('name = "', 'name = "other-'))
    refused(other, "PO-L001", light.first["run"])
