"""Nothing that is changed behind its back makes a deployment run what it may not: git's files, its history, the registry, the image, the ledger, the clock."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PAYOFF = str(Path(sys.executable).with_name("payoff"))
EVE = "eve@example.org"  # who may write to everything, and holds no key that counts


def pin(project: Any, **changed: Any) -> None:
    said = dict(line.split(" = ") for line in (project.root / "deploy/prod.toml").read_text().splitlines() if " = " in line)
    said |= {key: json.dumps(value) for key, value in changed.items()}
    project.write("deploy/prod.toml", "".join(f"{key} = {value}\n" for key, value in said.items()))


def of(project: Any, release: int) -> dict[str, Any]:
    """A release's statement digest and image."""
    payload = base64.b64decode(json.loads((project.root / f"deploy/releases/{release:04}.json").read_text())["payload"])
    return {"release": release, "statement": f"sha256:{hashlib.sha256(payload).hexdigest()}", "image": json.loads(payload)["predicate"]["image"]}


def sealed(project: Any, payload: bytes, key: str = "eve") -> str:
    """An envelope that is all right but for whose key it is."""
    said = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-f", str(project.root / ".payoff/keys" / key), "-n", "payoff@payoff.dev"], input=said, capture_output=True, check=True
    )
    signature = {"sig": base64.b64encode(done.stdout).decode(), "keyid": ""}
    return json.dumps({"payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.in-toto+json", "signatures": [signature]})


def changed(project: Any, file: str, **fields: Any) -> bytes:
    """A statement with other fields in what it says."""
    said = json.loads(base64.b64decode(json.loads((project.root / file).read_text())["payload"]))
    said["predicate"] |= fields
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def trust_eve(project: Any) -> None:
    """In every file that says who may do what."""
    project.append("deploy/allowed_signers", f"{EVE} {(project.root / '.payoff/keys/eve.pub').read_text()}")
    text = (project.root / "payoff.toml").read_text().replace('@example.org"]', f'@example.org", "{EVE}"]')
    project.write("payoff.toml", text)


# -- each changes something, and answers the code that it is refused with


def an_edited_pin(project: Any) -> str:
    pin(project, **of(project, 2))
    return "PO-A081"


def a_hidden_edit(project: Any) -> str:
    """Git is told not to look at the file."""
    project.git("update-index", "--assume-unchanged", "payoff.toml")
    project.change("payoff.toml", 'approvals = ["owner", "engineer"]', "approvals = []")
    return "PO-A081"


def a_link_in_the_place_of_the_rules(project: Any) -> str:
    """Git has where a link leads, and nothing of what is there."""
    file = project.root / "payoff.toml"
    (project.root / ".payoff/rules.toml").write_text(file.read_text())
    file.unlink()
    file.symlink_to(".payoff/rules.toml")
    project.commit()
    rules = (project.root / ".payoff/rules.toml").read_text()
    (project.root / ".payoff/rules.toml").write_text(rules.replace('approvals = ["owner", "engineer"]', "approvals = []"))
    return "PO-A081"


def a_folder_that_is_a_link(project: Any) -> str:
    (project.root / "contracts").rename(project.root / ".payoff/contracts")
    (project.root / "contracts").symlink_to(".payoff/contracts")
    project.commit()
    return "PO-A081"


def a_contract_that_git_does_not_look_at(project: Any) -> str:
    """Another contract, which a file of this clone alone hides from `git status`."""
    (project.root / ".git/info/exclude").write_text("contracts/more.yaml\n")
    text = (project.root / "contracts/customers.yaml").read_text()
    (project.root / "contracts/more.yaml").write_text(text.replace("customers", "buyers"))
    return "PO-A081"


def an_edit_behind_a_filter(project: Any) -> str:
    """A filter of this clone gives git what was committed, whatever is there."""
    (project.root / ".payoff/as-committed").write_bytes((project.root / "payoff.toml").read_bytes())
    (project.root / ".git/info/attributes").write_text("payoff.toml filter=hide\n")
    project.git("config", "filter.hide.clean", "cat .payoff/as-committed")
    rule = 'approvals = ["owner", "engineer"]'
    project.change("payoff.toml", rule, "approvals = []".ljust(len(rule)))  # of another size, git would look closer
    assert project.git("status", "--porcelain") == ""
    return "PO-A081"


