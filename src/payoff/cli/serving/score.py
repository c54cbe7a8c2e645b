"""`payoff score RUN|RELEASE --input FILE --output FILE`: predictions and decisions for a whole file of rows."""

from __future__ import annotations

import argparse
import json

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def main(argv: list[str]) -> int:
    """Score a file; 0 when every row was."""
    parser = Parser("score", VERBS["score"])
    parser.add_argument(
        "run",
        metavar="RUN|RELEASE",
        nargs="?",
        default="latest",
        help="a release's number; or a run's id or its beginning (default: the latest run)",
    )
    parser.add_argument("--input", metavar="FILE", required=True, help="the rows: Parquet, CSV, JSON lines or Arrow")
    parser.add_argument("--output", metavar="FILE", required=True, help="the Parquet file to write")
    parser.add_argument(
        "--aside",
        metavar="FILE",
        default="",
        help="a Parquet file for rows that break a promise, with the reason; without it they are refused",
    )
    parser.add_argument("--workers", metavar="N", type=_count, default=0, help="processes (default: one per processor)")
    parser.add_argument("--part", metavar="ROWS", type=_count, default=65_536, help="rows of a part (default: 65536)")
    parser.add_argument("--anyway", action="store_true", help="use a run that its gates refused")
    parser.add_argument("--released", metavar="FOLDER", default="", help="a released model, inside its image")
    options = parser.read(argv)

    from payoff.base.text import count
    from payoff.flows.serve.score import Request, job
    from payoff.serving.score import processors, score

    request = Request(
        run=options.run,
        source=options.input,
        target=options.output,
        project=options.project,
        rows=options.part,
        anyway=options.anyway,
        aside=options.aside,
        released=options.released,
    )
    with job(request, screen.err) as made:
        done = score(made, options.workers or processors(), screen.err)
    served = made.offer.served
    release = int(options.run) if options.run.isdigit() and not options.released else None
    if options.json:
        told = {
            "release": release,
            "run": served.run,
            "file": options.output,
            **done._asdict(),
            "currency": served.charter.currency,
        }
        screen.document(json.dumps(told))
        return 0
    screen.out(
        f"{count(done.rows, 'row')} scored by {f'release {release}, ' if release else ''}run {served.run} in {done.seconds:.1f} s, written to {options.output}"
    )
    if done.reused:
        screen.out(f"  {count(done.reused, 'part')} of {done.parts:,} were done before")
    if options.aside:
        verb = "breaks a promise and is" if done.aside == 1 else "break a promise and are"
        screen.out(f"  {count(done.aside, 'row')} {verb} in {options.aside}, with the reasons")
    if done.payoff is not None:
        screen.out(f"  expected payoff of the decisions: {done.payoff:,.0f} {served.charter.currency}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
