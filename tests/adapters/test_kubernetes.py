"""The deployer's conversation with a cluster: what it applies, leaves alone, puts back; what it says when things go wrong.

The other side is tests/adapters/cluster.py; where there is a real cluster, tests/contracts/test_deployers_kubernetes.py tries the same there.
"""

from __future__ import annotations

import base64
import copy
import importlib.util
import json
import ssl
import stat
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from payoff.adapters.deployers.kubernetes import Autoscale, Options, access, api, connect, deployer, owned
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.ports.releasing.deployer import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("a_cluster", Path(__file__).with_name("cluster.py"))
assert _spec and _spec.loader
clusters = importlib.util.module_from_spec(_spec)
sys.modules["a_cluster"] = clusters
_spec.loader.exec_module(clusters)

ONE, TWO, THREE = ("sha256:" + each * 32 for each in ("1a", "2b", "3c"))
DEPLOYMENT = ("deployments", "churn-prod")


class Images:
    address = "docker://registry.example.org/team/churn"


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = clusters.Cluster()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "_EVERY", 0.01)
    monkeypatch.setattr(deployer, "_SURE", 0.03)


@pytest.fixture
def at(cluster: Any, tmp_path: Path) -> Any:
    def made(**options: Any) -> Any:
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
            "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
            "users": [{"name": "u", "user": {"token": "right"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        return connect(tmp_path, Options(kubeconfig="config", **{"wait": 5.0, **options}))

    return made


def wanted(image: str = ONE, release: int = 1, **variables: str) -> Wanted:
    return Wanted(name="churn-prod", image=image, release=release, project="churn", variables={"PAYOFF_RELEASE": str(release), **variables})


def writes(cluster: Any) -> list[str]:
    return [path for method, path in cluster.requests if method != "GET" and "dryRun" not in path]


def test_one_life(cluster: Any, at: Any) -> None:
    """Started, left alone, replaced, put back when it drifted, stopped."""
    made = at()
    assert made.state("churn-prod") is None
    first = made.apply(wanted(), Images())
    assert (first.image, first.ready, first.release, first.address) == (ONE, True, 1, "http://churn-prod.ml.svc")
    assert sorted(kind for kind, _ in cluster.objects) == ["deployments", "networkpolicies", "poddisruptionbudgets", "services"]

    cluster.requests.clear()
    assert made.apply(wanted(), Images()) == first == at().state("churn-prod")
    assert writes(cluster) == [], "nothing is written where nothing differs"

    told: list[str] = []
    second = made.apply(wanted(TWO, 2), Images(), told.append)
    assert (second.image, second.release, told) == (TWO, 2, [second.address])

    made.stop("churn-prod")
    assert made.state("churn-prod") is None
    assert cluster.objects == {}
    made.stop("churn-prod")


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["spec"].update(replicas=0),
        lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image=f"evil.example.org/x@{THREE}"),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="9"),
        lambda live: live["metadata"]["annotations"].update({"payoff.dev/image": THREE}),
    ],
)
def test_what_drifted_is_put_back(cluster: Any, at: Any, change: Any) -> None:
    made = at()
    made.apply(wanted(), Images())
    before = owned.applied(cluster.objects[DEPLOYMENT], "payoff")
    cluster.edit(DEPLOYMENT, change)
    assert owned.applied(cluster.objects[DEPLOYMENT], "payoff") != before
    assert made.apply(wanted(), Images()).image == ONE
    assert owned.applied(cluster.objects[DEPLOYMENT], "payoff") == before


def test_what_runs_is_what_the_pods_say(cluster: Any, at: Any) -> None:
    """Somebody swaps the image, and leaves our annotation as it was."""
    made = at()
    made.apply(wanted(), Images())
    cluster.edit(DEPLOYMENT, lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image=f"evil.example.org/x@{THREE}"))
    assert made.state("churn-prod").image == THREE


