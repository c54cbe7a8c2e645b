"""What every server of a model that speaks the Open Inference Protocol does: for ours, and for whoever serves a release by other means."""

from payoff.testing.serving.remote import GrpcSuite
from payoff.testing.serving.suite import ServingSuite

__all__ = ["GrpcSuite", "ServingSuite"]
