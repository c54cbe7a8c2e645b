"""What people are told who deploy with something wrong."""

from __future__ import annotations

import subprocess
from typing import Any


def test_a_name_that_is_none(released: Any) -> None:
    for words in (("deploy", "prdo"), ("promote", "1", "prdo"), ("rollback", "prdo"), ("approve", "1", "--as", "owner", "--for", "prdo")):
        (error,) = released.answer(*words, code=2)["errors"]
        assert error["code"] == "PO-A086"
        assert "nearest: prod" in error["expected"]


def test_what_is_of_one_deployment_is_not_taken_for_all(released: Any) -> None:
    for each in ("--judge", "--follow", "--dry-run", "--push"):
        (error,) = released.answer("deploy", each, code=2)["errors"]
        assert (error["code"], each in error["what"]) == ("PO-U003", True)


def test_what_is_not_committed_can_be_by_the_commands_that_are_told(released: Any) -> None:
    """A file that is new, one that was changed, one with a space in its name."""
    (released.root / "deploy/a b.json").write_text("{}")
    with open(released.root / "charter.toml", "a", encoding="utf-8") as stream:
        stream.write("# more\n")
    (error,) = released.answer("promote", "1", "dev", code=1)["errors"]
    assert error["code"] == "PO-A081"
    aside = error["try"].rpartition(": ")[2]
    assert aside.startswith("git stash")
    subprocess.run(aside, shell=True, cwd=released.root, check=True, capture_output=True)
    released.git("stash", "pop", "--quiet")
    commit = error["try"].partition(": ")[2].partition(";")[0]
    subprocess.run(f"{commit} --quiet --message more", shell=True, cwd=released.root, check=True)
    assert released.git("status", "--porcelain") == ""
    assert released.refused("promote", "1", "prod") == "PO-A100"


def test_check_reads_the_sections_of_deployments(released: Any) -> None:
    """All of them; a variable that is set where it is deployed only is nothing to mend."""
    config = released.root / "payoff.toml"
    text = config.read_text()
    config.write_text(text.replace("[deployments.dev]\n", '[deployments.dev.front]\nprt = 1\n[deployments.dev]\ntoken = "${SOMEWHERE_ELSE}"\n'))
    config.write_text(config.read_text().replace('[deployments.test]\nkind = "process"', '[deployments.test]\nkind = "proces"'))
    found = released.answer("check", code=2)["findings"]
    assert sorted(each["code"] for each in found) == ["PO-W002", "PO-W010"]
    assert all(each["where"]["line"] for each in found)
    config.write_text(text.replace("[deployments.dev]\n", '[deployments.dev]\ntoken = "${SOMEWHERE_ELSE}"\n'))
    assert released.answer("check")["findings"] == []


def test_a_rollback_does_not_tell_to_do_what_it_does(released: Any) -> None:
    for release in (1, 2):
        released.answer("promote", str(release), "dev")
    assert "Next:" in released.payoff("rollback", "dev", "--commit-only")
    released.answer("promote", "2", "dev")
    said = released.payoff("rollback", "dev")
    assert "dev runs release 1" in said
    assert "Next:" not in said


def test_what_is_tried_is_not_what_should_run(released: Any) -> None:
    """Nor is a shadow, which gets copies; and who asks for a judgement of nothing is told that."""
    released.append("payoff.toml", "\n[deployments.dev.front]\nport = 0\n")
    released.commit("a front for dev")
    released.answer("promote", "1", "dev")
    for _ in range(2):
        said = released.payoff("promote", "2", "dev", "--shadow", "100%")
        assert "dev should try release 2 with copies of 100% of the requests" in said
    assert "already" in said
    assert "dev should try release 2 with 10% of the requests" in released.payoff("promote", "2", "dev", "--canary", "10%")
    released.answer("promote", "1", "dev")
    assert "nothing is tried beside it" in released.payoff("deploy", "dev", "--judge")
