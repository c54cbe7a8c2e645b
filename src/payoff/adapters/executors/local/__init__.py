"""Runs tasks on this machine, each in a process of its own inside a sandbox made from a uv lock."""

from payoff.adapters.executors.local.compiling import compile_modules
from payoff.adapters.executors.local.options import CAPABILITIES, Options, connect
from payoff.adapters.executors.local.sandbox import requirements

__all__ = ["CAPABILITIES", "Options", "compile_modules", "connect", "requirements"]