def a_monitor_of_files_that_lies(project: Any) -> str:
    """Git asks a program which files were changed; this one says none."""
    hook = project.root / ".git/hooks/quiet"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    project.git("config", "core.fsmonitor", ".git/hooks/quiet")
    project.git("config", "core.fsmonitorHookVersion", "2")
    project.git("update-index", "--fsmonitor")
    project.git("status")
    project.change("payoff.toml", 'approvals = ["owner", "engineer"]', "approvals = []")
    return "PO-A081"


def a_committed_pin_of_an_unverified_release(project: Any) -> str:
    pin(project, **of(project, 2))
    project.commit()
    return "PO-A100"


def a_committed_pin_of_another_image(project: Any) -> str:
    pin(project, image=of(project, 2)["image"])
    project.commit()
    return "PO-A104"


def a_committed_pin_of_no_release(project: Any) -> str:
    pin(project, release=7)
    project.commit()
    return "PO-A104"


def rules_without_approvals(project: Any) -> str:
    """Release 2 was verified in test, and the file that asked for approvals asks for none."""
    for each in ("dev", "test"):
        project.answer("promote", "2", each)
        project.answer("deploy", each)
    pin(project, **of(project, 2))
    project.change("payoff.toml", 'approvals = ["owner", "engineer"]', "approvals = []")
    project.commit()
    return "PO-A101"


def rules_without_a_deployment_before(project: Any) -> str:
    pin(project, **of(project, 2))
    project.change("payoff.toml", 'after = "test"\n', "")
    project.commit()
    return "PO-A100"


def an_approval_by_who_named_herself(project: Any) -> str:
    for each in ("dev", "test"):
        project.answer("promote", "2", each)
        project.answer("deploy", each)
    trust_eve(project)
    (first,) = sorted((project.root / "deploy/approvals").glob("0001-owner-*.json"))
    second = of(project, 2)
    said = json.loads(changed(project, f"deploy/approvals/{first.name}", release=second["statement"], number=2))
    said["subject"][0]["digest"]["sha256"] = second["image"].removeprefix("sha256:")
    payload = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    (project.root / "deploy/approvals/0002-owner-eve.json").write_text(sealed(project, payload))
    pin(project, **second)
    project.commit()
    return "PO-A101"


def a_release_by_who_named_herself(project: Any) -> str:
    trust_eve(project)
    second = of(project, 2)
    payload = changed(project, "deploy/releases/0002.json", number=3, previous=second["statement"])
    (project.root / "deploy/releases/0003.json").write_text(sealed(project, payload))
    project.commit()
    return "PO-A030"


def a_verification_by_who_may_not(project: Any) -> str:
    second = of(project, 2)
    for each in ("dev", "test"):
        (first,) = (project.root / "deploy/verified").glob(f"0001-{each}-*.json")
        said = json.loads(changed(project, f"deploy/verified/{first.name}", release=second["statement"], number=2))
        said["subject"][0]["digest"]["sha256"] = second["image"].removeprefix("sha256:")
        payload = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        (project.root / f"deploy/verified/0002-{each}-eve.json").write_text(sealed(project, payload))
    pin(project, **second)
    project.commit()
    return "PO-A100"


def an_edited_release(project: Any) -> str:
    project.write("deploy/releases/0001.json", sealed(project, changed(project, "deploy/releases/0001.json", image=of(project, 2)["image"])))
    project.commit()
    return "PO-A034"


def a_removed_release(project: Any) -> str:
    (project.root / "deploy/releases/0002.json").unlink()
    project.git("commit", "--quiet", "--all", "--message", "as if it had never been")
    return "PO-A034"


def a_chain_from_the_beginning(project: Any) -> str:
    """All releases replaced by hers, with a list that knows nobody else."""
    trust_eve(project)
    for each in (project.root / "deploy/releases").glob("*.json"):
        each.write_text(sealed(project, changed(project, f"deploy/releases/{each.name}")))
    project.commit()
    return "PO-A034"


def a_replaced_object(project: Any) -> str:
    """Git's own way to read one object as another: not followed, so what was committed holds, and the file that lies there differs."""
    blob = project.git("rev-parse", "HEAD:deploy/prod.toml").strip()
    pin(project, **of(project, 2))
    other = project.git("hash-object", "-w", "deploy/prod.toml").strip()
    project.git("replace", blob, other)
    return "PO-A081"


def a_shallow_clone(project: Any) -> str:
    head = project.git("rev-parse", "HEAD")
    (project.root / ".git/shallow").write_text(head)
    return "PO-A084"


