"""A Kubernetes cluster: a Deployment with its Service, or KServe's InferenceService, by server-side apply."""

from payoff.adapters.deployers.kubernetes.deployer import connect
from payoff.adapters.deployers.kubernetes.options import CAPABILITIES, Autoscale, Options

__all__ = ["CAPABILITIES", "Autoscale", "Options", "connect"]
