"""`payoff export FORMAT WHAT`: a run that passed or a release, in the form that another platform takes."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

FORMATS = {
    "containerfile": "a folder that any builder makes an image of: base, locked requirements, code, model, server",
    "kserve": "an InferenceService of a release, for KServe",
    "mlflow": "a model folder that mlflow.pyfunc opens",
    "kfp": "a pipeline for Kubeflow Pipelines v2 that runs the project at the run's commit",
}


def main(argv: list[str]) -> int:
    """Export; 0 when it is done."""
    parser = Parser("export", VERBS["export"])
    says = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("format", metavar="FORMAT", choices=tuple(FORMATS), help=says)
    parser.add_argument(
        "what", metavar="WHAT", nargs="?", default="latest",
        help="a release by its number, or a run that passed (default: the latest run; kserve: the latest release)",
    )  # fmt: skip
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        default="",
        help="a new file or folder (default: print it; a folder gets a name)",
    )
    parser.add_argument(
        "--deployment", metavar="NAME", default="", help="kserve: the deployment whose section says how"
    )
    parser.add_argument(
        "--image", metavar="NAME@DIGEST", default="",
        help="kfp: the image that runs the pipeline; containerfile: the one that is built on (default: [release.base])",
    )  # fmt: skip
    parser.add_argument(
        "--repository", metavar="URL", default="", help="kfp: where the project is cloned from (default: origin)"
    )
    options = parser.read(argv)

    from payoff.cli.render.releasing import exported as words
    from payoff.cli.render.releasing import steps
    from payoff.flows.exporting.export import export
    from payoff.records.answers.exporting import ExportRequest

    answer = export(
        ExportRequest(
            format=options.format,
            what=options.what,
            output=options.output,
            deployment=options.deployment,
            image=options.image,
            repository=options.repository,
            project=options.project,
        )
    )
    if options.json:
        screen.document(steps.document(answer))
    elif answer.text:
        screen.out(answer.text.rstrip("\n"))
    else:
        screen.result(words.exported(answer))
    return 0
