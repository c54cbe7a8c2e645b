"""What is wanted, as Kubernetes writes it. Pure: no cluster is asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError
from payoff.base.hashing import sha256

if TYPE_CHECKING:
    from payoff.adapters.deployers.kubernetes.options import Options
    from payoff.ports.releasing.deployer import Wanted

RELEASE, IMAGE = "payoff.dev/release", "payoff.dev/image"
# Whose an object is. Two labels: `a-b` and `c` are not `a` and `b-c`, though their objects are called the same.
PROJECT, DEPLOYMENT = "payoff.dev/project", "payoff.dev/deployment"
INSTANCE, BY = "app.kubernetes.io/instance", "app.kubernetes.io/managed-by"
# The name by which KServe knows the container that answers.
CONTAINER, KSERVE_CONTAINER = "model", "kserve-container"
PORT = 8080  # that the server listens to
_USER = 65532  # as the image says; numeric, so that the cluster can see that it is not root
_LONGEST = 63


def named(name: str) -> str:
    """A deployment's name as a Service may be called (RFC 1035); one that had to be changed carries its digest, so that no two become one."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if plain[:1].isdigit():
        plain = f"m-{plain}"
    if plain == name and len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 9].rstrip('-') or 'm'}-{sha256(name.encode())[7:15]}"


def reference(address: str, digest: str) -> str:
    """The image as a cluster pulls it. Raises `UserError` when it is where no cluster reaches."""
    kind, _, place = address.partition(":")
    if kind != "docker":
        raise UserError(
            f"a cluster cannot pull an image from {address}",
            code="PO-A141",
            expected='a registry that the cluster\'s machines reach, as repository = "registry.example.org/team/churn"',
            remedy='name one in [release] (kind = "distribution"), payoff release there, then deploy that release',
        )
    return f"{place.removeprefix('//')}@{digest}"


def rendered(wanted: Wanted, address: str, options: Options, namespace: str) -> list[dict[str, Any]]:
    """The manifests in the order in which they are applied: what keeps others out comes before what runs."""
    image = reference(address, wanted.image)
    if options.kserve:
        return [_inference_service(wanted, image, options, namespace)]
    found = [
        _network_policy(wanted, options, namespace),
        _service(wanted, options, namespace),
        _deployment(wanted, image, options, namespace),
    ]
    if options.autoscale is not None:
        found.append(_autoscaler(wanted, options, namespace))
    if (options.autoscale.min if options.autoscale else options.replicas) > 1:
        found.append(_budget(wanted, options, namespace))
    return found


def owner(wanted: Wanted) -> dict[str, str]:
    """The labels that say whose an object is: the project by its id, and the deployment."""
    # What the server is told that it is; the rest of the name is the project's.
    deployment = wanted.variables.get("PAYOFF_DEPLOYMENT", "")
    project = wanted.name.removesuffix(f"-{deployment}") if deployment else wanted.name
    return {BY: "payoff", PROJECT: named(project), DEPLOYMENT: named(deployment) if deployment else ""}


