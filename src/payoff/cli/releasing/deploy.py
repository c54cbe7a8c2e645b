"""`payoff deploy DEPLOYMENT`: make a deployment run what git says."""

from __future__ import annotations

import argparse
import contextlib
import signal
import traceback
from typing import TYPE_CHECKING

from payoff.base.errors import PayoffError
from payoff.cli import failure
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

if TYPE_CHECKING:
    from payoff.records.answers.releasing import Deployed


def main(argv: list[str]) -> int:
    """Deploy once, or until it is told to end."""
    parser = Parser("deploy", VERBS["deploy"])
    parser.add_argument(
        "deployment",
        metavar="DEPLOYMENT",
        nargs="?",
        help="one of [deployments] in payoff.toml (default: show them all)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument(
        "--follow",
        action="store_true",
        help="go on: take over what is pushed, put back what drifts, until it is stopped",
    )
    parser.add_argument(
        "--every", metavar="S", type=_seconds, default=15.0, help="seconds between two looks (default: 15)"
    )
    parser.add_argument(
        "--judge",
        action="store_true",
        help="a release that is tried goes on or back, by what was seen of it; the step is committed",
    )
    parser.add_argument(
        "--push", action="store_true", help="when following: push what is signed, to the branch's remote"
    )
    options = parser.read(argv)

    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.deploy import deploy, follow
    from payoff.records.answers.releasing import DeployRequest

    if options.deployment is None:
        return _overview(parser, options)
    request = DeployRequest(
        deployment=options.deployment,
        project=options.project,
        dry_run=options.dry_run,
        every=options.every,
        push=options.push,
        judge=options.judge,
    )

    def tell(answer: Deployed | PayoffError) -> None:
        if options.json:
            screen.out(steps.line(answer))
        elif isinstance(answer, PayoffError):
            screen.err(str(answer))
        else:
            screen.out(steps.deployed(answer))

    if options.follow:
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):  # that is how it ends; what it deployed runs on
            follow(request, tell, _Known(argv))
        return 0
    answer = deploy(request)
    if options.json:
        screen.document(steps.document(answer))
    else:
        screen.result(steps.deployed(answer))
    return 0


class _Known:
    """Errors as they are told, while it goes on: of the same failure, again and again, one file is kept."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._seen: dict[str, PayoffError] = {}

    def __call__(self, error: Exception) -> PayoffError:
        if isinstance(error, PayoffError):
            return error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__} {getattr(error, 'errno', '')} {frame.filename}:{frame.lineno}"
        if said not in self._seen:
            self._seen[said] = failure.as_ours(error, ["deploy", *self._argv])
        return self._seen[said]


def _overview(parser: Parser, options: argparse.Namespace) -> int:
    asked = [f"--{name.replace('_', '-')}" for name in ("dry_run", "follow", "judge", "push") if vars(options)[name]]
    if asked:
        parser.error(f"{asked[0]} is of one DEPLOYMENT; payoff deploy alone shows them all")
    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.standing import standing

    found = standing(options.project)
    screen.document(steps.document(found)) if options.json else screen.result(steps.standing(found))
    return 0


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to 86400")
    return value
