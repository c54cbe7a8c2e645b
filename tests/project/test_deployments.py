"""[release], [signing], [approvers] and [deployments]: what they say, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Written

SAID = """\
[release]
[release.base]
digest = "sha256:{digest}"
[signing]
releasers = ["ann@example.org"]
[approvers]
owner = ["olga@example.org"]
[deployments.dev]
kind = "process"
[deployments.prod]
kind = "container"
after = "dev"
approvals = ["owner"]
network = "host"
[deployments.prod.front]
port = 8000
[deployments.prod.canary]
steps = [0.2]
tolerance = 1.5
[sources.usage]"""


def said(written: Written, old: str = "", new: str = "") -> None:
    written.change("payoff.toml", "[sources.usage]", SAID.format(digest="0" * 64).replace(old, new) if old else SAID.format(digest="0" * 64))


def test_what_it_says(written: Written) -> None:
    said(written)
    found = written.project().release
    assert found is not None
    assert (found.releasers, found.deployers, found.approvers) == (("ann@example.org",), ("ann@example.org",), {"owner": ("olga@example.org",)})
    dev, prod = found.deployments
    assert (dev.after, dev.approvals, dev.front, dev.canary.steps) == ("", (), None, (0.1, 0.5))
    assert (prod.kind, prod.after, prod.approvals, prod.options) == ("container", "dev", ("owner",), {"network": "host"})
    assert (prod.front, prod.canary.steps, prod.canary.tolerance) == ({"port": 8000}, (0.2,), 1.5)


def test_a_front_needs_no_key(written: Written) -> None:
    said(written, "port = 8000\n", "")
    assert written.project().release.deployments[1].front == {}  # type: ignore[union-attr]


def test_a_canary_beside_nothing_is_a_name(written: Written) -> None:
    said(written, "[deployments.prod]", '[deployments.test-canary]\nkind = "process"\n[deployments.prod]')
    assert [each.name for each in written.project().release.deployments] == ["dev", "test-canary", "prod"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("[deployments.dev]", '[deployments."Dev 1"]', "PO-P120"),
        ("[deployments.prod]", '[deployments.dev-canary]\nkind = "process"\n[deployments.prod]', "PO-P120"),
        ('after = "dev"', 'after = "prod"', "PO-P121"),
        ('after = "dev"', 'after = "stage"', "PO-P121"),
        ('approvals = ["owner"]', 'approvals = ["boss"]', "PO-P122"),
        ("steps = [0.2]", "steps = [20]", "PO-P123"),
        ("owner = [", '"../owner" = [', "PO-P124"),
        ("tolerance = 1.5", "tolerance = -1", "PO-P009"),
        ('kind = "process"', "python = 'python3'", "PO-P007"),
        (f'"sha256:{"0" * 64}"', '"latest"', "PO-P009"),
    ],
)
def test_a_mistake(written: Written, old: str, new: str, code: str) -> None:
    said(written, old, new)
    errors = [each for each in written.inspect()[1] if each.severity == "error"]
    assert code in {each.code for each in errors}, [(each.code, each.what) for each in errors]
    assert all(each.where is not None and each.where.file == "payoff.toml" for each in errors)