def layers(project: Any) -> list[Path]:
    """Blobs of the release that prod should run, the smallest (configuration, model, code) first."""
    blobs = project.root / ".payoff/images/blobs/sha256"
    manifest = json.loads((blobs / of(project, 1)["image"].removeprefix("sha256:")).read_text())
    found = [blobs / each["digest"].removeprefix("sha256:") for each in (manifest["config"], *manifest["layers"])]
    return sorted(found, key=lambda path: path.stat().st_size)


def another_manifest_in_the_registry(project: Any) -> str:
    blobs = project.root / ".payoff/images/blobs/sha256"
    first, second = (blobs / of(project, n)["image"].removeprefix("sha256:") for n in (1, 2))
    first.unlink()
    first.write_bytes(second.read_bytes())
    return "PO-A054"


def a_changed_layer_in_the_registry(project: Any) -> str:
    for blob in layers(project):
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.unlink()
        blob.write_bytes(bytes(content))
    return "PO-A054"


def no_image_in_the_registry(project: Any) -> str:
    (project.root / ".payoff/images/blobs/sha256" / of(project, 1)["image"].removeprefix("sha256:")).unlink()
    return "PO-A108"


TRIED = (
    an_edited_pin, a_hidden_edit, a_link_in_the_place_of_the_rules, a_folder_that_is_a_link, a_contract_that_git_does_not_look_at, an_edit_behind_a_filter,
    a_monitor_of_files_that_lies, a_committed_pin_of_an_unverified_release, a_committed_pin_of_another_image, a_committed_pin_of_no_release,
    rules_without_approvals, rules_without_a_deployment_before, an_approval_by_who_named_herself, a_release_by_who_named_herself,
    a_verification_by_who_may_not, an_edited_release, a_removed_release, a_chain_from_the_beginning, a_replaced_object, a_shallow_clone,
    another_manifest_in_the_registry, a_changed_layer_in_the_registry, no_image_in_the_registry,
)  # fmt: skip


@pytest.mark.parametrize("tamper", TRIED, ids=lambda each: each.__name__)
def test_it_is_refused_and_nothing_runs(promoted: Any, tamper: Callable[[Any], str]) -> None:
    code = tamper(promoted)
    answer = json.loads(promoted.payoff("deploy", "prod", "--json", code=None))
    assert "errors" in answer, answer
    assert answer["errors"][0]["code"] == code, answer["errors"]
    assert answer["exit_code"] in {1, 2, 4}
    assert not list((promoted.root / ".payoff/deployments").glob("prod*.process"))


def test_what_is_kept_from_before_does_not_decide(released: Any) -> None:
    """Payoff keeps what it found out about unchanged files. Who writes the old charter in there gets no release past the new one."""
    from payoff.base import hashing

    file = released.root / ".payoff/cache/project/project.json"

    def kept() -> dict[str, Any]:
        released.payoff("check", code=None)
        found: dict[str, Any] = json.loads(file.read_bytes().partition(b"\n")[2])
        return found

    old = kept()
    released.change("charter.toml", "confidence = 0.95", "confidence = 0.99")
    released.commit("stricter")
    new = kept()
    assert new["project"]["charter"] != old["project"]["charter"]
    new["project"]["charter"] = old["project"]["charter"]
    content = json.dumps(new).encode()
    file.write_bytes(hashing.of_bytes(content).encode() + b"\n" + content)
    assert released.refused("promote", "1", "dev") == "PO-A102"
    assert json.loads(file.read_bytes().partition(b"\n")[2])["project"]["charter"] == old["project"]["charter"]


NONE = ("no JSON", json.dumps({"payload": base64.b64encode(b"[" * 100_000).decode(), "payloadType": "application/vnd.in-toto+json", "signatures": []}))


@pytest.mark.parametrize("content", NONE, ids=["text", "deep"])
def test_a_file_that_is_no_statement_stops_nobody_and_may_go(promoted: Any, content: str) -> None:
    """Whoever may commit can leave a stray file; nothing is decided by it, and it is not there for ever."""
    stray = ["deploy/approvals/0001-x.json", "deploy/verified/0002-dev-x.json"]
    for each in stray:
        (promoted.root / each).write_text(content)
    promoted.commit("by mistake")
    assert promoted.answer("deploy", "prod")["did"] == "started"
    said = promoted.answer("promote", "2", "test", code=1)["errors"][0]
    assert said["code"] == "PO-A100"
    if content == "no JSON":
        assert "deploy/verified/0002-dev-x.json cannot be read" in said["what"]
    (promoted.root / "deploy/releases/0003.json").write_text(content)
    promoted.commit("here, too")
    assert promoted.refused("deploy", "prod") == "PO-A020", "a release that is none ends the chain"
    promoted.git("rm", "--quiet", *stray, "deploy/releases/0003.json")
    promoted.git("commit", "--quiet", "--message", "away with it")
    assert promoted.answer("deploy", "prod")["did"] == "nothing"
    if content != "no JSON":
        return
    run = promoted.answer("run", "-p", "slope=0.37")["run"]
    assert promoted.answer("release", run)["release"]["number"] == 3, "where the stray one was, a release may come"
    promoted.git("rm", "--quiet", "deploy/releases/0003.json")
    promoted.git("commit", "--quiet", "--message", "and that one may not go")
    assert promoted.refused("deploy", "prod") == "PO-A034"


