"""`payoff promote RELEASE DEPLOYMENT`: commit that a deployment should run a release."""

from __future__ import annotations

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
    options = parser.read(argv)

    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.promote import promote
    from payoff.records.answers.releasing import PromoteRequest

    answer = promote(
        PromoteRequest(
            release=options.release, deployment=options.deployment, branch=options.branch, project=options.project
        )
    )
    if options.json:
        screen.document(steps.document(answer))
    else:
        screen.result(steps.promoted(answer))
    return 0
