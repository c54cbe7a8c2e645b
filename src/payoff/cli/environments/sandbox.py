"""`payoff sandbox`: a command in a locked environment."""

from __future__ import annotations

from payoff.base.errors import UserError
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Run a command on this terminal; its exit code is ours."""
    words, command = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser("sandbox", VERBS["sandbox"])
    parser.usage = (
        "payoff sandbox [-h] [--project DIR] [--environment NAME] [--table TABLE ...] [--no-network] [-- COMMAND ...]"
    )
    parser.add_argument(
        "--environment", metavar="NAME", default="default", help="an environment of the project (default: default)"
    )
    parser.add_argument(
        "--table", metavar="TABLE", action="append", default=[], help="a table to have (default: all; again for more)"
    )
    parser.add_argument(
        "--no-network", action="store_true", help="the command reaches no other machine, and of this one only itself"
    )
    parser.epilog = "After -- comes the command, as in: payoff sandbox -- jupyter lab. Without one: Python, with the tables as variables."
    options = parser.read(words)
    if options.json:
        raise UserError(
            "payoff sandbox has no document: its output is the command's",
            code="PO-U003",
            expected="no --json",
            remedy="payoff sandbox -- COMMAND",
        )

    from payoff.flows.environments.sandbox import sandbox

    return sandbox(
        options.project, command, screen.err,
        environment=options.environment, tables=options.table, network=not options.no_network,
    )  # fmt: skip
