"""`payoff promote RELEASE DEPLOYMENT`: commit that a deployment should run a release."""

from __future__ import annotations

import argparse

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Promote a release; 0 when git says so, also when it did before."""
    parser = Parser("promote", VERBS["promote"])
    parser.add_argument("release", metavar="RELEASE", help="a release's number, its run, or latest")
    parser.add_argument("deployment", metavar="DEPLOYMENT", help="one of [deployments] in payoff.toml")
    parser.add_argument(
        "--branch",
        metavar="NAME",
        default="",
        help="commit to a new branch, for a pull request (default: where we are)",
    )
    tried = parser.add_mutually_exclusive_group()
    tried.add_argument(
        "--canary", metavar="SHARE", type=_share, help="try it beside what runs, on a share of the requests: 0.1"
    )
    tried.add_argument(
        "--shadow", metavar="SHARE", type=_share, help="the same with copies of requests, whose answers nobody hears"
    )
    options = parser.read(argv)

    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.promote import promote
    from payoff.records.answers.releasing import PromoteRequest

    answer = promote(
        PromoteRequest(
            release=options.release,
            deployment=options.deployment,
            branch=options.branch,
            share=options.canary or options.shadow or 0.0,
            mode="shadow" if options.shadow else "canary",
            project=options.project,
        )
    )
    if options.json:
        screen.document(steps.document(answer))
    else:
        screen.result(steps.promoted(answer))
    return 0


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: a number above 0 and up to 1, or 10%")
    return value
