"""A process on this machine: the parts of the release's image that are above its base, unpacked, with this machine's interpreter. For laptops and tests."""

from payoff.adapters.deployers.process.deployer import connect
from payoff.adapters.deployers.process.options import CAPABILITIES, Options

__all__ = ["CAPABILITIES", "Options", "connect"]
