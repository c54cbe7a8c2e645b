"""From a release to production and back: git says what runs where, and only what may run runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PAYOFF = str(Path(sys.executable).with_name("payoff"))
ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}


def serves(answer: dict[str, Any]) -> bool:
    with urllib.request.urlopen(f"{answer['address']}/v2/health/ready", timeout=10) as reply:
        return bool(reply.status == 200)


def test_from_dev_to_prod_and_back(released: Any) -> None:
    first, second = (json.loads((released.root / f"deploy/releases/000{n}.json").read_bytes()) for n in (1, 2))
    assert first != second
    images = {}
    for release in (1, 2):
        answer = released.to("prod", release)
        assert (answer["did"], answer["verified"], answer["release"]["number"]) == ("started" if release == 1 else "replaced", True, release)
        assert serves(answer)
        images[release] = answer["release"]["image"]
        for each in ("dev", "test"):
            runs = released.answer("deploy", each)
            assert (runs["did"], runs["release"]["image"]) == ("nothing", images[release])
    assert images[1] != images[2]

    before = released.git("log", "-1", "--format=%H", "--", "deploy/prod.toml").strip()
    back = released.answer("rollback", "prod")
    assert (back["did"], back["release"]["image"]) == ("replaced", images[1])
    assert f"This reverts commit {before}." in released.git("log", "-1", "--format=%B", "--", "deploy/prod.toml")
    assert released.git("diff", f"{before}^", "HEAD", "--stat", "--", "deploy/prod.toml") == ""
    assert released.refused("rollback", "prod", code=2) == "PO-A107"
    released.answer("promote", "2", "prod")
    assert released.answer("deploy", "prod")["release"]["image"] == images[2]
    assert released.git("status", "--porcelain") == ""
    log = [json.loads(line) for line in (released.root / ".payoff/deployments/prod.jsonl").read_text().splitlines()]
    assert [(each["did"], each["release"]) for each in log] == [("started", 1), ("replaced", 2), ("replaced", 1), ("replaced", 2)]


def test_two_rollbacks_go_back_two(released: Any) -> None:
    for release in (1, 2):
        released.answer("promote", str(release), "dev")
        released.answer("deploy", "dev")
    run = released.answer("run", "-p", "slope=0.37")["run"]
    assert released.answer("release", run)["release"]["number"] == 3
    released.answer("promote", "3", "dev")
    released.answer("deploy", "dev")
    assert released.answer("rollback", "dev")["release"]["number"] == 2
    assert released.answer("rollback", "dev")["release"]["number"] == 1
    assert released.refused("rollback", "dev", code=2) == "PO-A107"
    released.answer("promote", "3", "dev")
    assert released.answer("rollback", "dev", "--to", "1", "--commit-only")["release"]["number"] == 1
    assert "release = 1" in released.git("show", "HEAD:deploy/dev.toml")


def test_what_drifts_is_put_back(released: Any) -> None:
    answer = released.to("dev")
    released.end()
    again = released.answer("deploy", "dev")
    assert (again["did"], again["release"]) == ("put back", answer["release"])
    assert serves(again)


def test_from_the_clone_and_the_registry_alone(released: Any, tmp_path: Path) -> None:
    """Every database is gone; who runs what, who approved and what was verified is as it was."""
    runs = released.to("prod")
    released.end()
    clone = tmp_path / "Klon"
    released.git("clone", "--quiet", str(released.root), str(clone))
    (clone / ".payoff").mkdir()
    for kept in ("images", "keys"):
        (released.root / ".payoff" / kept).rename(clone / ".payoff" / kept)
    other = type(released)(clone)
    try:
        for name, value in (("user.name", "Ann"), ("user.email", "ann@example.org"), ("user.signingkey", ".payoff/keys/ann")):
            other.git("config", name, value)
        answer = other.answer("deploy", "prod")
        assert (answer["release"], answer["verified"]) == (runs["release"], True)
        assert serves(answer)
        assert other.git("log", "--oneline") == released.git("log", "--oneline"), "nothing had to be said again"
        other.answer("promote", "2", "dev")
        assert other.answer("approve", "1", "--as", "engineer")["already"] is True
    finally:
        other.end()


def test_what_is_asked_for_first(released: Any) -> None:
    """Each step names what is missing, and nothing is committed meanwhile."""
    head = released.git("rev-parse", "HEAD")
    assert released.refused("deploy", "dev", code=2) == "PO-A103"
    assert released.refused("promote", "1", "test") == "PO-A100"
    assert released.refused("promote", "9", "dev", code=2) == "PO-A087"
    assert released.refused("promote", "1", "stage", code=2) == "PO-A086"
    assert released.refused("approve", "1", "--as", "boss", code=2) == "PO-A105"
    assert released.refused("approve", "1", "--as", "owner") == "PO-A106"  # ann is none
    assert released.git("rev-parse", "HEAD") == head
    released.to("test")
    assert released.refused("promote", "1", "prod") == "PO-A101"
    waiting = released.answer("approve", "1", "--as", "engineer")  # ann
    assert waiting["missing"] == {"prod": ["owner"]}
    released.sign_as("olga")
    released.answer("approve", "1", "--as", "owner", "--for", "test")  # not for prod
    assert released.refused("promote", "1", "prod") == "PO-A101"
    released.answer("approve", "1", "--as", "owner", "-m", "worth it")
    assert released.answer("promote", "1", "prod")["release"]["number"] == 1


def test_one_person_is_not_two(released: Any) -> None:
    released.to("test")
    released.sign_as("olga")
    for role in ("owner", "engineer"):
        released.answer("approve", "1", "--as", role)
    assert released.refused("promote", "1", "prod") == "PO-A101"


def test_gates_hold_now(released: Any) -> None:
    """The charter asks for more than when the run was judged; what ran there before may go on."""
    released.to("dev")
    released.answer("promote", "2", "dev")
    released.answer("deploy", "dev")
    accept = next(line for line in (released.root / "charter.toml").read_text().splitlines() if line.startswith("min_gain_per_year"))
    released.change("charter.toml", accept, "min_gain_per_year = 1234")
    assert released.refused("promote", "1", "test") == "PO-A081", "not committed"
    released.commit("the owner asks for more")
    assert released.refused("promote", "1", "test") == "PO-A102"
    assert released.answer("deploy", "dev")["did"] == "nothing"
    assert released.answer("rollback", "dev")["release"]["number"] == 1
    released.change("charter.toml", "min_gain_per_year = 1234", accept + "  # as before")
    released.commit("the owner asks for what he asked for")
    released.answer("promote", "1", "test")


def test_a_promotion_as_a_pull_request(released: Any) -> None:
    before = released.git("rev-parse", "HEAD")
    answer = released.answer("promote", "1", "dev", "--branch", "promote-1")
    assert released.git("rev-parse", "HEAD") == before
    assert not (released.root / "deploy/dev.toml").exists()
    assert answer["branch"] == "promote-1"
    assert released.refused("promote", "1", "dev", "--branch", "promote-1") == "PO-A082"
    assert released.refused("promote", "1", "dev", "--branch", "a b", code=2) == "PO-A184"
    assert "git push -u origin promote-2" in released.payoff("promote", "1", "dev", "--branch", "promote-2")
    released.git("merge", "--quiet", "--no-ff", "--no-edit", "promote-1")
    assert released.answer("deploy", "dev")["release"]["number"] == 1


def test_who_has_no_key_may_deploy_and_does_not_verify(released: Any) -> None:
    released.answer("promote", "1", "dev")
    released.sign_as("eve")
    answer = released.answer("deploy", "dev")
    assert serves(answer)
    assert (answer["verified"], "the key that signs is of none of" in answer["unsigned"]) == (False, True)
    assert released.refused("promote", "1", "test") == "PO-A100"
    released.sign_as("dora")
    assert released.answer("deploy", "dev")["verified"] is True
    released.answer("promote", "1", "test")


def test_a_release_that_does_not_start_leaves_the_one_before(released: Any) -> None:
    before = released.to("dev")
    released.answer("promote", "2", "dev")
    released.change("payoff.toml", "drain = 5\n[deployments.test]", 'drain = 5\nwait = 0.01\n[deployments.test]')
    released.commit("no patience")
    assert released.refused("deploy", "dev", code=4) == "PO-A111"
    assert serves(before)


@pytest.mark.parametrize("words", [("release", "--dry-run"), ("deploy", "dev", "--dry-run")])
def test_dry_runs_do_nothing(released: Any, words: tuple[str, ...]) -> None:
    released.answer("promote", "1", "dev")
    head = released.git("rev-parse", "HEAD")
    released.answer(*words)
    assert released.git("rev-parse", "HEAD") == head
    assert not (released.root / ".payoff/deployments").exists()


# -- a release that is tried beside the one that runs


def decide(answer: dict[str, Any], number: int) -> dict[str, Any]:
    rows = [{**ROW, "customer_id": number * 100 + each, "calls_to_support": (number + each) % 9} for each in range(50)]
    body = json.dumps({"id": f"r{number}", "rows": rows}).encode()
    request = urllib.request.Request(f"{answer['address']}/decide", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        told: dict[str, Any] = json.loads(reply.read())
    assert len(told["decisions"]) == 50
    return told


def written(project: Any, stable: int, canary: int) -> None:
    """Wait until the front has written down so many requests; of a shadow's copies, which are asked afterwards, too."""
    until(lambda: requests(project) == (stable, canary))


