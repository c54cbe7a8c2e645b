"""Nobody who changes, drops, swaps or forges a release or an approval gets past the chain."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payoff.base.errors import Refused
from payoff.records.release.release import (
    APPROVAL, RELEASE, VERIFIED, Approval, Envelope, Policy, Release, Signature, Verified,
)  # fmt: skip
from payoff.release import chain, envelope

KEYS = {"ann": b"1", "bob": b"2", "eve": b"3"}
ROLES = {"owner": ("ann",), "engineer": ("bob", "ann"), "steward": ("eve",)}
POLICY = Policy(known="ann bob eve", releasers=("ann", "bob"), deployers=("bob",), approvers=ROLES)
AT = "2026-01-01T00:00:00.000Z"
IMAGE = "sha256:" + "a" * 64


def sign(who: str) -> Any:
    return lambda said: (hmac.new(KEYS[who], said, hashlib.sha256).digest(), who)


def verify(said: bytes, signature: bytes, known: str, at: str) -> frozenset[str]:
    """`known` is names; one with `<TIME` is known until then."""
    held = dict(name.partition("<")[::2] for name in known.split())
    return frozenset(who for who in KEYS if who in held and at < (held[who] or "9") and hmac.compare_digest(sign(who)(said)[0], signature))


def release(number: int, previous: str, **changed: Any) -> Release:
    made = Release(
        number=number, project="p1", name="churn", run=f"run-{number}", created=AT, by="ann", image=IMAGE, base=IMAGE,
        model={"sha256": "0"}, previous=previous, policy=POLICY,
    )  # fmt: skip
    return replace(made, **changed)


def sealed(made: Release, who: str = "ann", subject: str = IMAGE) -> Envelope:
    return envelope.seal(envelope.statement("churn", subject, RELEASE, made), sign(who))


def releases(count: int) -> list[Envelope]:
    made: list[Envelope] = []
    for number in range(1, count + 1):
        made.append(sealed(release(number, envelope.digest(made[-1]) if made else "")))
    return made


def judge(found: list[Envelope]) -> tuple[chain.Link, ...]:
    return chain.verified(found, "p1", verify)


def test_a_good_chain() -> None:
    links = judge(releases(4))
    assert [each.release.run for each in links] == ["run-1", "run-2", "run-3", "run-4"]
    assert links[0].signers == {"ann"}
    assert judge([]) == ()


@given(st.data())
def test_a_chain_with_any_byte_changed_does_not_verify(data: Any) -> None:
    found = releases(3)
    at = data.draw(st.integers(0, 2))
    raw = bytearray(envelope.payload(found[at]))
    where = data.draw(st.integers(0, len(raw) - 1))
    raw[where] ^= data.draw(st.integers(1, 255))
    found[at] = replace(found[at], payload=base64.b64encode(bytes(raw)).decode())
    with pytest.raises(Refused):
        judge(found)


@pytest.mark.parametrize("order", [each for n in (1, 2) for each in itertools.permutations(range(3), n) if each not in {(0,), (0, 1)}])
def test_none_is_left_out_or_swapped(order: tuple[int, ...]) -> None:
    found = releases(3)
    with pytest.raises(Refused, match="does not name the release before it"):
        judge([found[n] for n in order])


def test_two_releases_after_the_same_one() -> None:
    found = releases(2)
    fork = sealed(release(2, envelope.digest(found[0]), run="other"))
    assert judge([found[0], fork])
    with pytest.raises(Refused, match="does not name"):
        judge([*found, fork])


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (lambda previous: sealed(release(2, previous), who="eve"), "signed by nobody who may release"),
        (lambda previous: replace(sealed(release(2, previous)), signatures=()), "signed by nobody"),
        (lambda previous: replace(sealed(release(2, previous)), signatures=(Signature(sig="%%%"),)), "signed by nobody"),
        (lambda previous: sealed(release(2, previous, created="2025-12-31T00:00:00.000Z")), "dated before"),
        (lambda previous: sealed(release(2, previous, policy=replace(POLICY, releasers=("eve",))), who="eve"), "signed by nobody"),
        (lambda previous: sealed(release(2, previous, project="p2")), "another project"),
        (lambda previous: sealed(release(2, previous), subject="sha256:" + "b" * 64), "about another image"),
        (lambda previous: sealed(release(3, previous)), "calls itself number 3"),
        (lambda previous: replace(sealed(release(2, previous)), payload_type="text/plain"), "holds 'text/plain'"),
        (lambda _: envelope.seal(b"[]", sign("ann")), "no statement"),
        (lambda _: envelope.seal(b'{"a": 1, "a": 2}', sign("ann")), "not written in the one form"),
    ],
)  # fmt: skip
def test_planted_links(last: Any, says: str) -> None:
    (first,) = releases(1)
    with pytest.raises(Refused, match=says):
        judge([first, last(envelope.digest(first))])


def approval(link: chain.Link, role: str, who: str, **changed: Any) -> Envelope:
    said = replace(Approval(release=link.digest, number=link.release.number, project="p1", role=role, created=AT), **changed)
    return envelope.seal(envelope.statement("churn", link.release.image, APPROVAL, said), sign(who))


def test_approvals_count_by_role_deployment_and_statement() -> None:
    first, second = judge(releases(2))
    given = [
        approval(second, "owner", "ann"),
        approval(second, "engineer", "eve"),  # may not
        approval(second, "engineer", "bob", deployment="test"),  # for another stage
        approval(first, "steward", "eve"),  # of another release
        approval(second, "steward", "eve", release=first.digest),
        approval(second, "engineer", "bob", created="2025-12-31T00:00:00.000Z"),  # dated before there was one
        approval(second, "boss", "eve"),  # no such role
    ]
    found = chain.approved(second, "prod", given, POLICY, verify)
    assert found == {"owner": {"ann"}, "engineer": frozenset(), "steward": frozenset()}
    assert chain.approved(second, "test", given, POLICY, verify)["engineer"] == {"bob"}
    assert chain.missing(["owner", "engineer"], found) == ("engineer",)


def test_a_key_that_ran_out_cannot_sign_by_a_clock_put_back() -> None:
    """ann's key is good until the day before the release; to use it, an approval must be dated before that, and then it is older than what it approves."""
    policy = replace(POLICY, known="ann<2025-12-31 bob")
    (link,) = judge([sealed(release(1, "", policy=policy), who="bob")])
    for at in ("2026-02-01T00:00:00.000Z", "2025-12-30T00:00:00.000Z"):
        given = [approval(link, "owner", "ann", created=at)]
        assert chain.approved(link, "prod", given, policy, verify)["owner"] == frozenset()
    with pytest.raises(Refused, match="nobody who may release"):
        judge([sealed(release(1, "", policy=policy), who="ann")])