def owned_by(live: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether an object is whose labels say. One that a controller made (KServe's, which copies labels) is that controller's."""
    metadata = live["metadata"]
    said = metadata.get("labels") or {}
    made = any(each.get("controller") for each in metadata.get("ownerReferences") or [])
    return not made and all(said.get(name) == value for name, value in labels.items())


def _object(version: str, kind: str, wanted: Wanted, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    labels, annotations = _labels(wanted), _annotations(wanted)
    metadata = {"name": named(wanted.name), "namespace": namespace, "labels": labels, "annotations": annotations}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _labels(wanted: Wanted) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": named(wanted.project),
        INSTANCE: named(wanted.name),
        "app.kubernetes.io/version": f"release-{wanted.release}",
        "app.kubernetes.io/component": "model-server",
        **owner(wanted),
    }


def _annotations(wanted: Wanted) -> dict[str, str]:
    return {RELEASE: str(wanted.release), IMAGE: wanted.image}


def _selector(wanted: Wanted) -> dict[str, Any]:
    # Only what never changes: a Deployment's selector cannot be.
    return {"matchLabels": {INSTANCE: named(wanted.name), BY: "payoff"}}


def _deployment(wanted: Wanted, image: str, options: Options, namespace: str) -> dict[str, Any]:
    container = _container(CONTAINER, wanted, image, options)
    container["startupProbe"] = _probe("live", every=2, failures=max(1, int(options.wait // 2)))
    container["livenessProbe"] = _probe("live", every=10, failures=3)
    if options.drain:
        # A pod is told to end while others still send to it: it goes on for as long as they need to hear of it.
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": options.drain}}}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": options.grace + options.drain,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": _selector(wanted),
            }
        ],
        **_around(options),
        "containers": [container],
    }
    spec: dict[str, Any] = {
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": max(60, int(options.wait)),
        "selector": _selector(wanted),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": _labels(wanted), "annotations": _annotations(wanted)}, "spec": pod},
    }
    if options.autoscale is None:  # else the number is the autoscaler's
        spec = {"replicas": options.replicas, **spec}
    return _object("apps/v1", "Deployment", wanted, namespace, spec)


def _container(name: str, wanted: Wanted, image: str, options: Options) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [{"name": key, "value": value} for key, value in sorted(wanted.variables.items())]
    if options.open:
        variables.append({"name": "PAYOFF_OPEN", "value": "1"})
    else:
        asked = {"name": options.token_secret, "key": "token"}
        variables.append({"name": "PAYOFF_TOKEN", "valueFrom": {"secretKeyRef": asked}})
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the container's
    if options.claim:
        mounts.append({"name": "log", "mountPath": "/var/lib/payoff"})
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",  # a digest is one image for ever
        "ports": [{"name": "http", "containerPort": wanted.port, "protocol": "TCP"}],
        "env": variables,
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory},
            "limits": {"memory": options.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "readinessProbe": _probe("ready", every=5, failures=3),
        "volumeMounts": mounts,
    }


def _probe(path: str, every: int, failures: int) -> dict[str, Any]:
    asked = {"path": f"/v2/health/{path}", "port": "http", "scheme": "HTTP"}
    return {"httpGet": asked, "periodSeconds": every, "timeoutSeconds": 2, "failureThreshold": failures}


def _around(options: Options) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if options.claim:
        volumes.append({"name": "log", "persistentVolumeClaim": {"claimName": options.claim}})
    secrets = [{"name": options.pull_secret}] if options.pull_secret else []
    return {"volumes": volumes, **({"imagePullSecrets": secrets} if secrets else {})}


def _service(wanted: Wanted, options: Options, namespace: str) -> dict[str, Any]:
    port = {"name": "http", "port": options.service_port, "targetPort": "http", "protocol": "TCP"}
    return _object("v1", "Service", wanted, namespace, {"selector": _selector(wanted)["matchLabels"], "ports": [port]})


def _network_policy(wanted: Wanted, options: Options, namespace: str) -> dict[str, Any]:
    """Its port and nothing else comes in; nothing goes out, unless the project says that it may."""
    spec: dict[str, Any] = {
        "podSelector": _selector(wanted),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"port": "http", "protocol": "TCP"}]}],
        "egress": [{}] if options.egress else [],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", wanted, namespace, spec)


def _autoscaler(wanted: Wanted, options: Options, namespace: str) -> dict[str, Any]:
    assert options.autoscale is not None  # noqa: S101 - asked for only then
    target = {"type": "Utilization", "averageUtilization": options.autoscale.cpu}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": named(wanted.name)},
        "minReplicas": options.autoscale.min,
        "maxReplicas": options.autoscale.max,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", wanted, namespace, spec)


def _budget(wanted: Wanted, options: Options, namespace: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"maxUnavailable": 1, "selector": _selector(wanted)}
    if options.drain:  # both are too new for older clusters (1.27, 1.30)
        # A copy that answers nobody protects nobody: else one that crashes again and again keeps its node from being emptied.
        spec["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    return _object("policy/v1", "PodDisruptionBudget", wanted, namespace, spec)


def _inference_service(wanted: Wanted, image: str, options: Options, namespace: str) -> dict[str, Any]:
    """A custom predictor. What Knative, below KServe, does not let through by default is left out: its pods' own settings, startup probes, hooks."""
    container = _container(KSERVE_CONTAINER, wanted, image, options)
    container["livenessProbe"] = _probe("live", every=10, failures=6)
    # Knative finds the port's protocol in its name, and knows no other.
    container["ports"] = [{"name": "http1", "containerPort": wanted.port, "protocol": "TCP"}]
    for each in ("readinessProbe", "livenessProbe"):
        container[each]["httpGet"]["port"] = wanted.port
    scale = options.autoscale
    copies = (
        {"minReplicas": scale.min, "maxReplicas": scale.max, "scaleMetric": "cpu", "scaleTarget": scale.cpu}
        if scale
        else {"minReplicas": options.replicas, "maxReplicas": options.replicas}
    )
    predictor = {
        **copies,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "timeout": 60,
        **_around(options),
        "containers": [container],
    }
    spec = {"predictor": predictor}
    return _object("serving.kserve.io/v1beta1", "InferenceService", wanted, namespace, spec)