def requests(project: Any) -> tuple[int, int]:
    for file in (project.root / ".payoff/deployments").glob("*.seen"):
        said = json.loads(file.read_text())
        return said["stable"]["requests"], said["canary"]["requests"]
    return 0, 0


def until(so: Callable[[], object], seconds: float = 60) -> None:
    last = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < last
        time.sleep(0.05)


CANARY = """
[deployments.dev.front]
[deployments.dev.canary]
steps = [0.5]
decisions = 100
tolerance = {tolerance}
requests = 10
slower = 1000
"""


def with_a_canary(released: Any, tolerance: float, release: int = 2, *words: str) -> dict[str, Any]:
    released.append("payoff.toml", CANARY.format(tolerance=tolerance))
    released.commit("a front for dev")
    released.answer("promote", "1", "dev")
    alone = released.answer("deploy", "dev")
    assert decide(alone, 1)["version"] == alone["release"]["run"]
    released.answer("promote", str(release), "dev", *(words or ("--canary", "0.3")))
    return released.answer("deploy", "dev")


def test_a_canary_that_pays_as_well_gets_all(released: Any) -> None:
    runs = with_a_canary(released, 50.0)
    assert (runs["release"]["number"], runs["canary"]["number"], runs["share"]) == (1, 2, 0.3)
    both = {runs["release"]["run"], runs["canary"]["run"]}
    versions = [decide(runs, n)["version"] for n in range(60)]
    assert set(versions) == both
    written(released, versions.count(runs["release"]["run"]), versions.count(runs["canary"]["run"]))
    half = released.answer("deploy", "dev", "--judge")
    assert (half["judgement"]["verdict"], half["share"]) == ("advance", 0.5), half
    assert half["address"] == runs["address"]
    assert "gets 50% of dev" in released.git("log", "--format=%s")
    seen = half["seen"]
    assert seen["canary"]["payoff"]["count"] == 50 * seen["canary"]["requests"] > 0
    whole = released.answer("deploy", "dev", "--judge")
    assert (whole["release"]["number"], whole["canary"], whole["verified"], whole["address"]) == (2, None, True, runs["address"])
    assert {decide(whole, n)["version"] for n in range(20)} == {whole["release"]["run"]}
    assert released.answer("rollback", "dev")["release"]["number"] == 1
    # A front goes with its section; the release goes on.
    released.change("payoff.toml", "[deployments.dev.front]\n", "")
    released.commit("no front for dev")
    alone = released.answer("deploy", "dev")
    assert (alone["did"], alone["address"] != runs["address"]) == ("nothing", True)
    assert decide(alone, 1)["version"] == alone["release"]["run"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        decide(runs, 1)


def test_a_shadow_that_loses_money_goes_back_unheard(released: Any) -> None:
    """A model that sees churn where there is none, released by an owner who asks for nothing."""
    accept = next(line for line in (released.root / "charter.toml").read_text().splitlines() if line.startswith("min_gain_per_year"))
    released.change("charter.toml", accept, "min_gain_per_year = -900_000_000")
    released.commit("the owner asks for nothing")
    for slope in ("0.35", "-1.5"):
        run = released.answer("run", "-p", f"slope={slope}")["run"]
        released.answer("release", run)
    released.append("payoff.toml", CANARY.format(tolerance=0.0))
    released.commit("a front for dev")
    released.answer("promote", "3", "dev")
    released.answer("deploy", "dev")
    released.answer("promote", "4", "dev", "--shadow", "1.0")
    runs = released.answer("deploy", "dev")
    for n in range(12):
        assert decide(runs, n)["version"] == runs["release"]["run"], "a shadow is never heard"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{runs['address']}/decide", data=b'{"rows": 7}', timeout=10)
    with refused.value:
        assert 400 <= refused.value.code < 500
    written(released, 13, 13)
    assert "release 4: 13 answers, 1 of them refused, 0 failed, 600 decisions" in released.payoff("deploy", "dev")
    seen = released.answer("deploy", "dev")["seen"]
    assert [seen[each]["refused"] for each in ("stable", "canary")] == [1, 1]
    judged = released.answer("deploy", "dev", "--judge")
    assert judged["judgement"]["verdict"] == "back", judged["judgement"]
    assert judged["judgement"]["high"] < 0
    assert (judged["release"]["number"], judged["canary"], judged["address"]) == (3, None, runs["address"])
    said = released.git("log", "-1", "--format=%B", "--", "deploy/dev.toml")
    assert "Take release 4 back from dev" in said
    assert "it loses money" in said
    assert "release 4: 13 answers, 1 of them refused, 0 failed, 600 decisions" in said


def test_a_canary_needs_something_to_be_tried_beside(released: Any) -> None:
    assert released.refused("promote", "2", "dev", "--canary", "10%", code=2) == "PO-A103"
    released.answer("promote", "1", "dev")
    assert released.refused("promote", "2", "dev", "--canary", "10%", code=2) == "PO-A123"
    released.append("payoff.toml", CANARY.format(tolerance=0.0))
    released.commit("a front for dev")
    assert released.refused("promote", "1", "dev", "--canary", "10%", code=2) == "PO-A124"
    assert released.answer("promote", "2", "dev", "--canary", "10%")["share"] == 0.1
    assert released.git("show", "HEAD:deploy/dev.toml").count("share = 0.1") == 1


def test_what_runs_where_at_a_glance(released: Any) -> None:
    said = released.payoff("deploy")
    assert said.count("nothing yet") == 3
    assert "run 2" in said
    released.to("dev")
    released.answer("promote", "1", "test")
    places = {each["deployment"]: each for each in released.answer("deploy")["deployments"]}
    assert [(each["release"], each["verified"]) for each in places.values()] == [(1, True), (1, False), (None, False)]
    assert places["dev"]["waits"] == "", "release 2 may go there"
    assert "was not verified in dev" in places["test"]["waits"]
    assert "release 1, not verified yet" in released.payoff("deploy")


def test_two_promotions_at_once(released: Any) -> None:
    """One is committed; the other is told so, or that it is no news, or is committed after it: never half of each, and nothing is lost."""
    words = [[PAYOFF, "promote", str(number), "dev", "--json"] for number in (1, 2, 1, 2)]
    running = [subprocess.Popen(each, cwd=released.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in words]
    said = [process.communicate(timeout=120) + (process.returncode,) for process in running]
    assert all(code == 0 or json.loads(out)["errors"][0]["code"] in {"PO-A081", "PO-A082"} for out, _, code in said), said
    done = [json.loads(out) for out, _, code in said if code == 0]
    assert done
    assert released.git("fsck", "--strict", "--no-dangling") == ""
    log = released.git("log", "--format=%H", "--", "deploy/dev.toml").split()
    assert sorted(log) == sorted(each["commit"] for each in done if not each["already"])
    assert released.git("status", "--porcelain") == ""
    assert released.answer("deploy", "dev")["release"]["number"] in {1, 2}


def test_follow_takes_over_and_puts_back(released: Any, tmp_path: Path) -> None:
    """A machine that only follows: what is pushed elsewhere is deployed, what dies is started again, and what cannot be is told once."""
    host = tmp_path / "host.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(host)], check=True)
    branch = released.git("symbolic-ref", "--short", "HEAD").strip()
    released.answer("promote", "1", "dev")
    released.git("remote", "add", "origin", str(host))
    released.git("push", "--quiet", "--set-upstream", "origin", f"{branch}:main")
    released.git("branch", "--quiet", "--set-upstream-to=origin/main")
    other = type(released)(tmp_path / "anderswo")
    subprocess.run(["git", "clone", "--quiet", str(host), str(other.root)], check=True)
    for name in ("images", "keys", "base"):
        (other.root / ".payoff").mkdir(exist_ok=True)
        (other.root / ".payoff" / name).symlink_to(released.root / ".payoff" / name)
    for name, value in (("user.name", "Ann"), ("user.email", "ann@example.org"), ("user.signingkey", ".payoff/keys/ann")):
        other.git("config", name, value)
    with subprocess.Popen(
        [PAYOFF, "deploy", "dev", "--follow", "--every", "1", "--push", "--json"], cwd=released.root, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            first = json.loads(process.stdout.readline())
            assert (first["did"], first["release"]["number"], first["verified"]) == ("started", 1, True)
            until(lambda: "Release 1 runs in dev" in subprocess.run(["git", "log", "--format=%s", "main"], cwd=host, capture_output=True, text=True, check=True).stdout)
            other.git("pull", "--quiet", "--rebase")
            other.answer("promote", "2", "dev")
            other.git("push", "--quiet", "origin", "HEAD:main")
            second = json.loads(process.stdout.readline())
            assert (second["did"], second["release"]["number"]) == ("replaced", 2)
            pid = json.loads(next((released.root / ".payoff/deployments").glob("*-dev.process")).read_text())["pid"]
            os.kill(pid, signal.SIGKILL)
            third = json.loads(process.stdout.readline())
            assert (third["did"], third["release"]["number"]) == ("put back", 2)
            assert serves(third)
            host.rename(tmp_path / "away.git")
            told = json.loads(process.stdout.readline())
            assert told["error"]["code"] == "PO-A147", "the remote is down"
            pid = json.loads(next((released.root / ".payoff/deployments").glob("*-dev.process")).read_text())["pid"]
            os.kill(pid, signal.SIGKILL)
            third = json.loads(process.stdout.readline())
            assert (third["did"], third["release"]["number"]) == ("put back", 2)
            (tmp_path / "away.git").rename(host)
            other.git("pull", "--quiet", "--rebase")
            other.write("deploy/dev.toml", 'release = 7\nstatement = "sha256:0"\nimage = "sha256:0"\n')
            other.git("commit", "--quiet", "--all", "--message", "by hand")
            other.git("push", "--quiet", "origin", "HEAD:main")
            told = json.loads(process.stdout.readline())
            assert told["error"]["code"] == "PO-A104"
            assert serves(third), "what runs, runs on"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert serves(third), "what runs outlives the program that started it"
