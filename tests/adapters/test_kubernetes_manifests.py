"""What a deployment to Kubernetes looks like, held against the API's own schemas of several versions; and that these would see a fault."""

from __future__ import annotations

import copy
import functools
import importlib.resources
import json
import re
from typing import Any

import jsonschema
import pytest
import referencing
import yaml
from hypothesis import given
from hypothesis import strategies as st

from payoff.adapters.deployers.kubernetes import Autoscale, Options, connect, manifests
from payoff.base.errors import UserError
from payoff.ports.releasing.deployer import Wanted

IMAGE = "sha256:" + "5a" * 32
WANTED = Wanted(
    name="churn-prod", image=IMAGE, release=7, project="churn", variables={"PAYOFF_IMAGE": IMAGE, "PAYOFF_RELEASE": "7"}
)
AT = "docker://registry.example.org:5000/team/churn"
# From the oldest whose pods can wait without a shell (`preStop.sleep`) on.
VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
VARIANTS = {
    "plain": Options(),
    "one": Options(replicas=1),
    "autoscaled": Options(autoscale=Autoscale(min=2, max=9, cpu=60)),
    "all": Options(
        namespace="ml", token_secret="churn-token", pull_secret="regcred", claim="churn-log", egress=True, service_port=8000, grace=60
    ),
}


@functools.cache
def schemas(version: str) -> tuple[Any, referencing.Registry]:
    """The folder of a version's strict schemas (an unknown field is a fault), and what they refer to. From the package kubernetes-validate."""
    folder = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    definitions = referencing.Resource.from_contents(json.loads((folder / "_definitions.json").read_bytes()))
    return folder, definitions @ referencing.Registry()


@functools.cache
def schema(version: str, name: str) -> Any:
    folder, registry = schemas(version)
    content = json.loads((folder / f"{name}.json").read_bytes())
    return jsonschema.Draft202012Validator(content, registry=registry)


