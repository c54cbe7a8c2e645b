"""`payoff show RUN`: one run."""

from __future__ import annotations

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Show a run's record; 0 whatever its verdict was, since showing it went well."""
    parser = Parser("show", VERBS["show"])
    parser.add_argument(
        "run", metavar="RUN", nargs="?", default="latest", help="a run's id or its beginning (default: the latest run)"
    )
    parser.add_argument("--predictions", metavar="FILE", help="write the scored holdout rows to a Parquet file")
    options = parser.read(argv)

    from payoff.base.text import count
    from payoff.cli.outcome import exit_code
    from payoff.cli.render import document
    from payoff.cli.render import run as words
    from payoff.flows.show import predictions, show

    answer = show(options.project, options.run)
    for warning in answer.warnings:
        screen.err(f"warning: {warning.code} {warning.what}\n  try: {warning.try_}")
    more = {}
    if options.predictions:
        rows = predictions(options.project, answer.record.run, options.predictions)
        more["predictions"] = {"file": options.predictions, "rows": rows}
    if options.json:
        screen.document(document.run(answer, exit_code(answer), **more))
    elif more:
        screen.out(f"{count(rows, 'prediction')} of run {answer.record.run} written to {options.predictions}")
    else:
        screen.result(words.text(answer))
    return 0
