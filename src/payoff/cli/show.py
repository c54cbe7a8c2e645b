"""`payoff show RUN`: one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    parser.add_argument(
        "--for", dest="reader", metavar="READER", help="as a reader of payoff.toml may see it ([readers.NAME])"
    )
    parser.add_argument("--report", metavar="FILE", help="write the run's page, as the reader may see it")
    options = parser.read(argv)

    from payoff.base.text import count
    from payoff.cli.outcome import exit_code
    from payoff.cli.render import document
    from payoff.cli.render import run as words
    from payoff.flows.show import predictions, show

    answer = show(options.project, options.run, options.reader)
    for warning in answer.warnings:
        screen.err(f"warning: {warning.code} {warning.what}\n  try: {warning.try_}")
    more: dict[str, Any] = {}
    if options.predictions:
        rows = predictions(options.project, answer.record.run, options.predictions, options.reader)
        more["predictions"] = {"file": options.predictions, "rows": rows}
    if options.report:
        from payoff.base.files import write_atomically
        from payoff.cli.render.html import report

        write_atomically(Path(options.report), report(answer.record, answer))
        more["page"] = {"file": options.report}
    if options.json:
        screen.document(document.run(answer, exit_code(answer), **more))
    elif more:
        if options.predictions:
            screen.out(f"{count(rows, 'prediction')} of run {answer.record.run} written to {options.predictions}")
        if options.report:
            screen.out(f"page of run {answer.record.run} written to {options.report}")
    else:
        screen.result(words.text(answer))
    return 0
