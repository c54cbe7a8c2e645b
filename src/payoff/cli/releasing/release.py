"""`payoff release RUN`: a run that passed, as a signed image."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Release a run; 0 when it is released, also when it was before."""
    parser = Parser("release", VERBS["release"])
    parser.add_argument(
        "run", metavar="RUN", nargs="?", default="latest", help="a run's id or its beginning (default: the latest run)"
    )
    parser.add_argument("--dry-run", action="store_true", help="make the image's digest, write and push nothing")
    parser.add_argument("--onnx", action="store_true", help="with the model converted to ONNX, where it says the same")
    options = parser.read(argv)

    from payoff.cli.render.releasing import release as words
    from payoff.cli.render.releasing import steps
    from payoff.flows.releasing.release import release
    from payoff.records.answers.releasing import ReleaseRequest

    answer = release(
        ReleaseRequest(run=options.run, project=options.project, dry_run=options.dry_run, onnx=options.onnx)
    )
    if options.json:
        screen.document(steps.document(answer))
    else:
        screen.result(words.made(answer))
    return 0
