"""An HTTPRoute of the Gateway API that shares requests out between two Services, and what was seen of both, as its annotations have it. Pure.

https://gateway-api.sigs.k8s.io/guides/traffic-splitting/.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from payoff.ports.releasing.front import Routes, Target

ROUTES, SEEN = "payoff.dev/routes", "payoff.dev/seen"
_WHOLE = 1000  # what the weights of both come to


def manifest(name: str, labels: dict[str, str], annotations: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    """An HTTPRoute; the namespace is the caller's."""
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def spec(gateway: str, hostname: str, services: list[tuple[str, int]], share: float) -> dict[str, Any]:
    """All requests of a host name go to the first Service, but for a share that the second gets."""
    namespace, _, name = gateway.rpartition("/")
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
    if namespace:
        parent["namespace"] = namespace
    tried = min(max(round(_WHOLE * share), 1), _WHOLE)  # a weight of nothing would be tried for ever
    weights = [_WHOLE] if len(services) == 1 else [_WHOLE - tried, tried]
    backends = [
        {"group": "", "kind": "Service", "name": service, "port": port, "weight": weight}
        for (service, port), weight in zip(services, weights, strict=True)
    ]
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": backends}
    return {"parentRefs": [parent], "hostnames": [hostname], "rules": [rule]}


def written(routes: Routes) -> str:
    """Routes, as an annotation has them."""
    targets = {
        key: {"address": each.address, "release": each.release, "image": each.image}
        for key, each in _arms(routes).items()
    }
    return json.dumps({**targets, "share": routes.share, "mode": routes.mode}, sort_keys=True)


def read(annotations: dict[str, str]) -> Routes | None:
    """Routes, of an annotation; None where there is none, or somebody else's words."""
    try:
        said = json.loads(annotations.get(ROUTES, ""))
        arms = {key: Target(**said[key]) for key in ("stable", "canary") if key in said}
        return Routes(**arms, share=float(said["share"]), mode=said["mode"])
    except (KeyError, TypeError, ValueError):
        return None


def _arms(routes: Routes) -> dict[str, Target]:
    return {"stable": routes.stable, **({"canary": routes.canary} if routes.canary else {})}


@dataclasses.dataclass
class Look:
    """What was added up so far of each arm, and what each container's own counters were at the last look; None where nobody knows what they began with."""

    since: str
    images: tuple[str, str]
    totals: tuple[dict[str, float], dict[str, float]] = dataclasses.field(default_factory=lambda: ({}, {}))
    containers: dict[str, dict[str, float] | None] = dataclasses.field(default_factory=dict)

    def begin(self) -> None:
        """What was before is where counting begins. Of a container that did not answer that is what it says first."""
        self.totals = ({}, {})
        self.containers = {name: said or None for name, said in self.containers.items()}

    def text(self) -> str:
        """As an annotation has it."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def of(cls, annotations: dict[str, str]) -> Look | None:
        """Of an annotation."""
        try:
            said = json.loads(annotations.get(SEEN, ""))
            one, other = said["totals"]
            return cls(
                str(said["since"]), (said["images"][0], said["images"][1]), (one, other), dict(said["containers"])
            )
        except (KeyError, IndexError, TypeError, ValueError):
            return None