@pytest.mark.parametrize("file", ["approvals/0001-owner-*", "verified/0001-dev-*"])
def test_an_approval_that_counts_may_not_go(promoted: Any, file: str) -> None:
    (found,) = (promoted.root / "deploy").glob(file)
    content = found.read_text()
    found.write_text("none")
    promoted.commit()
    assert promoted.refused("deploy", "prod") == "PO-A034"
    found.write_text(content)
    promoted.commit("back")
    assert promoted.answer("deploy", "prod")["did"] == "started"


def test_a_clock_that_was_set_back(released: Any) -> None:
    """A release is never dated before the one it follows, so that the next one can follow it."""
    run = released.answer("run", "-p", "slope=0.37")["run"]
    clock = released.root / ".payoff/clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() - 864000\n")
    before = released.answer("release", "--dry-run", run)["release"]["created"]
    done = subprocess.run(
        [PAYOFF, "release", run, "--json"], cwd=released.root, env={**os.environ, "PYTHONPATH": str(clock)}, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)["release"]
    assert (made["number"], made["created"] < before) == (3, True), "its clock was set back"
    said = json.loads(base64.b64decode(json.loads((released.root / "deploy/releases/0002.json").read_text())["payload"]))
    assert made["created"] == said["predicate"]["created"]
    assert released.answer("promote", "3", "dev")["release"]["number"] == 3


def ledger(project: Any) -> Path:
    return next(project.root.glob(".payoff/*.db"))


def without_a_ledger(project: Any) -> None:
    for each in project.root.glob(".payoff/*.db*"):
        each.unlink()


def edit_ledger(project: Any, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the newest record, with the chain's hashes made anew: who does it knows the format."""
    from payoff.adapters.ledgers.sqlite.chain import of_entry

    with sqlite3.connect(ledger(project)) as connection:
        connection.execute("drop trigger entries_no_update")
        number, previous, body = connection.execute("select number, previous, body from entries order by number desc limit 1").fetchone()
        said = json.loads(body)
        edit(said)
        body = json.dumps(said).encode()
        connection.execute("update entries set body = ?, hash = ? where number = ?", (body, of_entry(previous, body), number))


def an_edited_ledger(project: Any) -> None:
    edit_ledger(project, lambda said: said.update(status="failed"))


def another_clock(project: Any) -> None:
    """Its files are all from long ago, as with a clock that was put back."""
    for each in project.root.rglob("deploy/**/*"):
        os.utime(each, (1, 1))


@pytest.mark.parametrize("innocent", [without_a_ledger, an_edited_ledger, another_clock, lambda _: None])
def test_what_does_not_decide_does_not_hinder(promoted: Any, innocent: Callable[[Any], None]) -> None:
    innocent(promoted)
    assert promoted.answer("deploy", "prod")["release"]["number"] == 1


def passed(said: dict[str, Any]) -> None:
    said.update(status="passed", exit_code=0)
    for verdict in said["verdicts"]:
        verdict["passed"] = True


def with_its_own_charter(said: dict[str, Any]) -> None:
    passed(said)
    said["charter"]["accept"]["min_gain_per_year"] = 0.0


@pytest.mark.parametrize(("edit", "code"), [(lambda _: None, "PO-A090"), (passed, "PO-A094"), (with_its_own_charter, "PO-A094")])
def test_a_ledger_that_says_passed_makes_no_release(released: Any, edit: Callable[[dict[str, Any]], None], code: str) -> None:
    accept = next(line for line in (released.root / "charter.toml").read_text().splitlines() if line.startswith("min_gain_per_year"))
    released.change("charter.toml", accept, "min_gain_per_year = 9_000_000")
    released.commit("more than there is")
    assert released.answer("run", code=1)["status"] == "refused"
    edit_ledger(released, edit)
    before = released.git("rev-parse", "HEAD")
    assert released.refused("release") == code
    assert released.git("rev-parse", "HEAD") == before
