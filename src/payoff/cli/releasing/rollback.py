"""`payoff rollback DEPLOYMENT`: what it ran before, by a commit that reverts the promotion; then it is deployed."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Roll back; 0 when the release before runs."""
    parser = Parser("rollback", VERBS["rollback"])
    parser.add_argument("deployment", metavar="DEPLOYMENT", help="one of [deployments] in payoff.toml")
    parser.add_argument(
        "--to", metavar="RELEASE", default="", help="a release that it ran earlier (default: the one before)"
    )
    parser.add_argument(
        "--commit-only", action="store_true", help="only commit; payoff deploy, or one that follows, does the rest"
    )
    options = parser.read(argv)

    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.deploy import deploy
    from payoff.flows.releasing.rollback import rollback
    from payoff.records.answers.releasing import DeployRequest, RollbackRequest

    answer = rollback(RollbackRequest(deployment=options.deployment, to=options.to, project=options.project))
    if options.commit_only:
        screen.document(steps.document(answer)) if options.json else screen.result(steps.promoted(answer))
        return 0
    if not options.json:
        screen.out(steps.promoted(answer).partition("\n")[0])  # the next step is made at once
    made = deploy(DeployRequest(deployment=options.deployment, project=options.project))
    screen.document(steps.document(made)) if options.json else screen.result(steps.deployed(made))
    return 0
