"""What a cluster's words about pods come to: which image runs, whether all copies run it, whether waiting helps."""

from __future__ import annotations

from typing import Any

import pytest

from payoff.adapters.deployers.kubernetes.additions import added
from payoff.adapters.deployers.kubernetes.judging import judged

ONE, TWO, CONFIG = ("sha256:" + each * 32 for each in ("1a", "2b", "cc"))
AT = "registry.example.org/team/churn"


def workload(image: str = ONE, copies: int = 2, **status: Any) -> dict[str, Any]:
    said = {"observedGeneration": 3, "replicas": copies, "updatedReplicas": copies, "availableReplicas": copies, **status}
    return {
        "kind": "Deployment",
        "metadata": {"name": "churn", "generation": 3, "annotations": {"payoff.dev/image": image, "payoff.dev/release": "7"}},
        "spec": {"replicas": copies, "template": {"spec": {"containers": [asked(image)]}}},
        "status": said,
    }


def asked(image: str, **more: Any) -> dict[str, Any]:
    return {"name": "model", "image": f"{AT}@{image}", "env": [{"name": "A", "value": "1"}], **more}


def pod(name: str, image: str = ONE, *, said: str | None = None, at: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    """One whose node says `said` of what it started (as asked for, when it is not given)."""
    container = {"name": "model", "imageID": f"{AT}@{image}" if said is None else said, "ready": True, "state": {"running": {}}}
    status = {"phase": "Running", "containerStatuses": [{**container, **more.pop("container", {})}], **more.pop("status", {})}
    return {"metadata": {"name": name, "creationTimestamp": at, **more}, "spec": {"containers": [asked(image)]}, "status": status}


def crashing(name: str, image: str = ONE, **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    return pod(name, image, container={"ready": False, "state": state, "lastState": {"terminated": {"exitCode": 1}}}, **more)


def found(live: dict[str, Any], *pods: dict[str, Any]) -> Any:
    return judged(live, list(pods), "model", "http://churn")


@pytest.mark.parametrize(
    "said",
    [f"{AT}@{ONE}", f"docker-pullable://{AT}@{ONE}", f"mirror.example.org/other@{ONE}", CONFIG, f"docker://{CONFIG}", CONFIG.partition(":")[2]],
    ids=["containerd", "docker", "mirror", "containerd-config", "docker-config", "cri-o-config"],
)
def test_how_nodes_say_which_image_they_started(said: str) -> None:
    running, hopeless, _ = found(workload(), pod("a", said=said), pod("b"))
    assert (running.image, running.ready, running.release, hopeless) == (ONE, True, 7, False)


@pytest.mark.parametrize("said", [f"{AT}@{TWO}", f"docker-pullable://{AT}@{TWO}"])
def test_one_copy_of_another_image_is_what_is_told(said: str) -> None:
    running, _, _ = found(workload(), pod("a"), pod("b", said=said))
    assert (running.image, running.ready, running.why) == (TWO, False, "its pods run different images")


def test_all_copies_of_another_image() -> None:
    running, _, _ = found(workload(), pod("a", said=f"{AT}@{TWO}"), pod("b", said=f"{AT}@{TWO}"))
    assert (running.image, running.ready) == (TWO, True)


def test_an_asked_for_image_is_no_answer_where_the_node_says_another() -> None:
    """The pod asks for ours; the node says what it pulled."""
    running, _, _ = found(workload(copies=1), pod("a", ONE, said=f"evil.example.org/x@{TWO}"))
    assert running.image == TWO


@pytest.mark.parametrize(
    "gone", [{"deletionTimestamp": "2026-01-01T00:00:00Z"}, {"status": {"phase": "Failed", "reason": "Evicted"}}, {"status": {"phase": "Succeeded"}}]
)
def test_pods_that_are_over_count_for_nothing(gone: dict[str, Any]) -> None:
    """An evicted one lies there for days with the image that it had."""
    running, _, _ = found(workload(), pod("a"), pod("b"), pod("old", TWO, **gone))
    assert (running.image, running.ready, running.why) == (ONE, True, "")


def test_a_roll_out_is_over_when_old_copies_are_gone() -> None:
    live = workload(replicas=3, updatedReplicas=2)
    running, hopeless, _ = found(live, pod("a"), pod("b"), pod("old", TWO))
    assert (running.image, running.ready, hopeless) == (TWO, False, False)


def test_a_pod_that_only_has_the_labels_is_seen() -> None:
    """The Service sends to it."""
    stray = pod("stray")
    stray["status"]["containerStatuses"][0]["name"] = "other"
    running, _, _ = found(workload(), pod("a"), pod("b"), stray)
    assert not running.ready
    assert "pod stray has its labels" in running.why


def test_a_sidecar_that_a_mesh_put_into_the_pod_says_nothing() -> None:
    meshed = pod("a")
    meshed["status"]["containerStatuses"].insert(0, {"name": "istio-proxy", "imageID": f"istio@{TWO}", "ready": True})
    meshed["status"]["initContainerStatuses"] = [{"name": "istio-init", "imageID": f"istio@{TWO}"}]
    running, _, _ = found(workload(copies=1), meshed)
    assert (running.image, running.ready) == (ONE, True)


def test_a_release_that_crashes_does_not_keep_the_next_one_out() -> None:
    """What ran before crashes again and again; the new one has just been created."""
    live = workload(TWO, copies=1, replicas=2, updatedReplicas=1, availableReplicas=0)
    starting = pod("new", TWO, said="", container={"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}})
    for pods in ([crashing("old")], [crashing("old"), starting]):
        running, hopeless, _ = found(live, *pods)
        assert (running.ready, hopeless) == (False, False)
        assert "exit code 1" in running.why, "it is told all the same"
    assert found(live, crashing("old"), crashing("new", TWO, at="2026-01-02T00:00:00Z"))[1:] == (True, "new")


@pytest.mark.parametrize(
    "more",
    [{"env": [{"name": "A", "value": "2"}]}, {"resources": {"limits": {"memory": "2Gi"}}}, {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
)
def test_the_same_image_with_what_it_lacked(more: dict[str, Any]) -> None:
    """It was killed for want of memory, say; the template gives it more by now."""
    live = workload(copies=1, availableReplicas=0)
    live["spec"]["template"]["spec"]["containers"] = [asked(ONE, **more)]
    assert found(live, crashing("old"))[1] is False
    assert found(workload(copies=1, availableReplicas=0), crashing("old"))[1] is True


def test_giving_up_is_about_what_it_was_said_of() -> None:
    late = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "status": "False"}]
    assert found(workload(availableReplicas=0, conditions=late))[1] is True
    assert found(workload(availableReplicas=0, conditions=late, observedGeneration=2))[1] is False, "of the release before"


def test_what_is_being_removed_does_not_run() -> None:
    live = workload()
    live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    running, _, _ = found(live, pod("a"), pod("b"))
    assert (running.ready, running.why) == (False, "it is being removed")


def test_what_a_terminal_would_do_is_not_said() -> None:
    running, _, _ = found(workload(copies=1, replicas=0, conditions=[{"type": "ReplicaFailure", "status": "True", "message": "a\x1b]0;evil\x07b"}]))
    assert running.why == "a]0;evilb"


@pytest.mark.parametrize("percent", [10, None])
def test_two_revisions_of_kserve(percent: int | None) -> None:
    """It is not ready while another one answers too, nor where somebody has given the newest a share: what nobody judges is no state to stay in."""
    live = {
        "kind": "InferenceService",
        "metadata": {"name": "churn", "generation": 1, "annotations": {"payoff.dev/image": TWO}},
        "spec": {"predictor": {"containers": [{"name": "model", "image": TWO}], **({"canaryTrafficPercent": percent} if percent else {})}},
        "status": {
            "observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}],
            "components": {"predictor": {"latestCreatedRevision": "churn-2", "latestReadyRevision": "churn-2"}},
        },
    }  # fmt: skip
    old, new = (pod(name, image, labels={"serving.knative.dev/revision": name}) for name, image in (("churn-1", ONE), ("churn-2", TWO)))
    running, _, _ = found(live, old, new)
    assert (running.ready, running.image) == (False, ONE)
    ours = {"spec": {"predictor": {"containers": [{"name": "model", "image": TWO}]}}}
    assert [each.words for each in added(live, ours)] == (["predictor.canaryTrafficPercent"] if percent else [])