def test_a_field_of_somebody_else_stays(cluster: Any, at: Any) -> None:
    made = at()
    made.apply(wanted(), Images())
    cluster.edit(DEPLOYMENT, lambda live: live["spec"]["template"]["spec"].update(priorityClassName="high"))
    cluster.requests.clear()
    made.apply(wanted(), Images())
    assert writes(cluster) == []
    made.apply(wanted(TWO, 2), Images())
    assert cluster.objects[DEPLOYMENT]["spec"]["template"]["spec"]["priorityClassName"] == "high"


SERVICE = ("services", "churn-prod")
LABELS = {"app.kubernetes.io/managed-by": "payoff", "payoff.dev/project": "churn-prod", "payoff.dev/deployment": ""}


def theirs(cluster: Any, key: tuple[str, str], **metadata: Any) -> dict[str, Any]:
    """An object that is there already."""
    kind, version = {"deployments": ("Deployment", "apps/v1"), "services": ("Service", "v1")}[key[0]]
    about = {"name": key[1], "namespace": "ml", "uid": "theirs", "generation": 1, "labels": {"app": "shop"}, **metadata}
    pods = {"spec": {"containers": [{"name": "model", "image": f"shop@{THREE}"}]}, "metadata": {"labels": {"app": "shop"}}}
    spec = {"replicas": 1, "template": pods} if kind == "Deployment" else {"selector": {"app": "shop"}}
    cluster.objects[key] = {"apiVersion": version, "kind": kind, "metadata": about, "spec": spec}
    return cluster.objects[key]


@pytest.mark.parametrize("key", [DEPLOYMENT, SERVICE])
@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": {"app.kubernetes.io/managed-by": "payoff"}},
        {"labels": {**LABELS, "payoff.dev/project": "shop"}},
        {"labels": {**LABELS, "payoff.dev/deployment": "prod"}},
        {"labels": {**LABELS, "app.kubernetes.io/managed-by": "Helm"}},
        {"labels": LABELS, "ownerReferences": [{"kind": "InferenceService", "name": "churn-prod", "controller": True}]},
    ],
    ids=["plain", "no-owner", "another-project", "another-deployment", "another-tool", "a-controllers"],
)
def test_what_is_somebody_elses_is_not_taken(cluster: Any, at: Any, key: tuple[str, str], metadata: dict[str, Any]) -> None:
    """Nothing at all is written, and nothing of theirs is removed by a stop."""
    before = copy.deepcopy(theirs(cluster, key, **metadata))
    made = at()
    with pytest.raises(Refused, match="that is not this deployment's: nothing was changed") as caught:
        made.apply(wanted(), Images())
    assert caught.value.code == "PO-A160"
    assert f"kubectl label --overwrite --namespace ml {before['kind'].lower()}/churn-prod app.kubernetes.io/managed-by=payoff" in caught.value.remedy
    assert made.state("churn-prod") is None
    made.stop("churn-prod")
    assert writes(cluster) == []
    assert cluster.objects == {key: before}


def test_what_was_given_to_us_is_taken(cluster: Any, at: Any) -> None:
    """The labels that the refusal names, set by hand."""
    theirs(cluster, SERVICE, labels={"app": "shop", **LABELS})
    assert at().apply(wanted(), Images()).ready
    assert cluster.objects[SERVICE]["metadata"]["labels"]["app"] == "shop"


def test_two_projects_whose_names_come_to_one(cluster: Any, at: Any) -> None:
    """`a-b` in `c`, and `a` in `b-c`: both are a-b-c. The second is refused, and its stop leaves the first alone."""
    def named(project: str, deployment: str) -> Wanted:
        return Wanted(name=f"{project}-{deployment}", image=ONE, release=1, project=project, variables={"PAYOFF_DEPLOYMENT": deployment})

    at().apply(named("a-b", "c"), Images())
    assert cluster.objects["deployments", "a-b-c"]["metadata"]["labels"]["payoff.dev/project"] == "a-b"
    made = at()
    with pytest.raises(Refused, match="a-b-c that is not this deployment") as caught:
        made.apply(named("a", "b-c"), Images())
    assert caught.value.code == "PO-A160"
    made.stop("a-b-c")
    assert ("deployments", "a-b-c") in cluster.objects
    assert at().apply(named("a-b", "c"), Images()).ready


