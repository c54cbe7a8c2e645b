"""A release tried beside in a cluster: requests shared out by a gateway, figures of pods added up, and what a judge makes of them.

The other side is tests/adapters/cluster.py; what pods say is what a server of ours really says (`Metrics`).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from payoff.adapters.deployers.kubernetes import Options, connect, counters, deployer, front
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.ports.releasing.deployer import Wanted
from payoff.ports.releasing.front import Routes, Target
from payoff.records.release.canary import CanarySpec, Sum
from payoff.release.canary import judge, quantile
from payoff.serving.protocols.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("b_cluster", Path(__file__).with_name("cluster.py"))
assert _spec and _spec.loader
clusters = importlib.util.module_from_spec(_spec)
sys.modules["b_cluster"] = clusters
_spec.loader.exec_module(clusters)

ONE, TWO, THREE = ("sha256:" + each * 32 for each in ("1a", "2b", "3c"))
ROUTE = ("httproutes", "churn-prod")


class Images:
    address = "docker://registry.example.org/team/churn"


class Server:
    """What a server counts."""

    def __init__(self) -> None:
        self.metrics = Metrics(lambda _line: None)

    def decided(self, payoffs: list[float], seconds: float = 0.02, status: int = 200) -> Server:
        for each in payoffs:
            self.metrics.answered("decide", status, seconds)
            if status == 200:
                self.metrics.actions["call"] += 1
                self.metrics.decided([each])
        return self

    @property
    def text(self) -> str:
        self.metrics.answered("health", 200, 0.001)
        return self.metrics.text({"ready": ("1 when questions are answered.", 1.0)}).decode()


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = clusters.Cluster()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "_EVERY", 0.01)
    monkeypatch.setattr(front, "_EVERY", 0.01)


@pytest.fixture
def config(cluster: Any, tmp_path: Path) -> Path:
    said = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": {"token": "right"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(said))
    return tmp_path


@pytest.fixture
def both(config: Path) -> dict[str, Target]:
    """Two releases that run, the second as one that is tried."""
    made = connect(config, Options(kubeconfig="config", replicas=2))
    found = {}
    for name, image, release in (("churn-prod", ONE, 1), ("churn-prod-canary", TWO, 2)):
        variables = {"PAYOFF_DEPLOYMENT": name.removeprefix("churn-")}
        running = made.apply(Wanted(name=name, image=image, release=release, project="churn", variables=variables), Images())  # type: ignore[arg-type]
        found[name] = Target(address=running.address, release=release, image=image)
    return found


@pytest.fixture
def at(config: Path) -> Any:
    def made(**options: Any) -> front.GatewayFront:
        words = {"gateway": "infra/public", "hostname": "churn.example.org", "kubeconfig": "config", "wait": 0.05}
        return front.connect(config, front.Options(**{**words, **options}))

    return made


def routes(both: dict[str, Target], share: float = 0.25) -> Routes:
    return Routes(stable=both["churn-prod"], canary=both["churn-prod-canary"], share=share)


def backends(cluster: Any) -> list[tuple[str, int]]:
    (rule,) = cluster.objects[ROUTE]["spec"]["rules"]
    return [(each["name"], each["weight"]) for each in rule["backendRefs"]]


def test_requests_are_shared_out(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    made = at()
    assert made.routes("churn-prod") is None
    assert made.seen("churn-prod") is None
    alone = Routes(stable=both["churn-prod"])
    assert made.route("churn-prod", alone) == "https://churn.example.org"
    assert (made.routes("churn-prod"), made.seen("churn-prod"), backends(cluster)) == (alone, None, [("churn-prod", 1000)])
    spec = cluster.objects[ROUTE]["spec"]
    assert spec["parentRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "infra"}]
    assert spec["hostnames"] == ["churn.example.org"]
    made.route("churn-prod", routes(both, 0.05))
    assert (at().routes("churn-prod"), backends(cluster)) == (routes(both, 0.05), [("churn-prod", 950), ("churn-prod-canary", 50)])
    made.route("churn-prod", alone)
    assert backends(cluster) == [("churn-prod", 1000)]
    made.stop("churn-prod")
    made.stop("churn-prod")
    assert ROUTE not in cluster.objects


def test_what_both_did_is_added_up_and_judged(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """Of the release that runs, only what came since the other one is tried; by another process at each look."""
    pods = {name: Server() for name in ("churn-prod-0", "churn-prod-1", "churn-prod-canary-0", "churn-prod-canary-1")}
    pods["churn-prod-0"].decided([900.0] * 400, status=500)

    def told() -> None:
        cluster.servers.update({name: each.text for name, each in pods.items()})

    told()
    at().route("churn-prod", routes(both))
    seen = at().seen("churn-prod")
    assert (seen.stable.requests, seen.canary.requests, seen.stable.payoff.count) == (0, 0, 0)
    good, bad = Sum(), Sum()
    for look in range(4):
        for name, server in pods.items():
            worth = [float(10 + (n + look) % 7) - (4.0 if "canary" in name else 0.0) for n in range(100)]
            server.decided(worth)
            for each in worth:
                (bad if "canary" in name else good).add(each)
        told()
        at().route("churn-prod", routes(both))  # a larger share, or the same again: what was seen stays
        seen = at().seen("churn-prod")
    for arm, expected in ((seen.stable, good), (seen.canary, bad)):
        assert (arm.requests, arm.errors, arm.payoff.count) == (800, 0, 800)
        assert arm.payoff.mean == pytest.approx(expected.mean)
        assert arm.payoff.squares == pytest.approx(expected.squares)
    judgement = judge(seen, CanarySpec())
    assert (judgement.verdict, judgement.gain) == ("back", pytest.approx(bad.mean - good.mean))
    assert judge(seen, CanarySpec(tolerance=10.0)).verdict == "advance"


def test_a_pod_that_starts_anew_takes_nothing_away(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """Its counters begin at nothing: known by its container, and where that is not said, by its having less than before."""
    pods = {name: Server() for name in ("churn-prod-0", "churn-prod-1", "churn-prod-canary-0", "churn-prod-canary-1")}
    for each in pods.values():
        each.decided([5.0] * 50)
    cluster.servers.update({name: each.text for name, each in pods.items()})
    at().route("churn-prod", routes(both))
    cluster.servers["churn-prod-0"] = Server().decided([-5.0] * 30).text  # the same container, as it seems
    cluster.servers["churn-prod-canary-0"] = Server().decided([5.0] * 70).text  # more than before, but anew
    cluster.restarts["churn-prod-canary-0"] = 1
    del cluster.servers["churn-prod-1"]  # does not answer now
    seen = at().seen("churn-prod")
    assert (seen.stable.requests, seen.stable.payoff.count, seen.stable.payoff.mean) == (30, 30, -5.0)
    assert (seen.canary.requests, seen.canary.payoff.mean) == (70, 5.0)
    cluster.servers["churn-prod-1"] = pods["churn-prod-1"].decided([5.0] * 10).text
    assert at().seen("churn-prod").stable.requests == 40
    assert at().seen("churn-prod").stable.requests == 40, "looking twice counts once"


def test_another_release_that_is_tried_begins_anew(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    cluster.servers["churn-prod-0"] = Server().decided([1.0] * 9).text
    at().route("churn-prod", routes(both))
    cluster.servers["churn-prod-0"] = Server().decided([1.0] * 20).text
    assert at().seen("churn-prod").stable.requests == 11
    other = Routes(stable=both["churn-prod"], canary=Target(address="http://x", release=3, image=THREE), share=0.1)
    at().route("churn-prod", other)
    assert at().seen("churn-prod").stable.requests == 0


def test_pods_that_run_another_image_are_not_asked(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """One that only has the labels could say anything."""
    at().route("churn-prod", routes(both))
    stray = cluster.pod("stray", {"name": "model", "image": f"evil.example.org/x@{THREE}"})
    cluster.stale = [stray]
    cluster.servers["stray"] = Server().decided([1e9] * 99).text
    assert at().seen("churn-prod").canary.requests == 0
    assert not any("stray" in path for _, path in cluster.requests)


def test_the_servers_token_goes_beside_the_clusters(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    cluster.server_token = "SERVERS"
    with pytest.raises(UserError) as caught:
        at().route("churn-prod", routes(both))
    assert caught.value.code == "PO-A165"
    assert ROUTE not in cluster.objects, "nothing is tried that nobody could judge"
    at(token="SERVERS").route("churn-prod", routes(both))
    assert "SERVERS" not in json.dumps([*cluster.requests, *map(str, cluster.objects.items())])


def test_what_a_gateway_does_not_take(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    for cluster.gateway, words in (("False", "NotAllowed: by its listeners"), ("", "it says nothing of it")):
        with pytest.raises(OutsideError, match=words) as caught:
            at().route("churn-prod", Routes(stable=both["churn-prod"]))
        assert caught.value.code == "PO-A164"


def test_what_is_not_shared_out(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    with pytest.raises(UserError) as caught:
        at().route("churn-prod", Routes(stable=both["churn-prod"], canary=both["churn-prod-canary"], share=1.0, mode="shadow"))
    assert caught.value.code == "PO-A163"
    with pytest.raises(Refused) as refused:
        at().route("other", Routes(stable=both["churn-prod"]))
    assert refused.value.code == "PO-A160", "there is no Service of ours"
    theirs = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "churn-prod", "uid": "t", "generation": 1}, "spec": {"hostnames": ["shop"]}}
    cluster.objects[ROUTE] = theirs
    with pytest.raises(Refused):
        at().route("churn-prod", Routes(stable=both["churn-prod"]))
    at().stop("churn-prod")
    assert cluster.objects[ROUTE] is theirs


def test_a_server_that_does_not_know_the_squares_yet() -> None:
    """An image of an earlier version: its decisions are not counted, so that nothing is judged on a spread of none."""
    text = "\n".join(line for line in Server().decided([1.0] * 600).text.splitlines() if "payoffs_total" not in line and "squares" not in line)
    arm = counters.arm(counters.read(text), 1, ONE, slowest=False)
    assert (arm.requests, arm.payoff.count, arm.payoff.squares) == (600, 0, 0.0)


def test_what_is_slower_is_so_for_sure() -> None:
    """Within one bucket, and across the next bound, nothing is told; beyond it, it is."""
    def p99(seconds: float, *, slowest: bool) -> float:
        return quantile(counters.arm(counters.read(Server().decided([1.0] * 300, seconds).text), 1, ONE, slowest=slowest).latency, 0.99)

    assert p99(0.099, slowest=True) == pytest.approx(0.1, rel=0.06)
    assert p99(0.101, slowest=False) <= 2 * p99(0.099, slowest=True)
    assert p99(0.06, slowest=False) <= p99(0.06, slowest=True)
    assert p99(0.3, slowest=False) > 2 * p99(0.09, slowest=True)
    assert p99(99.0, slowest=False) == pytest.approx(10.0, rel=0.06)


@given(st.lists(st.lists(st.floats(-1e4, 1e4), max_size=8), min_size=1, max_size=6), st.integers(0, 5))
def test_looks_add_up_to_all_that_was_decided(batches: list[list[float]], restart: int) -> None:
    """However often one looks, and wherever the server starts anew right after a look."""
    server, total, last, kept = Server(), {}, {}, Sum()
    for n, each in enumerate(batches):
        if n == restart:
            server, last = Server(), {}
        server.decided(each)
        for value in each:
            kept.add(value)
        now = counters.read(server.text)
        total, last = counters.summed(total, counters.since(now, last)), now
    arm = counters.arm(total, 1, ONE, slowest=True)
    assert (arm.requests, arm.payoff.count) == (kept.count, kept.count)
    assert arm.payoff.mean == pytest.approx(kept.mean, abs=1e-6)
    assert arm.payoff.squares == pytest.approx(kept.squares, rel=1e-6, abs=1e-4)
    assert sum(arm.latency.values()) == kept.count


@given(st.text(max_size=300))
def test_what_is_no_figure_is_passed_over(text: str) -> None:
    assert counters.arm(counters.read(text), 1, ONE, slowest=True).errors >= 0
