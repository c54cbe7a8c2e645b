"""What others put into what runs as ours. Server-side apply leaves there what it did not set: a second container, which would see our pods' secrets and
requests, or a command instead of the image's own. Pure.

What a mesh or an agent puts into each *pod* as it is made (by an admission webhook) is the cluster's, and none of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# What others may say of our pods, and what a cluster fills in by itself: where they are placed, and how they are looked at and billed. Nothing of what
# runs, sees or is seen.
FREE = frozenset(
    {
        "affinity", "dnsPolicy", "fsGroupChangePolicy", "hostUsers", "hostname", "imagePullSecrets", "initialDelaySeconds", "medium", "nodeName",
        "nodeSelector", "os", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates", "resizePolicy", "resources",
        "restartPolicy", "runtimeClassName", "schedulerName", "schedulingGates", "seLinuxChangePolicy", "setHostnameAsFQDN", "sizeLimit", "subdomain",
        "successThreshold", "supplementalGroupsPolicy", "terminationMessagePath", "terminationMessagePolicy", "tolerations", "topologySpreadConstraints",
        # of KServe's predictor
        "annotations", "containerConcurrency", "deploymentStrategy", "labels", "minReplicas", "maxReplicas", "scaleMetric", "scaleMetricType", "scaleTarget",
    }
)  # fmt: skip
# Lists whose elements belong to whoever added them.
_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort",),
}


class Addition(NamedTuple):
    """Something that we did not put there: where (RFC 6901), what it is, and where in words."""

    pointer: str
    value: Any
    words: str


def added(live: dict[str, Any], ours: dict[str, Any]) -> list[Addition]:
    """What a live Deployment or InferenceService has in its pods besides ours, in the order in which it stands there."""
    spec, said = live["spec"], ours.get("spec") or {}
    if live["kind"] == "InferenceService":
        return _beside(spec, said, "/spec", "")
    found = []
    if spec.get("paused"):
        found.append(Addition("/spec/paused", spec["paused"], "paused"))
    wanted = (said.get("template") or {}).get("spec") or {}
    return [*found, *_beside(spec["template"]["spec"], wanted, "/spec/template/spec", "")]


def removal(additions: list[Addition]) -> list[dict[str, Any]]:
    """The JSON patch (RFC 6902) that takes them away, if they are still what they were; from the end, so that places in lists stay what they are."""
    operations: list[dict[str, Any]] = []
    for each in reversed(additions):
        operations.append({"op": "test", "path": each.pointer, "value": each.value})
        operations.append({"op": "remove", "path": each.pointer})
    return operations


def _beside(live: dict[str, Any], ours: dict[str, Any], pointer: str, words: str) -> list[Addition]:
    found: list[Addition] = []
    for key, value in live.items():
        if key in FREE or _empty(value):
            continue
        at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        called = f"{words}.{key}" if words else key
        said = ours.get(key)
        if isinstance(value, list) and key in _KEYS:
            found += _elements(value, said or [], _KEYS[key], at, called)
        elif key not in ours:
            found.append(Addition(at, value, called))
        elif isinstance(value, dict) and isinstance(said, dict):
            found += _beside(value, said, at, called)
    return found


def _elements(
    live: list[dict[str, Any]], ours: list[dict[str, Any]], keys: tuple[str, ...], pointer: str, words: str
) -> list[Addition]:
    found: list[Addition] = []
    known = {tuple(each.get(key) for key in keys): each for each in ours}
    for at, each in enumerate(live):
        name = tuple(each.get(key) for key in keys)
        called = f"{words} {', '.join(map(str, name))}"
        if name in known:
            found += _beside(each, known[name], f"{pointer}/{at}", called)
        else:
            found.append(Addition(f"{pointer}/{at}", each, called))
    return found


def _empty(value: Any) -> bool:
    return value is None or value in ({}, [], "", False)
