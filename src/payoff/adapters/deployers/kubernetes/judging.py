"""What a cluster's words about a deployment and its pods come to. Pure."""

from __future__ import annotations

import re
from typing import Any

from payoff.adapters.deployers.kubernetes.manifests import IMAGE, RELEASE
from payoff.ports.releasing.deployer import Running

# A container that waits for one of these does not start by itself.
HOPELESS = {
    "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}  # fmt: skip
_LONGEST = 300
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")


def judged(
    workload: dict[str, Any], pods: list[dict[str, Any]], container: str, address: str
) -> tuple[Running, bool, str]:
    """What runs; whether it will not get ready by itself; and the pod whose log says why, if one does."""
    annotations = workload["metadata"].get("annotations") or {}
    pods = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
    digests = sorted({digest for each in pods if (digest := _digest(each, container))})
    meant = str(annotations.get(IMAGE, ""))
    others = [each for each in digests if each != meant]
    settled, why = _settled(workload)
    troubled = _trouble(pods, container)
    ready = settled and len(digests) == 1
    if ready:
        why = ""
    elif troubled is not None:
        why = troubled[0]
    elif settled:
        why = "its pods run different images" if digests else "none of its pods runs"
    running = Running(
        # What is not what was asked for is what must be told, if only one pod runs it.
        image=(others or digests or [""])[0],
        address=address,
        ready=ready,
        release=int(annotations[RELEASE]) if str(annotations.get(RELEASE, "")).isdigit() else 0,
        why=why[:_LONGEST],
    )
    hopeless = not ready and (_given_up(workload) or (troubled is not None and troubled[1]))
    return running, hopeless, troubled[2] if troubled is not None and not ready else ""


def _digest(pod: dict[str, Any], container: str) -> str:
    """The digest of what was really started: the node says it, by the name that it pulled."""
    for each in (pod.get("status") or {}).get("containerStatuses") or []:
        if each.get("name") == container:
            found = _DIGEST.search(str(each.get("imageID") or ""))
            return found[0] if found else ""
    return ""


def _settled(workload: dict[str, Any]) -> tuple[bool, str]:
    """Whether the roll-out is over, and else what is still awaited."""
    status, spec = workload.get("status") or {}, workload["spec"]
    if int(status.get("observedGeneration") or 0) < int(workload["metadata"].get("generation") or 0):
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


def _given_up(workload: dict[str, Any]) -> bool:
    conditions = (workload.get("status") or {}).get("conditions") or []
    return any(
        each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded" for each in conditions
    )


def _trouble(pods: list[dict[str, Any]], container: str) -> tuple[str, bool, str] | None:
    """The first pod, the newest first, that says what is wrong: its words, whether it is for good, its name where its log may say more."""
    for pod in sorted(pods, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True):
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        for each in status.get("containerStatuses") or []:
            if each.get("name") != container:
                continue
            waits = (each.get("state") or {}).get("waiting") or {}
            ended = (each.get("state") or {}).get("terminated") or (each.get("lastState") or {}).get("terminated") or {}
            reason = str(waits.get("reason") or "")
            if ended and not each.get("ready"):
                said = f"its container ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'Error'})"
                return f"pod {name}: {said}", reason in HOPELESS, name
            if reason in HOPELESS:
                return f"pod {name}: {reason}: {waits.get('message') or ''}".rstrip(": "), True, ""
        for each in status.get("conditions") or []:
            if each["type"] == "PodScheduled" and each.get("status") == "False":
                return f"pod {name} has no place: {each.get('message') or each.get('reason')}", False, ""
    return None
