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

from payoff.adapters.deployers.kubernetes import Options, api, connect, counters, deployer, front, sharing
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
    assert refused.value.code == "PO-A170", "there is no Service of ours"
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


def test_refusals_are_told_apart() -> None:
    server = Server().decided([1.0] * 5).decided([1.0] * 3, status=422).decided([1.0] * 2, status=503)
    arm = counters.arm(counters.read(server.text), 1, ONE, slowest=True)
    assert (arm.requests, arm.errors, arm.refused) == (10, 5, 3)


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


def test_the_route_goes_when_there_is_no_front_any_more(cluster: Any, at: Any, config: Path, both: dict[str, Target]) -> None:
    """With the deployment's next roll-out, if it is ours; what somebody else called so stays."""
    made = connect(config, Options(kubeconfig="config", replicas=2))

    def deploy(kind: str) -> None:
        variables = {"PAYOFF_DEPLOYMENT": "prod"}
        made.apply(Wanted(name="churn-prod", image=ONE, release=1, project="churn", variables=variables, front=kind), Images())  # type: ignore[arg-type]

    at().route("churn-prod", Routes(stable=both["churn-prod"]))
    deploy("kubernetes")
    assert ROUTE in cluster.objects
    deploy("")
    assert ROUTE not in cluster.objects
    at().route("churn-prod", Routes(stable=both["churn-prod"]))
    cluster.objects[ROUTE]["metadata"]["labels"]["payoff.dev/project"] = "shop"
    deploy("")
    assert ROUTE in cluster.objects, "not ours"
    cluster.known.remove("httproutes")
    deploy("")
    cluster.known.add("httproutes")
    cluster.objects[ROUTE]["metadata"]["labels"]["payoff.dev/project"] = "churn"
    made.stop("churn-prod")
    assert ROUTE not in cluster.objects


def test_a_pod_that_did_not_answer_when_the_trial_began_is_counted_from_its_first_answer(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """What it did before is nothing of the trial. One that came later is counted from its start."""
    old = Server().decided([-50.0] * 500, status=500)
    at().route("churn-prod", routes(both))
    cluster.servers["churn-prod-0"] = old.text
    assert at().seen("churn-prod").stable.requests == 0
    cluster.servers["churn-prod-0"] = old.decided([1.0] * 20).text
    assert at().seen("churn-prod").stable.requests == 20
    cluster.restarts["churn-prod-1"] = 1
    assert at().seen("churn-prod").stable.requests == 20
    cluster.servers["churn-prod-1"] = Server().decided([1.0] * 7).text
    assert at().seen("churn-prod").stable.requests == 27


def test_one_that_refuses_what_the_other_takes_goes_back(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """Chance gives both the same share of requests that nobody could answer well."""
    for status in (422, 503):
        pods = {name: Server() for name in ("churn-prod-0", "churn-prod-canary-0")}
        cluster.servers = {name: each.text for name, each in pods.items()}
        at().route("churn-prod", Routes(stable=both["churn-prod"]))
        at().route("churn-prod", routes(both))
        for each in pods.values():
            each.decided([5.0] * 1000).decided([0.0] * 100, status=400)
        cluster.servers = {name: each.text for name, each in pods.items()}
        seen = at().seen("churn-prod")
        assert judge(seen, CanarySpec(decisions=100)).verdict == "advance", "both refuse alike"
        cluster.servers["churn-prod-canary-0"] = pods["churn-prod-canary-0"].decided([0.0] * 600, status=status).text
        judgement = judge(at().seen("churn-prod"), CanarySpec(decisions=100))
        assert judgement.verdict == "back"
        assert "of its answers fail" in judgement.because[0]


def test_a_look_changes_nothing_else_of_the_route(cluster: Any, at: Any, both: dict[str, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by another front's settings, nor where somebody ended the trial meanwhile: requests would go where nobody answers."""
    at().route("churn-prod", routes(both))
    spec = json.dumps(cluster.objects[ROUTE]["spec"])
    assert at(gateway="other", hostname="other.example.org").seen("churn-prod") is not None
    assert json.dumps(cluster.objects[ROUTE]["spec"]) == spec
    first = at()
    figures = first._api.figures

    def meanwhile(*words: Any) -> Any:
        at().route("churn-prod", Routes(stable=both["churn-prod"]))
        return figures(*words)

    monkeypatch.setattr(first._api, "figures", meanwhile)
    assert first.seen("churn-prod") is None
    assert backends(cluster) == [("churn-prod", 1000)]
    assert sharing.SEEN not in cluster.objects[ROUTE]["metadata"]["annotations"]


def test_a_pod_that_hangs_does_not_keep_others_from_being_judged(cluster: Any, at: Any, both: dict[str, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_FIGURES_WAIT", 0.2)
    at().route("churn-prod", routes(both))
    cluster.hangs = {"churn-prod-0"}
    cluster.servers["churn-prod-canary-0"] = Server().decided([5.0] * 7).text
    assert at().seen("churn-prod").canary.requests == 0, "it was there before, and did not answer"
    cluster.servers["churn-prod-canary-0"] = Server().decided([5.0] * 9).text
    assert at().seen("churn-prod").canary.requests == 2


def test_a_service_of_kserve_is_no_service_of_ours(cluster: Any, at: Any, both: dict[str, Target]) -> None:
    """It has our labels, which KServe copies, and leads where KServe wants."""
    cluster.objects["services", "churn-prod"]["metadata"]["ownerReferences"] = [{"kind": "InferenceService", "controller": True}]
    with pytest.raises(Refused) as caught:
        at().route("churn-prod", Routes(stable=both["churn-prod"]))
    assert caught.value.code == "PO-A170"
    assert ROUTE not in cluster.objects


def test_requests_go_to_the_port_that_the_service_has(cluster: Any, at: Any, config: Path, both: dict[str, Target]) -> None:
    variables = {"PAYOFF_DEPLOYMENT": "prod"}
    wanted = Wanted(name="churn-prod", image=ONE, release=1, project="churn", variables=variables)
    connect(config, Options(kubeconfig="config", replicas=2, service_port=8000)).apply(wanted, Images())  # type: ignore[arg-type]
    at().route("churn-prod", Routes(stable=both["churn-prod"]))
    (rule,) = cluster.objects[ROUTE]["spec"]["rules"]
    assert [each["port"] for each in rule["backendRefs"]] == [8000]


@pytest.mark.parametrize(("share", "weights"), [(0.0001, [999, 1]), (0.5, [500, 500]), (1.0, [0, 1000])])
def test_a_share_is_never_nothing(cluster: Any, at: Any, both: dict[str, Target], share: float, weights: list[int]) -> None:
    at().route("churn-prod", routes(both, share))
    assert [weight for _, weight in backends(cluster)] == weights


def test_what_a_pod_cannot_mean_is_not_counted() -> None:
    """Numbers that are none, and lines within names."""
    text = Server().decided([1.0] * 5).text
    text += 'payoff_requests_total{route="decide",status="200"} NaN\npayoff_expected_payoffs_total +Inf\n'
    text += 'payoff_decisions_total{action="a\u2028payoff_expected_payoff_total 1e9"} 3\n'
    arm = counters.arm(counters.read(text), 1, ONE, slowest=True)
    assert (arm.requests, arm.payoff.count, arm.payoff.mean) == (5, 5, 1.0)
