"""What `[deployments.NAME]` says of a cluster."""

from __future__ import annotations

import dataclasses
from typing import Any

CAPABILITIES: dict[str, Any] = {"remote": True}
NAMED = "payoff-token"  # the Secret of a project that names none


@dataclasses.dataclass(frozen=True)
class Autoscale:
    """Copies follow the load: between `min` and `max` of them, so that each uses `cpu` percent of what it asks for."""

    max: int
    min: int = 1
    cpu: int = 70


@dataclasses.dataclass(frozen=True)
class Options:
    """`context` and `namespace` as the kubeconfig has them (empty: its current one); `kubeconfig`: a file (empty: `KUBECONFIG`, `~/.kube/config`, or
    inside of a cluster the pod's own account). `replicas`: copies, or `autoscale` instead. `cpu` and `memory`: what a copy is given, in
    Kubernetes' quantities; memory is also its limit. `token_secret`: a Secret whose key `token` clients must bring, unless whoever reaches the server may ask it (`open`); `pull_secret`: one that
    the cluster pulls images with. `claim`: a PersistentVolumeClaim for the log of predictions. `egress`: whether the server may open connections
    of its own. `kserve`: an InferenceService instead of a Deployment.
    `service_port`: what the Service listens to. `address`: where clients reach it from outside, when an ingress or gateway leads there.
    `wait`: seconds for a release to get ready; `drain`: seconds in which a copy that is told to end still takes what comes (Kubernetes 1.30),
    `grace`: seconds for it to finish.
    """

    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    replicas: int = 2
    cpu: str = "500m"
    memory: str = "1Gi"
    autoscale: Autoscale | None = None
    token_secret: str = NAMED
    open: bool = False
    pull_secret: str = ""
    claim: str = ""
    egress: bool = False
    kserve: bool = False
    service_port: int = 80
    address: str = ""
    wait: float = 300.0
    drain: int = 5
    grace: int = 30
