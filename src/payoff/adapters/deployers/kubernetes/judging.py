"""What a cluster's words about a deployment and its pods come to. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from payoff.adapters.deployers.kubernetes.api import printable
from payoff.adapters.deployers.kubernetes.manifests import IMAGE, RELEASE
from payoff.ports.releasing.deployer import Running

# A container that waits for one of these does not start by itself.
HOPELESS = {
    "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip
_LONGEST = 300
_PULLED = re.compile(r"@(sha256:[0-9a-f]{64})$")


class _Trouble(NamedTuple):
    """`hopeless`: it does not pass by itself. `pod` is named where its log may say more."""

    words: str
    hopeless: bool = False
    pod: str = ""


def judged(
    workload: dict[str, Any], pods: list[dict[str, Any]], container: str, address: str, drift: str = ""
) -> tuple[Running, bool, str]:
    """What runs; whether it will not get ready by itself; and the pod whose log says why, if one does. `drift` says what others did to it."""
    annotations = workload["metadata"].get("annotations") or {}
    # One that is told to end finishes what it took; one that was evicted answers nobody, and lies there for days.
    alive = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
    alive = [each for each in alive if (each.get("status") or {}).get("phase") not in {"Failed", "Succeeded"}]
    found = {each["metadata"]["name"]: digest(each, container) for each in alive}
    digests = sorted({digest for digest in found.values() if digest})
    meant = str(annotations.get(IMAGE, ""))
    others = [each for each in digests if each != meant]
    settled, why = _settled(workload)
    troubled = _trouble(workload, alive, container)
    unknown = [name for name, digest in found.items() if not digest]
    ready = settled and len(digests) == 1 and not unknown and not drift
    if ready:
        why = ""
    elif drift:
        why = drift
    elif troubled is not None:
        why = troubled.words
    elif settled and unknown:
        why = f"pod {unknown[0]} has its labels, and does not say that it runs its image"
    elif settled:
        why = "its pods run different images" if digests else "none of its pods runs"
    running = Running(
        # What is not what was asked for is what must be told, if only one pod runs it.
        image=(others or digests or [""])[0],
        address=address,
        ready=ready,
        release=int(annotations[RELEASE]) if str(annotations.get(RELEASE, "")).isdigit() else 0,
        why=printable(why)[:_LONGEST],
    )
    hopeless = not ready and (_given_up(workload) or (troubled is not None and troubled.hopeless))
    return running, hopeless, troubled.pod if troubled is not None and not ready else ""


def digest(pod: dict[str, Any], container: str) -> str:
    """The digest of the manifest that was really started: the node says it, by the name that it pulled (`host/name@sha256:...`, also with
    `docker-pullable://` before it).

    A node that says the image's own digest only (`sha256:...`, `docker://sha256:...`: of its configuration) checked what it pulled against the digest that the pod asks for.
    """
    for each in (pod.get("status") or {}).get("containerStatuses") or []:
        if each.get("name") == container and each.get("imageID"):
            found = _PULLED.search(str(each["imageID"]))
            if found is None:
                asked = next((said for said in _containers(pod) if said.get("name") == container), {})
                found = _PULLED.search(str(asked.get("image") or ""))
            return found[1] if found else ""
    return ""


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return list((pod.get("spec") or {}).get("containers") or [])


def _settled(workload: dict[str, Any]) -> tuple[bool, str]:
    """Whether the roll-out is over, and else what is still awaited."""
    status, spec = workload.get("status") or {}, workload["spec"]
    if workload["metadata"].get("deletionTimestamp"):
        return False, "it is being removed"
    if not _observed(workload):
        return False, "the cluster has not taken it up yet"
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if workload["kind"] == "InferenceService":
        ready = conditions.get("Ready") or {}
        return ready.get("status") == "True", str(ready.get("message") or "KServe does not say that it is ready")
    copies = int(1 if spec.get("replicas") is None else spec["replicas"])
    counted = [int(status.get(each) or 0) for each in ("updatedReplicas", "availableReplicas", "replicas")]
    if copies and counted == [copies] * 3:
        return True, ""
    failing = conditions.get("ReplicaFailure") or {}
    said = str(failing.get("message") or "") if failing.get("status") == "True" else ""
    return False, said or f"{counted[1]} of {copies} copies answer"


def _observed(workload: dict[str, Any]) -> bool:
    """Whether what the cluster says is about the object as it is now."""
    seen = int((workload.get("status") or {}).get("observedGeneration") or 0)
    return seen >= int(workload["metadata"].get("generation") or 0)


def _given_up(workload: dict[str, Any]) -> bool:
    if not _observed(workload):
        return False  # on what ran before
    conditions = (workload.get("status") or {}).get("conditions") or []
    return any(
        each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded" for each in conditions
    )


def _trouble(workload: dict[str, Any], pods: list[dict[str, Any]], container: str) -> _Trouble | None:
    """The first pod, the newest first, that says what is wrong. One of what ran before says nothing of what is to run now."""
    for pod in sorted(pods, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True):
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        now = _is_new(workload, pod, container)
        for each in status.get("containerStatuses") or []:
            if each.get("name") != container:
                continue
            waits = (each.get("state") or {}).get("waiting") or {}
            ended = (each.get("state") or {}).get("terminated") or (each.get("lastState") or {}).get("terminated") or {}
            reason = str(waits.get("reason") or "")
            if ended and not each.get("ready"):
                said = f"its container ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'Error'})"
                return _Trouble(f"pod {name}: {said}", now and reason in HOPELESS, name)
            if reason in HOPELESS:
                words = f"pod {name}: {reason}: {waits.get('message') or ''}".rstrip(": ")
                return _Trouble(words, now)
        for each in status.get("conditions") or []:
            if each["type"] == "PodScheduled" and each.get("status") == "False":
                return _Trouble(f"pod {name} has no place: {each.get('message') or each.get('reason')}")
    return None


def _is_new(workload: dict[str, Any], pod: dict[str, Any], container: str) -> bool:
    """Whether a pod was made of the template as it is now: what a webhook added to it does not matter, what differs does."""
    spec = (
        workload["spec"]["predictor"]
        if workload["kind"] == "InferenceService"
        else workload["spec"]["template"]["spec"]
    )
    wanted, has = (
        next((each for each in found if each.get("name") == container), {})
        for found in (spec["containers"], _containers(pod))
    )
    same = all(wanted.get(key) == has.get(key) for key in ("image", "command", "args", "resources"))
    return same and all(
        each in (has.get(key) or []) for key in ("env", "volumeMounts") for each in wanted.get(key) or []
    )