def test_who_may_release_changes_only_by_a_release_of_who_might() -> None:
    (first,) = releases(1)
    wider = replace(POLICY, releasers=("ann", "eve"))
    second = sealed(release(2, envelope.digest(first), policy=wider), who="bob")
    third = sealed(release(3, envelope.digest(second), policy=wider), who="eve")
    assert [each.signers for each in judge([first, second, third])] == [{"ann"}, {"bob"}, {"eve"}]
    with pytest.raises(Refused, match="release 3 .*nobody who may release"):
        judge([first, second, sealed(release(3, envelope.digest(second), policy=wider), who="bob")])


@pytest.mark.parametrize(
    ("who", "changed", "ran"),
    [
        ("bob", {}, True),
        ("ann", {}, False),
        ("bob", {"deployment": "prod"}, False),
        ("bob", {"release": "sha256:0"}, False),
        ("bob", {"created": "2025-12-31T00:00:00.000Z"}, False),
    ],
)
def test_that_a_release_ran_is_said_by_who_may(who: str, changed: dict[str, str], ran: bool) -> None:
    (link,) = judge(releases(1))
    said = replace(Verified(release=link.digest, number=1, project="p1", deployment="test", created=AT), **changed)
    given = [envelope.seal(envelope.statement("churn", IMAGE, VERIFIED, said), sign(who))]
    assert chain.ran(link, "test", given, POLICY, verify) is ran


@pytest.mark.parametrize(
    ("found", "gone"),
    [
        ({"owner": {"ann"}, "engineer": {"ann"}}, ("engineer",)),
        ({"owner": {"ann"}, "engineer": {"ann", "bob"}}, ()),
        ({"owner": {"ann", "bob"}, "engineer": {"ann"}}, ()),
        ({"owner": set(), "engineer": {"ann"}}, ("owner",)),
    ],
)
def test_one_person_stands_for_one_role(found: Any, gone: tuple[str, ...]) -> None:
    assert chain.missing(["owner", "engineer"], found) == gone


def test_one_person_may_where_roles_need_not_be_apart() -> None:
    assert chain.missing(["owner", "engineer"], {"owner": frozenset({"ann"}), "engineer": frozenset({"ann"})}, apart=False) == ()


def test_the_envelope_is_as_the_standard_says() -> None:
    made = releases(1)[0]
    said = json.loads(envelope.payload(made))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "churn", "digest": {"sha256": "a" * 64}}]
