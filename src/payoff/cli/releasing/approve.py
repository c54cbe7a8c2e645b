"""`payoff approve RELEASE --as ROLE`: sign that a release may be deployed."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Approve a release; 0 when it is approved, also when it was before."""
    parser = Parser("approve", VERBS["approve"])
    parser.add_argument("release", metavar="RELEASE", help="a release's number, its run, or latest")
    parser.add_argument(
        "--as", dest="role", metavar="ROLE", required=True, help="the role: owner, steward, engineer..."
    )
    parser.add_argument(
        "--for", dest="deployment", metavar="DEPLOYMENT", default="", help="for this one only (default: for every one)"
    )
    parser.add_argument("-m", "--says", metavar="TEXT", default="", help="a sentence that is signed along")
    options = parser.read(argv)

    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.approve import approve
    from payoff.records.answers.releasing import ApproveRequest

    answer = approve(
        ApproveRequest(
            release=options.release,
            role=options.role,
            deployment=options.deployment,
            says=options.says,
            project=options.project,
        )
    )
    if options.json:
        screen.document(steps.document(answer))
    else:
        screen.result(steps.approved(answer))
    return 0
