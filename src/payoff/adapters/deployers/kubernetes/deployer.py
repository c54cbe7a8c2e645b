"""Deployments of a cluster: applied, waited for, and put back when they do not get ready."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.adapters.deployers.kubernetes import manifests, owned
from payoff.adapters.deployers.kubernetes.access import access
from payoff.adapters.deployers.kubernetes.api import MANAGER, Api
from payoff.adapters.deployers.kubernetes.judging import judged
from payoff.base import lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.releasing.deployer import Running, Wanted, nowhere

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

    from payoff.adapters.deployers.kubernetes.options import Options
    from payoff.ports.releasing.registry import Registry
else:
    yaml = lazy.Module("yaml")

# The pieces of a deployment, in the order in which they go.
_KINDS = (
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "InferenceService",
    "Deployment",
    "Service",
    "NetworkPolicy",
)
_LINES = 15  # of a pod's own words, when it does not get ready
_EVERY = 1.0  # seconds between two looks
# What a cluster writes into every object, and what it does with it.
_ITS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def connect(root: Path, options: Options) -> Kubernetes:
    """The cluster; nothing is asked before it is used."""
    return Kubernetes(Path(root), options)


class Kubernetes:
    """A deployment is the objects of its name; fields of theirs that others set stay theirs."""

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._api = Api(lambda: access(root, options))

    def state(self, name: str) -> Running | None:
        """What the cluster says of its pods: their images by digest, and whether all of them answer."""
        plain = manifests.named(name)
        workload = self._api.get(self._workload, plain)
        return None if workload is None else self._judged(workload)[0]

    def apply(self, wanted: Wanted, images: Registry, switch: Callable[[str], None] = nowhere) -> Running:
        """Apply what differs, wait for the roll-out. Kubernetes keeps copies of the old one until those of the new answer; where these do not,
        what was applied before is applied again.
        """
        made = manifests.rendered(wanted, images.address, self._options, self._api.namespace)
        name = manifests.named(wanted.name)
        kinds = {each["kind"] for each in made}
        before = {kind: self._live(kind, name, needed=kind in kinds) for kind in _KINDS}
        extra = [kind for kind, live in before.items() if live is not None and kind not in kinds]
        changed = [each for each in made if not self._same(each, before[each["kind"]])]
        runs = self.state(wanted.name)
        if runs is None or not runs.ready or runs.image != wanted.image or changed or extra:
            try:
                for each in changed:
                    self._api.apply(each)
                for kind in extra:
                    self._api.delete(kind, name)
                runs = self._waited(wanted)
            except PayoffError:
                self._put_back(name, before)
                raise
        switch(runs.address)
        return runs

    def shown(self, wanted: Wanted, images: Registry) -> str:
        """The manifests, as `kubectl apply --server-side` takes them. No cluster is asked."""
        namespace = self._options.namespace or "default"
        with contextlib.suppress(PayoffError):
            namespace = self._api.namespace
        made = manifests.rendered(wanted, images.address, self._options, namespace)
        return str(yaml.safe_dump_all(made, sort_keys=False, explicit_start=True, width=120))

    def stop(self, name: str) -> None:
        """Delete its objects, the pods with them; answers when they are gone, or as late as `grace` allows."""
        plain = manifests.named(name)
        for kind in _KINDS:
            if self._live(kind, plain, needed=kind == self._workload) is not None:
                self._api.delete(kind, plain)
        until = time.monotonic() + self._options.grace + self._options.drain + 30
        while self.state(name) is not None and time.monotonic() < until:
            time.sleep(_EVERY)

    def _live(self, kind: str, name: str, *, needed: bool) -> dict[str, Any] | None:
        """An object; one of a kind that this deployment does not use, and that we may not look at either, is none of ours."""
        try:
            found = self._api.get(kind, name)
        except UserError:
            if needed:
                raise
            return None
        labels = found["metadata"].get("labels") or {} if found else {}
        return found if needed or labels.get(manifests.BY) == MANAGER else None

    def _same(self, manifest: dict[str, Any], live: dict[str, Any] | None) -> bool:
        """Whether applying would change nothing, in the cluster's own judgement (`kubectl diff --server-side`)."""
        return live is not None and _content(self._api.apply(manifest, dry=True)) == _content(live)

    def _waited(self, wanted: Wanted) -> Running:
        until = time.monotonic() + self._options.wait
        while True:
            workload = self._api.get(self._workload, manifests.named(wanted.name))
            running, hopeless, pod = self._judged(workload) if workload is not None else (None, False, "")
            if running is not None and running.ready and running.image == wanted.image:
                return running
            if hopeless or time.monotonic() > until:
                break
            time.sleep(_EVERY)
        why = running.why if running is not None else "somebody removed it"
        words = self._api.log(pod, self._container, _LINES) if pod else ""
        raise OutsideError(
            f"release {wanted.release} does not get ready"
            + ("" if hopeless else f" within {self._options.wait:g} s")
            + f": {why}"
            + (f"\n{words}" if words else ""),
            code="PO-A111",
            expected="a model that answers /v2/health/ready",
            remedy="what ran before runs on; look at what its pod said, and release a run that starts",
        )

    def _put_back(self, name: str, before: dict[str, dict[str, Any] | None]) -> None:
        """Best effort: the error that led here is the one to be told of."""
        for kind, live in before.items():
            with contextlib.suppress(PayoffError):
                last = owned.applied(live, MANAGER) if live is not None else None
                if last is not None:
                    self._api.apply(last)
                elif live is None:
                    self._api.delete(kind, name)

    @property
    def _workload(self) -> str:
        return "InferenceService" if self._options.kserve else "Deployment"

    @property
    def _container(self) -> str:
        return manifests.KSERVE_CONTAINER if self._options.kserve else manifests.CONTAINER

    def _judged(self, workload: dict[str, Any]) -> tuple[Running, bool, str]:
        name = workload["metadata"]["name"]
        of_kserve = f"serving.kserve.io/inferenceservice={name}"
        ours = f"{manifests.INSTANCE}={name},{manifests.BY}=payoff"
        pods = self._api.pods(of_kserve if self._options.kserve else ours)
        return judged(workload, pods, self._container, self._address(workload))

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