def faults(manifest: dict[str, Any], version: str) -> list[str]:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", manifest["apiVersion"])
    found = schema(version, f"{manifest['kind'].lower()}-{group}").iter_errors(manifest)
    return [f"{'/'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


def made(options: Options, wanted: Wanted = WANTED) -> dict[str, dict[str, Any]]:
    found = manifests.rendered(wanted, AT, options, options.namespace or "default")
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_schemas_take_it(version: str, variant: str) -> None:
    for manifest in made(VARIANTS[variant]).values():
        assert faults(manifest, version) == []


def test_an_older_cluster_takes_it_without_the_pause() -> None:
    assert "sleep" in "".join(faults(made(Options())["Deployment"], "1.28"))
    for manifest in made(Options(drain=0)).values():
        assert faults(manifest, "1.25") == []


PLANTED = [
    ("Deployment", ("spec", "replicas"), "two"),
    ("Deployment", ("spec", "template", "spec", "containers", 0, "imagePulPolicy"), "Always"),
    ("Deployment", ("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "http"),
    ("Deployment", ("spec", "template", "spec", "securityContext", "runAsNonroot"), True),
    ("Deployment", ("spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet", "route"), "/"),
    ("Deployment", ("spec", "selector"), None),
    ("Service", ("spec", "ports", 0, "port"), "80"),
    ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), None),
    ("HorizontalPodAutoscaler", ("spec", "metrics", 0, "resource", "targetAverageUtilization"), 70),
    ("PodDisruptionBudget", ("spec", "minAvailabel"), 1),
    ("NetworkPolicy", ("spec", "ingress", 0, "port"), 80),
]


@pytest.mark.parametrize(("kind", "path", "value"), PLANTED)
def test_a_planted_fault_is_seen(kind: str, path: tuple[Any, ...], value: Any) -> None:
    manifest = copy.deepcopy(made(VARIANTS["autoscaled"] if kind == "HorizontalPodAutoscaler" else Options())[kind])
    at = manifest
    for each in path[:-1]:
        at = at[each]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    assert [version for version in VERSIONS if not faults(manifest, version)] == []


def test_what_runs_may_do_nothing_that_it_need_not() -> None:
    pod = made(VARIANTS["all"])["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert container["image"] == f"registry.example.org:5000/team/churn@{IMAGE}"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        "runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert {"name": "PAYOFF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "churn-token", "key": "token"}}} in container["env"]
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp", "/var/lib/payoff"]
    assert made(Options())["NetworkPolicy"]["spec"]["egress"] == [], "nothing goes out"
    assert made(VARIANTS["all"])["NetworkPolicy"]["spec"]["egress"] == [{}]


def test_the_number_of_copies_is_said_once() -> None:
    assert "replicas" not in made(VARIANTS["autoscaled"])["Deployment"]["spec"], "the autoscaler's, and an apply would set it back"
    assert "PodDisruptionBudget" not in made(VARIANTS["one"]), "it would keep a node from ever being emptied"


def test_a_copy_that_crashes_keeps_no_node_from_being_emptied() -> None:
    assert made(Options())["PodDisruptionBudget"]["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "unhealthyPodEvictionPolicy" not in made(Options(drain=0))["PodDisruptionBudget"]["spec"], "older clusters do not know it"


def test_whose_it_is_stands_in_two_labels() -> None:
    one, other = (Wanted(name="a-b-c", image=IMAGE, release=1, project="x", variables={"PAYOFF_DEPLOYMENT": each}) for each in ("c", "b-c"))
    said = [made(Options(), each)["Deployment"]["metadata"]["labels"] for each in (one, other)]
    assert [(each["payoff.dev/project"], each["payoff.dev/deployment"]) for each in said] == [("a-b", "c"), ("a", "b-c")]
    long = Wanted(name="x" * 80 + "-prod", image=IMAGE, release=1, project="x", variables={"PAYOFF_DEPLOYMENT": "prod"})
    assert all(faults(each, "1.37") == [] for each in made(Options(), long).values())
    assert len(made(Options(), long)["Service"]["metadata"]["labels"]["payoff.dev/project"]) == 63


def test_the_selector_never_changes() -> None:
    later = Wanted(name=WANTED.name, image="sha256:" + "0" * 64, release=8, project="churn")
    for kind in ("Deployment", "Service"):
        assert made(Options(replicas=5), later)[kind]["spec"]["selector"] == made(Options())[kind]["spec"]["selector"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("options", [Options(kserve=True), Options(kserve=True, autoscale=Autoscale(max=4), token_secret="t", claim="c")])
def test_an_inference_service_holds_a_pod(version: str, options: Options) -> None:
    """KServe's predictor is a pod with keys of its own beside; tests/adapters/test_kserve.py asks KServe's own models."""
    manifest = made(options)["InferenceService"]
    predictor = manifest["spec"]["predictor"]
    own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}
    pod = {key: value for key, value in predictor.items() if key not in own}
    assert list(schema(version, "podspec-v1").iter_errors(pod)) == []
    assert pod["containers"][0]["name"] == "kserve-container"
    assert "canaryTrafficPercent" not in predictor, "a share that nobody judges"


def test_what_is_shown_is_what_is_applied(tmp_path: Any) -> None:
    class Images:
        address = AT

    shown = connect(tmp_path, Options(kubeconfig="nowhere", namespace="ml")).shown(WANTED, Images())  # type: ignore[arg-type]
    assert list(yaml.safe_load_all(shown)) == manifests.rendered(WANTED, AT, Options(), "ml")


def test_a_folder_cannot_be_pulled_from() -> None:
    with pytest.raises(UserError, match="cannot pull an image from oci:/srv/images"):
        manifests.rendered(WANTED, "oci:/srv/images", Options(), "default")


@given(st.text(min_size=1, max_size=90))
def test_names(name: str) -> None:
    found = manifests.named(name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", found)
    assert manifests.named(found) == found


def test_no_two_names_become_one() -> None:
    assert len({manifests.named(each) for each in ("a_b", "a-b", "a.b", "A-b", "a-b-", "x" * 70, "x" * 71, "1a", "m-1a")}) == 9
