"""A front in a cluster: a gateway shares requests out between a release and the one that is tried, and their pods say what they saw."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from payoff.adapters.deployers.kubernetes import counters, manifests, owned, sharing
from payoff.adapters.deployers.kubernetes.access import access
from payoff.adapters.deployers.kubernetes.api import MANAGER, Api, printable
from payoff.adapters.deployers.kubernetes.judging import digest
from payoff.base.clock import now
from payoff.base.errors import OutsideError, Refused, UserError
from payoff.ports.releasing.front import Routes
from payoff.records.release.canary import Seen

CAPABILITIES: dict[str, Any] = {"remote": True}
_EVERY = 1.0


@dataclasses.dataclass(frozen=True)
class Options:
    """`gateway`: the Gateway (of the Gateway API) that leads to the cluster, as NAME or NAMESPACE/NAME; `hostname`: what clients ask there, and `address` where (default:
    https:// and that). `context`, `kubeconfig` and `namespace`: as in the deployment. `token`: what clients must bring, as `${TOKEN}`: the servers' figures ask for it,
    too. `wait`: seconds for the gateway to take a change.
    """

    gateway: str
    hostname: str
    address: str = ""
    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    token: str = ""
    wait: float = 60.0


def connect(root: Path, options: Options) -> GatewayFront:
    """The cluster; nothing is asked before it is used."""
    return GatewayFront(Path(root), options)


class GatewayFront:
    """One HTTPRoute for each deployment. What was seen is kept in its annotations: no machine of ours needs to be there meanwhile."""

    def __init__(self, root: Path, options: Options) -> None:
        self._options = options
        self._api = Api(lambda: access(root, options))

    def routes(self, name: str) -> Routes | None:
        """As the route's annotation has them."""
        live = self._api.get("HTTPRoute", manifests.named(name))
        return None if live is None else sharing.read(_annotations(live))

    def route(self, name: str, routes: Routes) -> str:
        """Apply the route, and wait until the gateway has taken it. A release that is tried is counted from then on."""
        if routes.canary is not None and routes.mode == "shadow":
            raise UserError(
                "a gateway's copies of requests cannot be compared with what the other release answered",
                code="PO-A163",
                expected="a canary, which answers a share of the requests",
                remedy="payoff promote RELEASE DEPLOYMENT --canary 5%",
            )
        plain, live = manifests.named(name), self._api.get("HTTPRoute", manifests.named(name))
        labels, port = self._service(plain, live)
        look = sharing.Look.of(_annotations(live)) if live is not None else None
        if routes.canary is not None:
            images = (routes.stable.image, routes.canary.image)
            if look is None or look.images != images:
                look = sharing.Look(now(), images)
                self._look(name, look)
                look.begin()
        names = [plain, *([manifests.named(f"{name}-canary")] if routes.canary else [])]
        annotations = {sharing.ROUTES: sharing.written(routes)}
        if routes.canary is not None and look is not None:
            annotations[sharing.SEEN] = look.text()
        spec = sharing.spec(
            self._options.gateway, self._options.hostname, [(each, port) for each in names], routes.share
        )
        made = sharing.manifest(plain, labels, annotations, spec)
        made["metadata"]["namespace"] = self._api.namespace
        self._api.apply(made, live)
        self._taken(plain)
        return self._options.address or f"https://{self._options.hostname}"

    def seen(self, name: str) -> Seen | None:
        """Ask all pods, add up, and write it down: beside all else that the route says, and only where that still is what was looked at."""
        live = self._api.get("HTTPRoute", manifests.named(name))
        said = {} if live is None else _annotations(live)
        routes, look = sharing.read(said), sharing.Look.of(said)
        if routes is None or routes.canary is None or look is None:
            return None
        self._look(name, look)
        live = self._api.get("HTTPRoute", manifests.named(name))
        ours = None if live is None else owned.applied(live, MANAGER)
        if live is None or ours is None or _annotations(live).get(sharing.ROUTES) != said[sharing.ROUTES]:
            return None
        ours["metadata"]["annotations"][sharing.SEEN] = look.text()
        self._api.apply(ours, live)
        stable, canary = (
            counters.arm(total, each.release, each.image, slowest=each is routes.stable)
            for total, each in zip(look.totals, (routes.stable, routes.canary), strict=True)
        )
        return Seen(since=look.since, mode="canary", stable=stable, canary=canary)

    def stop(self, name: str) -> None:
        """Remove the route, if it is ours."""
        live = self._api.get("HTTPRoute", manifests.named(name))
        if live is not None and manifests.owned_by(
            live, {manifests.BY: "payoff", manifests.INSTANCE: manifests.named(name)}
        ):
            self._api.delete("HTTPRoute", manifests.named(name))

    def _service(self, name: str, live: dict[str, Any] | None) -> tuple[dict[str, str], int]:
        """The labels of the Service, which say whose it is, and its port; a route of somebody else is left alone."""
        service = self._api.get("Service", name)
        said = {} if service is None else service["metadata"].get("labels") or {}
        labels = {
            key: str(said.get(key, ""))
            for key in (manifests.BY, manifests.INSTANCE, manifests.PROJECT, manifests.DEPLOYMENT)
        }
        if service is None or labels[manifests.BY] != "payoff" or not manifests.owned_by(service, labels):
            raise Refused(
                f"in the namespace {self._api.namespace} there is no Service {name} of a Deployment of ours to lead to",
                code="PO-A170",
                expected='a deployment of kind = "kubernetes" without kserve, in the context and the namespace that its front names, too',
                remedy="name them in the front's section; KServe shares requests out by itself: leave the front out there",
            )
        if live is not None and not manifests.owned_by(live, labels):
            words = " ".join(f"{key}={value}" for key, value in labels.items())
            raise Refused(
                f"the HTTPRoute {name} in the namespace {self._api.namespace} is not this deployment's: nothing was changed",
                code="PO-A160",
                expected="none, or one with this deployment's labels",
                remedy=f"name the deployment's own namespace in its front; or, if it may be taken over: kubectl label --overwrite --namespace "
                f"{self._api.namespace} httproute {name} {words}",
            )
        return labels, int(service["spec"]["ports"][0]["port"])

    def _look(self, name: str, look: sharing.Look) -> None:
        """Ask each pod that runs the image of its arm. One that does not answer now is asked at the next look."""
        there: dict[str, dict[str, float] | None] = {}
        totals = list(look.totals)
        for at, instance in enumerate((manifests.named(name), manifests.named(f"{name}-canary"))):
            for pod in self._api.pods(f"{manifests.INSTANCE}={instance},{manifests.BY}=payoff"):
                container = _container(pod)
                if not container or digest(pod, manifests.CONTAINER) != look.images[at]:
                    continue
                text = self._api.figures(pod["metadata"]["name"], manifests.PORT, self._options.token)
                last = look.containers.get(container, {})
                there[container] = now_said = last if text is None else counters.read(text)
                if last is not None and now_said is not None:
                    totals[at] = counters.summed(totals[at], counters.since(now_said, last))
        look.totals, look.containers = (totals[0], totals[1]), there

    def _taken(self, name: str) -> None:
        until = time.monotonic() + self._options.wait
        while True:
            live = self._api.get("HTTPRoute", name) or {}
            said = _conditions(live)
            generation = int(live.get("metadata", {}).get("generation") or 0)
            about = [each for each in said if int(each.get("observedGeneration") or 0) >= generation]
            if {each.get("type") for each in about if each.get("status") == "True"} >= {"Accepted", "ResolvedRefs"}:
                return
            if time.monotonic() > until:
                break
            time.sleep(_EVERY)
        wrong = [f"{each.get('reason')}: {each.get('message')}" for each in said if each.get("status") != "True"]
        raise OutsideError(
            f"the gateway {self._options.gateway} does not take the route {name}: {printable('; '.join(wrong))[:300] or 'it says nothing of it'}",
            code="PO-A164",
            expected=f"a Gateway of the Gateway API that lets routes of the namespace {self._api.namespace} in, for {self._options.hostname}",
            remedy=f"kubectl describe httproute {name} --namespace {self._api.namespace}",
        )


def _annotations(live: dict[str, Any]) -> dict[str, str]:
    return dict(live["metadata"].get("annotations") or {})


def _conditions(live: dict[str, Any]) -> list[dict[str, Any]]:
    parents = (live.get("status") or {}).get("parents") or []
    return [each for parent in parents for each in parent.get("conditions") or []]


def _container(pod: dict[str, Any]) -> str:
    """What changes when the server starts anew; empty where it does not run."""
    for each in (pod.get("status") or {}).get("containerStatuses") or []:
        if each.get("name") == manifests.CONTAINER and (each.get("state") or {}).get("running") is not None:
            return str(each.get("containerID") or f"{pod['metadata'].get('uid')}/{each.get('restartCount')}")
    return ""
