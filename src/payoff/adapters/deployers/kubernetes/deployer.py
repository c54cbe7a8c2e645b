"""Deployments of a cluster: applied, waited for, and put back when they do not get ready."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.adapters.deployers.kubernetes import manifests, owned
from payoff.adapters.deployers.kubernetes.access import access
from payoff.adapters.deployers.kubernetes.additions import Addition, added, removal
from payoff.adapters.deployers.kubernetes.api import MANAGER, Api, printable
from payoff.adapters.deployers.kubernetes.judging import judged
from payoff.base import lazy
from payoff.base.errors import OutsideError, PayoffError, Refused, UserError
from payoff.ports.releasing.deployer import Running, Wanted, nowhere

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

    from payoff.adapters.deployers.kubernetes.options import Options
    from payoff.ports.releasing.registry import Registry
else:
    yaml = lazy.Module("yaml")

FRONT, ROUTE = "kubernetes", "HTTPRoute"  # the kind of front that is made of one
# The pieces of a deployment, in the order in which they go.
_KINDS = (
    ROUTE,
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "InferenceService",
    "Deployment",
    "Service",
    "NetworkPolicy",
)
_LINES = 15  # of a pod's own words, when it does not get ready
_SHOWN = 5  # of what others added
_EVERY = 1.0  # seconds between two looks
_OVERTAKEN = "PO-A162"
_SURE = 20.0  # seconds for which a pod must say that it will not start: longer than the pause before its second try
# What a cluster writes into every object, and what it does with it.
_ITS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def connect(root: Path, options: Options) -> Kubernetes:
    """The cluster; nothing is asked before it is used."""
    return Kubernetes(Path(root), options)


class Kubernetes:
    """A deployment is the objects of its name that carry its labels; fields of theirs that others set stay theirs, but for what runs in its pods."""

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._api = Api(lambda: access(root, options))
        self._owner: dict[str, str] = {}  # of what was applied here last

    def state(self, name: str) -> Running | None:
        """What the cluster says of its pods: their images by digest, and whether all of them answer."""
        plain = manifests.named(name)
        workload = self._mine(self._api.get(self._workload, plain), plain)
        return None if workload is None else self._judged(workload)[0]

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Apply what differs, wait for the roll-out. Kubernetes keeps copies of the old one until those of the new answer; where these do not,
        what was applied before is applied again. Refused, and nothing touched, when an object of that name is somebody else's.
        """
        made = manifests.rendered(wanted, images.address, self._options, self._api.namespace)
        name, self._owner = manifests.named(wanted.name), manifests.owner(wanted)
        kinds = {each["kind"] for each in made}
        looked = [kind for kind in _KINDS if kind != ROUTE or wanted.front != FRONT]  # a front that is there has it
        found = {kind: self._live(kind, name, needed=kind in kinds) for kind in looked}
        before = {
            kind: live if live and manifests.owned_by(live, self._owner) else None for kind, live in found.items()
        }
        theirs = [kind for kind in looked if kind in kinds and found[kind] is not None and before[kind] is None]
        if theirs:
            raise self._of_others(theirs, name)
        extra = [kind for kind, live in before.items() if live is not None and kind not in kinds]
        workload = next(each for each in made if each["kind"] == self._workload)
        beside = self._beside(before[self._workload], workload)
        changed = [each for each in made if not self._same(each, before[each["kind"]])]
        self._pods(name)  # who may not look at them could not wait for them either
        runs = self.state(wanted.name)
        if runs is None or not runs.ready or runs.image != wanted.image or changed or extra or beside:
            try:
                self._write(changed, before, extra, beside)
                runs = self._waited(wanted)
            except PayoffError as error:
                if error.code != _OVERTAKEN:
                    self._put_back(name, before, error)
                raise
        switch(runs.address)
        return runs

    def _write(
        self,
        changed: list[dict[str, Any]],
        before: dict[str, dict[str, Any] | None],
        extra: list[str],
        beside: list[Addition],
    ) -> None:
        live = before[self._workload]
        if live is not None and beside:
            self._api.patch(live, removal(beside))
        for each in changed:
            was = before[each["kind"]]
            if each["kind"] == "Deployment" and was is not None and "replicas" not in each["spec"]:
                self._hand_over(was)
            self._api.apply(each, was)
        for kind in extra:
            gone = before[kind]
            if gone is not None:
                self._api.delete(kind, gone["metadata"]["name"])

    def _hand_over(self, live: dict[str, Any]) -> None:
        """The number of copies becomes the autoscaler's. Were it just left out, the cluster would set it to one, until the autoscaler has looked.

        https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership
        """
        if "replicas" in (owned.applied(live, MANAGER) or {}).get("spec", {}):
            metadata = {key: live["metadata"][key] for key in ("name", "namespace")}
            kept = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}
            self._api.apply({**kept, "spec": {"replicas": live["spec"]["replicas"]}}, live, manager=f"{MANAGER}-copies")

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The manifests, as `kubectl apply --server-side` takes them. No cluster is asked."""
        namespace = self._options.namespace or "default"
        with contextlib.suppress(PayoffError):
            namespace = self._api.namespace
        made = manifests.rendered(wanted, images.address, self._options, namespace)
        return str(yaml.safe_dump_all(made, sort_keys=False, explicit_start=True, width=120))

    def stop(self, name: str) -> None:
        """Delete its objects, the pods with them; answers when they are gone, or as late as `grace` allows. What is somebody else's stays."""
        plain = manifests.named(name)
        for kind in _KINDS:
            if self._mine(self._live(kind, plain, needed=kind == self._workload), plain) is not None:
                self._api.delete(kind, plain)
        until = time.monotonic() + self._options.grace + self._options.drain + 30
        while self.state(name) is not None and time.monotonic() < until:
            time.sleep(_EVERY)

    def _mine(self, live: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
        """An object that we applied under a name: the project's, where we know by now which that is."""
        known = {manifests.BY: MANAGER, manifests.INSTANCE: name}
        if manifests.PROJECT in self._owner:
            known[manifests.PROJECT] = self._owner[manifests.PROJECT]
        if live is None or manifests.PROJECT not in (live["metadata"].get("labels") or {}):
            return None
        return live if manifests.owned_by(live, known) else None

    def _live(self, kind: str, name: str, *, needed: bool) -> dict[str, Any] | None:
        """An object; one of a kind that this deployment does not use, and that we may not look at either, is none of ours. One that is being
        removed is waited for: what is applied to it goes with it.
        """
        until = time.monotonic() + self._options.grace + self._options.drain + 30
        while True:
            try:
                found = self._api.get(kind, name)
            except UserError:
                if needed:
                    raise
                return None
            if found is None or not found["metadata"].get("deletionTimestamp") or time.monotonic() > until:
                return found
            time.sleep(_EVERY)

    def _of_others(self, kinds: list[str], name: str) -> Refused:
        labels = " ".join(f"{key}={value}" for key, value in self._owner.items())
        objects = " ".join(f"{kind.lower()}/{name}" for kind in kinds)
        return Refused(
            f"in the namespace {self._api.namespace} there is a {kinds[0]} {name} that is not this deployment's: nothing was changed",
            code="PO-A160",
            expected=f"none, or one with the labels {labels}",
            remedy="name another namespace in the deployment's section; or, if it may be taken over: "
            f"kubectl label --overwrite --namespace {self._api.namespace} {objects} {labels}",
        )

    def _beside(self, live: dict[str, Any] | None, ours: dict[str, Any]) -> list[Addition]:
        """What others put into the pods of a live object. What the cluster itself would put there again (a policy that changes what is applied, a
        newer version's defaults) is not theirs: it is asked.
        """
        found = added(live, ours) if live is not None else []
        if live is None or not found:
            return []
        with contextlib.suppress(UserError):  # who may only look is told what is there
            if _content(self._api.patch(live, removal(found), dry=True)) == _content(live):
                return []
        return found

    def _same(self, manifest: dict[str, Any], live: dict[str, Any] | None) -> bool:
        """Whether applying would change nothing, in the cluster's own judgement (`kubectl diff --server-side`). What it would not take is told here,
        before anything is changed.
        """
        after = self._api.apply(manifest, live, dry=True)
        return live is not None and owned.applied(live, MANAGER) is not None and _content(after) == _content(live)

    def _waited(self, wanted: Wanted) -> Running:
        until = time.monotonic() + self._options.wait
        hopeless_since: float | None = None
        while True:
            try:
                workload = self._api.get(self._workload, manifests.named(wanted.name))
                running, hopeless, pod = self._judged(workload) if workload is not None else (None, False, "")
            except OutsideError:
                # An API server that is away for a while says nothing of the pods: they go on.
                if time.monotonic() > until:
                    raise
                time.sleep(_EVERY)
                continue
            self._refuse_overtaken(wanted, workload)
            if running is not None and running.ready and running.image == wanted.image:
                return running
            # What was pulled or started in vain once may go well the next time.
            hopeless_since = (hopeless_since or time.monotonic()) if hopeless else None
            over = hopeless_since is not None and time.monotonic() - hopeless_since >= _SURE
            if over or time.monotonic() > until:
                break
            time.sleep(_EVERY)
        why = running.why if running is not None else "somebody removed it"
        words = self._api.log(pod, self._container, _LINES) if pod else ""
        raise OutsideError(
            f"release {wanted.release} does not get ready"
            + ("" if over else f" within {self._options.wait:g} s")
            + f": {why}"
            + (f"\n{words}" if words else ""),
            code="PO-A111",
            expected="a model that answers /v2/health/ready",
            remedy="what ran before runs on; look at what its pod said, and release a run that starts",
        )

    def _refuse_overtaken(self, wanted: Wanted, workload: dict[str, Any] | None) -> None:
        """Who comes later is right: what he applied is neither waited for nor taken back."""
        said = (workload or {}).get("metadata", {}).get("annotations") or {}
        if workload is not None and said.get(manifests.IMAGE) != wanted.image:
            raise OutsideError(
                f"somebody else changed {wanted.name} while release {wanted.release} was waited for: it is to run release "
                f"{printable(str(said.get(manifests.RELEASE)))[:20]} now",
                code=_OVERTAKEN,
                expected="one payoff deploy of a deployment at a time",
                remedy="nothing was put back; git pull, and payoff deploy again if what git says is not what runs",
            )

    def _put_back(self, name: str, before: dict[str, dict[str, Any] | None], why: PayoffError) -> None:
        """The error that led here is the one to be told of; what cannot be put back must be told, too."""
        failed: PayoffError | None = None
        for kind, live in before.items():
            try:
                last = owned.applied(live, MANAGER) if live is not None else None
                there = self._live(kind, name, needed=live is not None)
                if last is not None:
                    self._api.apply(last, there)
                elif live is None and there is not None and manifests.owned_by(there, self._owner):
                    self._api.delete(kind, name)
            except UserError as error:
                # Of a kind that we never could look at, nothing was changed.
                failed = failed or (error if live is not None else None)
            except PayoffError as error:
                failed = failed or error
        if failed is not None:
            raise OutsideError(
                f"{why.what}\nand what was there before could not be put back: {failed.what}",
                code="PO-A161",
                expected="a cluster that is as it was where a release does not get ready",
                remedy=f"kubectl get deployments,pods --namespace {self._api.namespace} shows what runs; {failed.remedy}; then payoff deploy again",
            ) from why

    @property
    def _workload(self) -> str:
        return "InferenceService" if self._options.kserve else "Deployment"

    @property
    def _container(self) -> str:
        return manifests.KSERVE_CONTAINER if self._options.kserve else manifests.CONTAINER

    def _judged(self, workload: dict[str, Any]) -> tuple[Running, bool, str]:
        name = workload["metadata"]["name"]
        last = owned.applied(workload, MANAGER)
        drift = "" if last else "the record of who set what of it is gone"
        beside = self._beside(workload, last) if last else []
        if beside:
            drift = f"somebody added to its pods: {', '.join(each.words for each in beside[:_SHOWN])}"
        pods = self._pods(name)
        return judged(workload, pods, self._container, self._address(workload), drift)

    def _pods(self, name: str) -> list[dict[str, Any]]:
        of_kserve = f"serving.kserve.io/inferenceservice={name}"
        ours = f"{manifests.INSTANCE}={name},{manifests.BY}=payoff"
        return self._api.pods(of_kserve if self._options.kserve else ours)

    def _address(self, workload: dict[str, Any]) -> str:
        if self._options.address:
            return self._options.address
        if self._options.kserve:
            return str((workload.get("status") or {}).get("url") or "")
        metadata, port = workload["metadata"], self._options.service_port
        return f"http://{metadata['name']}.{metadata['namespace']}.svc" + (f":{port}" if port != 80 else "")


def _content(found: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in found["metadata"].items() if key not in _ITS_OWN}
    return {key: value for key, value in found.items() if key not in {"metadata", "status"}} | {"metadata": metadata}
