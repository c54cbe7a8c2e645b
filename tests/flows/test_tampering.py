"""Nothing that is changed behind its back makes a deployment run what it may not: git's files, its history, the registry, the image, the ledger, the clock."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    an_edited_pin, a_hidden_edit, a_committed_pin_of_an_unverified_release, a_committed_pin_of_another_image, a_committed_pin_of_no_release,
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