def test_what_comes_while_we_look_is_not_taken(cluster: Any, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody makes a Service of that name after it was looked for."""
    made = at()
    monkeypatch.setattr(made, "_write", lambda *said: (theirs(cluster, SERVICE), deployer.Kubernetes._write(made, *said))[1])
    with pytest.raises(OutsideError, match="conflict"):
        made.apply(wanted(), Images())
    assert cluster.objects[SERVICE]["spec"] == {"selector": {"app": "shop"}}


def pod_of(live: dict[str, Any]) -> Any:
    return live["spec"]["template"]["spec"]


def model_of(live: dict[str, Any]) -> Any:
    return pod_of(live)["containers"][0]


PROXY = {"name": "proxy", "image": "evil.example.org/proxy"}
ADDED = [
    (lambda live: pod_of(live)["containers"].append(PROXY), "containers proxy"),
    (lambda live: pod_of(live)["containers"].insert(0, PROXY), "containers proxy"),
    (lambda live: pod_of(live).update(initContainers=[{"name": "first", "image": "evil"}]), "initContainers first"),
    (lambda live: pod_of(live)["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "volumes host"),
    (lambda live: model_of(live)["env"].append({"name": "PYTHONPATH", "value": "/tmp/evil"}), "containers model.env PYTHONPATH"),
    (lambda live: model_of(live).update(envFrom=[{"secretRef": {"name": "all"}}]), "containers model.envFrom"),
    (lambda live: model_of(live)["volumeMounts"].append({"name": "tmp", "mountPath": "/srv"}), "containers model.volumeMounts /srv"),
    (lambda live: model_of(live).update(command=["sh", "-c", "evil"]), "containers model.command"),
    (lambda live: model_of(live).update(args=["--evil"]), "containers model.args"),
    (lambda live: model_of(live)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "containers model.securityContext.capabilities.add"),
    (lambda live: model_of(live)["securityContext"].update(privileged=True), "containers model.securityContext.privileged"),
    (lambda live: model_of(live)["lifecycle"].update(postStart={"exec": {"command": ["evil"]}}), "containers model.lifecycle.postStart"),
    (lambda live: model_of(live)["readinessProbe"]["httpGet"].update(host="elsewhere"), "containers model.readinessProbe.httpGet.host"),
    (lambda live: pod_of(live).update(hostNetwork=True), "hostNetwork"),
    (lambda live: pod_of(live).update(serviceAccountName="admin"), "serviceAccountName"),
    (lambda live: pod_of(live).update(shareProcessNamespace=True), "shareProcessNamespace"),
    (lambda live: live["spec"].update(paused=True), "paused"),
]


@pytest.mark.parametrize(("change", "words"), ADDED, ids=[words for _, words in ADDED])
def test_what_others_put_into_its_pods_is_seen_and_taken_out(cluster: Any, at: Any, change: Any, words: str) -> None:
    made = at()
    made.apply(wanted(), Images())
    before = copy.deepcopy(cluster.objects[DEPLOYMENT]["spec"])
    cluster.edit(DEPLOYMENT, change)
    seen = made.state("churn-prod")
    assert (seen.ready, seen.image) == (False, ONE)
    assert seen.why.endswith(f"somebody added to its pods: {words}")
    assert made.apply(wanted(), Images()).ready
    assert cluster.objects[DEPLOYMENT]["spec"] == before
    cluster.requests.clear()
    made.apply(wanted(), Images())
    assert writes(cluster) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda live: pod_of(live).update(priorityClassName="high", tolerations=[{"operator": "Exists"}], nodeSelector={"pool": "ml"}),
        lambda live: model_of(live)["resources"]["limits"].update(cpu="2"),
        lambda live: live["spec"]["template"]["metadata"].setdefault("annotations", {}).update({"kubectl.kubernetes.io/restartedAt": "now"}),
        lambda live: live["spec"].update(minReadySeconds=5),
        lambda live: live["metadata"]["labels"].update(team="churn"),
    ],
)
def test_what_others_say_of_its_place_stays(cluster: Any, at: Any, change: Any) -> None:
    made = at()
    made.apply(wanted(), Images())
    cluster.edit(DEPLOYMENT, change)
    before = copy.deepcopy(cluster.objects)
    cluster.requests.clear()
    assert made.state("churn-prod").ready
    made.apply(wanted(), Images())
    assert (writes(cluster), cluster.objects) == ([], before)


def test_what_the_cluster_itself_puts_there_is_no_drift(cluster: Any, at: Any) -> None:
    """A policy that adds a variable to whatever is written would add it again."""
    def policy(live: dict[str, Any]) -> None:
        if live["kind"] == "Deployment" and all(each["name"] != "ZONE" for each in model_of(live)["env"]):
            model_of(live)["env"].append({"name": "ZONE", "value": "eu"})

    cluster.fills = policy
    made = at()
    assert made.apply(wanted(), Images()).ready
    cluster.requests.clear()
    assert made.apply(wanted(), Images()).ready
    assert writes(cluster) == []


def test_an_account_that_may_only_look_sees_it_too(cluster: Any, at: Any) -> None:
    made = at()
    made.apply(wanted(), Images())
    cluster.edit(DEPLOYMENT, lambda live: pod_of(live)["containers"].append(PROXY))
    cluster.refused = {("DRY", "deployments"), ("PATCH", "deployments")}
    assert made.state("churn-prod").why == "somebody added to its pods: containers proxy"


def test_a_logger_beside_a_predictor_is_seen(cluster: Any, at: Any) -> None:
    """KServe would send it every question."""
    made, key = at(kserve=True), ("inferenceservices", "churn-prod")
    made.apply(wanted(), Images())
    cluster.edit(key, lambda live: live["spec"]["predictor"].update(logger={"url": "http://evil", "mode": "all"}))
    cluster.edit(key, lambda live: live["spec"].update(transformer={"containers": [PROXY]}))
    assert made.state("churn-prod").why == "somebody added to its pods: predictor.logger, transformer"
    assert made.apply(wanted(), Images()).ready
    assert "transformer" not in cluster.objects[key]["spec"]
    assert "logger" not in cluster.objects[key]["spec"]["predictor"]


def test_who_set_what_was_erased(cluster: Any, at: Any) -> None:
    """Without the record of it nothing could be put back: it is written anew."""
    made = at()
    made.apply(wanted(), Images())
    cluster.edit(DEPLOYMENT, lambda live: live["metadata"].pop("managedFields"))
    assert made.apply(wanted(), Images()).ready
    assert owned.applied(cluster.objects[DEPLOYMENT], "payoff") is not None


def test_one_that_does_not_start_leaves_the_one_before(cluster: Any, at: Any) -> None:
    made = at()
    made.apply(wanted(), Images())
    before = {key: owned.applied(live, "payoff") for key, live in cluster.objects.items()}
    cluster.broken.add(TWO)
    with pytest.raises(OutsideError) as caught:
        made.apply(wanted(TWO, 2, NEW="x"), Images())
    assert caught.value.code == "PO-A111"
    assert "exit code 1 (Error)" in caught.value.what
    assert "the model cannot be opened" in caught.value.what
    assert {key: owned.applied(live, "payoff") for key, live in cluster.objects.items()} == before
    assert (made.state("churn-prod").image, made.state("churn-prod").ready) == (ONE, True)


def test_a_first_one_that_does_not_start_leaves_nothing(cluster: Any, at: Any) -> None:
    cluster.broken.add(ONE)
    with pytest.raises(OutsideError, match="does not get ready"):
        at().apply(wanted(), Images())
    assert cluster.objects == {}


def test_what_is_not_wanted_any_more_goes(cluster: Any, at: Any) -> None:
    at(autoscale=Autoscale(min=2, max=4)).apply(wanted(), Images())
    assert ("horizontalpodautoscalers", "churn-prod") in cluster.objects
    assert "replicas" not in owned.applied(cluster.objects[DEPLOYMENT], "payoff")["spec"]
    at(replicas=1).apply(wanted(), Images())
    assert sorted(kind for kind, _ in cluster.objects) == ["deployments", "networkpolicies", "services"]


def test_kserve(cluster: Any, at: Any) -> None:
    made = at(kserve=True)
    running = made.apply(wanted(), Images())
    assert (running.image, running.address, running.ready) == (ONE, "http://churn.example.org", True)
    assert [kind for kind, _ in cluster.objects] == ["inferenceservices"]
    cluster.broken.add(TWO)
    with pytest.raises(OutsideError, match="exit code 1"):
        made.apply(wanted(TWO, 2), Images())
    assert made.state("churn-prod").image == ONE


def test_a_cluster_without_kserve(cluster: Any, at: Any) -> None:
    cluster.known.discard("inferenceservices")
    with pytest.raises(UserError, match="could not find the requested resource") as caught:
        at(kserve=True).apply(wanted(), Images())
    assert caught.value.code == "PO-A145"
    assert at().apply(wanted(), Images()).ready, "who does not use it does not need it"


def test_a_cluster_says_why_it_takes_nothing(cluster: Any, at: Any) -> None:
    with pytest.raises(UserError, match="strict decoding error") as caught:
        at(service_port="http").apply(wanted(), Images())
    assert caught.value.code == "PO-A145"
    cluster.token = "another"
    with pytest.raises(UserError, match="Unauthorized") as caught:
        at().state("churn-prod")
    assert caught.value.code == "PO-A144"


def test_a_cluster_that_hiccups(cluster: Any, at: Any) -> None:
    cluster.faults = [(503, "starting"), (429, "slow down")]
    assert at().apply(wanted(), Images()).ready
    cluster.faults = [(500, "etcd is gone")] * 9
    with pytest.raises(OutsideError, match="etcd is gone") as caught:
        at().state("churn-prod")
    assert caught.value.code == "PO-A146"


def test_a_cluster_says_how_long_to_wait(cluster: Any, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(api, "time", types.SimpleNamespace(sleep=waits.append))
    cluster.headers = {"Retry-After": "7"}
    cluster.faults = [(429, "slow down")]
    assert at().state("churn-prod") is None
    cluster.headers = {"Retry-After": "86400"}
    cluster.faults = [(429, "slow down"), (409, "conflict")]
    assert at().state("churn-prod") is None
    assert waits == [7.0, 20.0, 20.0], "as long as it says, but not for ever"


def test_it_is_asked_beforehand_whether_it_takes_all_of_it(cluster: Any, at: Any) -> None:
    """An account that may make Services and no Deployments makes neither."""
    cluster.refused = {("DRY", "deployments"), ("PATCH", "deployments")}
    with pytest.raises(UserError, match="deployments is forbidden") as caught:
        at().apply(wanted(), Images())
    assert caught.value.code == "PO-A144"
    assert writes(cluster) == []


def test_who_may_not_look_at_pods_changes_nothing(cluster: Any, at: Any) -> None:
    """It could not be waited for."""
    cluster.refused = {("GET", "pods")}
    with pytest.raises(UserError, match="pods is forbidden"):
        at().apply(wanted(), Images())
    assert writes(cluster) == []


def test_half_of_it_is_put_back(cluster: Any, at: Any) -> None:
    """A right is taken away between the question and the deed."""
    made = at()
    made.apply(wanted(), Images())
    before = {key: owned.applied(live, "payoff") for key, live in cluster.objects.items()}
    cluster.refused = {("PATCH", "deployments")}
    with pytest.raises(OutsideError) as caught:
        made.apply(wanted(TWO, 2), Images())
    assert caught.value.code == "PO-A161"
    assert caught.value.what.count("deployments is forbidden") == 2, "why, and that it could not be put back"
    del before[DEPLOYMENT]
    assert {key: owned.applied(live, "payoff") for key, live in cluster.objects.items() if key != DEPLOYMENT} == before
    cluster.refused.clear()
    assert made.apply(wanted(TWO, 2), Images()).image == TWO


def test_a_cluster_that_is_away_while_we_wait(cluster: Any, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods go on; what gets ready meanwhile is not taken back for it."""
    monkeypatch.setattr(api, "time", types.SimpleNamespace(sleep=lambda _seconds: None))
    made = at()
    made.apply(wanted(), Images())
    write = made._write

    def written(*said: Any) -> None:
        write(*said)
        cluster.faults = [(503, "restarting")] * 9

    monkeypatch.setattr(made, "_write", written)
    assert made.apply(wanted(TWO, 2), Images()).image == TWO


def test_a_first_try_in_vain_is_not_the_last_word(cluster: Any, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry hiccups: the image is pulled the second time."""
    monkeypatch.setattr(deployer, "_SURE", 60.0)
    cluster.broken.add(ONE)
    pods, looks = cluster.pods, []

    def looked(selector: str) -> Any:
        looks.append(selector)
        if len(looks) > 3:
            cluster.broken.clear()
        return pods(selector)

    monkeypatch.setattr(cluster, "pods", looked)
    assert at().apply(wanted(), Images()).ready
    assert len(looks) > 3


def test_who_comes_later_is_not_taken_back(cluster: Any, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two deploy at once; the first one's does not get ready, and must not undo the second one's."""
    made = at()
    made.apply(wanted(), Images())
    cluster.broken.add(TWO)
    write = made._write

    def written(*said: Any) -> None:
        write(*said)
        at().apply(wanted(THREE, 3), Images())

    monkeypatch.setattr(made, "_write", written)
    with pytest.raises(OutsideError, match="it is to run release 3 now") as caught:
        made.apply(wanted(TWO, 2), Images())
    assert caught.value.code == "PO-A162"
    assert (at().state("churn-prod").image, at().state("churn-prod").ready) == (THREE, True)


def test_what_is_being_removed_is_waited_for(cluster: Any, at: Any) -> None:
    """What is applied to it would go with it."""
    made = at()
    made.apply(wanted(), Images())
    old = cluster.objects[DEPLOYMENT]["metadata"]["uid"]
    cluster.edit(DEPLOYMENT, lambda live: live["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z"))
    timer = threading.Timer(0.2, lambda: cluster.objects.pop(DEPLOYMENT))
    timer.start()
    assert made.apply(wanted(), Images()).ready
    timer.join()
    assert cluster.objects[DEPLOYMENT]["metadata"]["uid"] != old


def test_an_autoscaler_begins_with_what_there_is(cluster: Any, at: Any) -> None:
    """Five copies, and then a number that is the autoscaler's: not one in between."""
    at(replicas=5).apply(wanted(), Images())
    made = at(autoscale=Autoscale(min=2, max=9))
    made.apply(wanted(), Images())
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 5
    cluster.edit(DEPLOYMENT, lambda live: live["spec"].update(replicas=7))
    cluster.requests.clear()
    assert made.apply(wanted(), Images()).ready
    assert (writes(cluster), cluster.objects[DEPLOYMENT]["spec"]["replicas"]) == ([], 7)
    at(replicas=3).apply(wanted(), Images())
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 3


def test_nobody_there(cluster: Any, at: Any) -> None:
    made = at()
    cluster.close()
    with pytest.raises(OutsideError, match="cannot be reached"):
        made.state("churn-prod")
    cluster.__init__()  # for the fixture to close


def test_a_program_gives_the_credentials_and_again_when_they_are_over(cluster: Any, tmp_path: Path) -> None:
    program = tmp_path / "cloud-login"
    program.write_text(
        '#!/bin/sh\necho x >> "$0.calls"\n[ "$WHO" = ann ] || exit 1\n'
        'printf \'{"kind":"ExecCredential","status":{"token":"%s"}}\' "$(cat "$0.token")"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "env": [{"name": "WHO", "value": "ann"}]}}
    config = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
        "users": [{"name": "u", "user": user}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    (tmp_path / "cloud-login.token").write_text("right")
    made = connect(tmp_path, Options(kubeconfig="config"))
    assert made.state("x") is None
    assert made.state("y") is None
    assert (tmp_path / "cloud-login.calls").read_text().count("x") == 1
    cluster.token = "newer"
    (tmp_path / "cloud-login.token").write_text("newer")
    assert made.state("x") is None
    user["exec"]["env"] = []
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(OutsideError, match="gives no credentials"):
        connect(tmp_path, Options(kubeconfig="config")).state("x")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda said: said.update({"current-context": "other"}), "has no context 'other'"),
        (lambda said: said["contexts"][0]["context"].update(cluster="gone"), "names no cluster"),
        (lambda said: said["clusters"][0]["cluster"].update({"certificate-authority-data": "###"}), "is not base64"),
        (lambda said: said["clusters"][0]["cluster"].update({"certificate-authority": "gone.pem"}), "cannot be read"),
        (lambda said: said["clusters"][0]["cluster"].update({"certificate-authority-data": base64.b64encode(b"x").decode()}), "damaged"),
        (lambda said: said["clusters"][0]["cluster"].update({"insecure-skip-tls-verify": True}), "does not check"),
        (lambda said: said["users"][0]["user"].update(tokenFile="gone"), "cannot be read"),
        (lambda said: said["clusters"][0]["cluster"].update(server="http://10.0.0.1:8080"), "unencrypted"),
        (lambda said: said["users"][0]["user"].update(token="se\ncret"), "token is damaged"),
        (lambda said: said["clusters"][0]["cluster"].update(server="https://ann:se\ncret@k8s"), "in the server's address"),
        (lambda said: said["users"][0]["user"].update({"as": "ann", "as-groups": ["few"]}), "act as another"),
        (lambda said: said["clusters"][0]["cluster"].update({"proxy-url": "socks5://127.0.0.1:1"}), "none of HTTP's"),
        (lambda said: said["clusters"].insert(0, {"cluster": {}}), "clusters that are none"),
        (lambda said: said.update(users="ann"), "users that are none"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(tmp_path: Path, change: Any, match: str) -> None:
    config: dict[str, Any] = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    change(config)
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=match) as caught:
        access.access(tmp_path, Options(kubeconfig="config"))
    assert caught.value.code == "PO-A142"
    assert "se" + "\n" + "cret" not in str(caught.value)


def test_who_is_asked_for_and_which_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with a line's end after it, another to act as, a proxy of the environment, a program beside the kubeconfig."""
    (tmp_path / "deep").mkdir()
    config: dict[str, Any] = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://k8s.example.org"}}],
        "users": [{"name": "u", "user": {"token": "abc\n", "as": "robot"}}],
    }

    def found() -> Any:
        (tmp_path / "deep" / "config").write_text(yaml.safe_dump(config))
        return access.access(tmp_path, Options(kubeconfig="deep/config"))

    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (found().headers, found().proxy) == ({"Authorization": "Bearer abc", "Impersonate-User": "robot"}, "")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert found().proxy == "http://proxy:3128"
    monkeypatch.setenv("NO_PROXY", ".example.org")
    assert found().proxy == ""
    program = tmp_path / "deep" / "login"
    program.write_text('#!/bin/sh\nprintf \'{"status":{"token":"given"}}\'\n')
    program.chmod(0o700)
    config["users"][0]["user"] = {"exec": {"command": "./login"}}
    assert found().headers == {"Authorization": "Bearer given"}


def test_a_proxys_password_is_for_the_proxy_alone() -> None:
    made = api._over("http://ann:p%40ss@proxy:3128", {})
    assert (str(made.proxy), made.proxy_headers) == ("http://proxy:3128", {"proxy-authorization": "Basic " + base64.b64encode(b"ann:p@ss").decode()})


def test_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(UserError, match="there is no kubeconfig"):
        access.access(tmp_path, Options())


def test_kubeconfigs_are_joined_as_kubectl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "token").write_text("abc\n")
    first = {"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}]}
    second = {
        "current-context": "z", "clusters": [{"name": "c", "cluster": {"server": "https://one/"}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "a", "context": {"cluster": "none"}}],
    }  # fmt: skip
    (tmp_path / "one").write_text(yaml.safe_dump(first))
    (tmp_path / "deep" / "two").write_text(yaml.safe_dump(second))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/one:{tmp_path}/gone:{tmp_path}/deep/two")
    found = access.access(tmp_path, Options())
    assert (found.server, found.namespace, found.headers) == ("https://one", "ml", {"Authorization": "Bearer abc"})


def certificate() -> tuple[bytes, bytes]:
    """A certificate of this machine that signs itself, and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann")])
    start = datetime.datetime(2020, 1, 1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=20000))
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    built = built.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    signed = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return signed, key.private_bytes(*plain)


def test_certificates_on_both_sides(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's is checked, ours presented; the file that it takes is gone at once. A cluster with another certificate is none of ours."""
    pem, key = certificate()
    (tmp_path / "server.pem").write_bytes(pem + key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    tls.load_verify_locations(cadata=pem.decode())
    tls.verify_mode = ssl.CERT_REQUIRED
    cluster.server.socket = tls.wrap_socket(cluster.server.socket, server_side=True)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))

    def state(authority: bytes, **user: Any) -> Any:
        coded = {name: base64.b64encode(value).decode() if name.endswith("-data") else value for name, value in user.items()}
        config = {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": cluster.url.replace("http", "https"), "certificate-authority-data": base64.b64encode(authority).decode()}}],
            "users": [{"name": "u", "user": {"token": "right", **coded}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        return connect(tmp_path, Options(kubeconfig="config")).state("churn-prod")

    assert state(pem, **{"client-certificate-data": pem, "client-key-data": key}) is None
    assert list((tmp_path / "scratch").iterdir()) == []
    with pytest.raises(OutsideError, match="cannot be reached"):
        state(pem)
    with pytest.raises(OutsideError, match="cannot be reached"):
        state(certificate()[0], **{"client-certificate-data": pem, "client-key-data": key})


def test_what_is_ours_of_an_object() -> None:
    """The record of a real cluster's documentation: fields, elements by key, elements of a set, and an empty thing."""
    live = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "1", "y": "2"}, "finalizers": ["one", "two"], "uid": "7"},
        "spec": {"containers": [{"name": "m", "image": "i", "tty": True}, {"name": "n", "image": "j"}], "volumes": [{"name": "tmp", "emptyDir": {}}]},
    }  # fmt: skip
    fields = {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}, "f:finalizers": {'v:"two"': {}}},
        "f:spec": {
            "f:containers": {'k:{"name":"m"}': {".": {}, "f:name": {}, "f:image": {}}},
            "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
        },
    }
    live["metadata"]["managedFields"] = [  # type: ignore[index]
        {"manager": "payoff", "operation": "Update", "fieldsV1": {"f:spec": {}}},
        {"manager": "payoff", "operation": "Apply", "subresource": "status", "fieldsV1": {}},
        {"manager": "payoff", "operation": "Apply", "fieldsV1": fields},
    ]
    assert owned.applied(live, "payoff") == {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "1"}, "finalizers": ["two"]},
        "spec": {"containers": [{"name": "m", "image": "i"}], "volumes": [{"name": "tmp", "emptyDir": {}}]},
    }  # fmt: skip
    assert owned.applied(live, "kubectl") is None
    assert "token" not in json.dumps(fields)
