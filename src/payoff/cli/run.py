"""`payoff run`: from business case to verdict."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen
from payoff.cli.replay import request_key
from payoff.cli.runs import positive

if TYPE_CHECKING:
    from payoff.records.answers.request import RunAnswer, RunRequest


def main(argv: list[str]) -> int:
    """Run what is stale; the exit code is the verdict."""
    options = _options(argv)

    from payoff.flows.opening import root_of
    from payoff.records.answers.request import RunRequest

    request = RunRequest(
        project=str(root_of(options.project)),
        parameters=dict(options.parameters),
        dry_run=options.dry_run,
        force=options.force,
        only=tuple(options.only),
        patient=options.wait or options.json,
        workers=options.workers,
        show_sql=options.sql,
        command=("payoff", "run", *argv),
    )
    return _plan(request, options) if options.dry_run else _run(request, options)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = Parser("run", VERBS["run"])
    parser.add_argument(
        "-p", metavar="NAME=VALUE", dest="parameters", type=_parameter, action="append", default=[],
        help="a parameter of the steps that have it, or of one step: -p model.max_iter=400",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would run and why; run nothing")
    parser.add_argument("--sql", action="store_true", help="with --dry-run: show the SQL of every query, as it is sent")
    parser.add_argument("--force", action="store_true", help="run every step, stale or not")
    parser.add_argument(
        "--only", metavar="STEP", action="append", default=[], help="make this step and what it needs; no verdict"
    )
    parser.add_argument("--workers", metavar="N", type=positive, help="at most so many steps at once")
    parser.add_argument(
        "--wait", action="store_true", help="end only when the tracker has the run (--json does so too)"
    )
    return parser.read(argv)


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text.partition('=')[0]!r} has no value: write NAME=VALUE")
    return name, value


def _plan(request: RunRequest, options: argparse.Namespace) -> int:
    from payoff.flows.run import plan_only

    plan = plan_only(request)
    if options.json:
        from payoff.cli.render import document

        screen.document(document.encode(plan.document))
    else:
        screen.out(plan.text)
    return 0


def _run(request: RunRequest, options: argparse.Namespace) -> int:
    from payoff.cli.outcome import exit_code
    from payoff.cli.render import document
    from payoff.cli.render import run as words
    from payoff.cli.render.html import report
    from payoff.cli.render.progress import watching
    from payoff.flows.run import run

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, stop)
    with watching(sys.stderr) as observer:
        answer = run(request, observer, report)
    for warning in answer.warnings:
        screen.err(f"warning: {warning.code} {warning.what}\n  try: {warning.try_}")
    code = exit_code(answer)
    if options.json:
        screen.document(document.run(answer, code))
    else:
        screen.result(words.text(answer))
    _keep(request, answer, code)
    return code


def stop(number: int, frame: object) -> None:
    """Being ended is like ctrl-C: the steps' processes end too, and what finished is kept."""
    raise KeyboardInterrupt


def _keep(request: RunRequest, answer: RunAnswer, code: int) -> None:
    """Hand the answer that an unchanged project gets next time to the short way."""
    if request.only or answer.warnings or answer.record.status == "failed":
        return
    from msgspec.structs import replace

    from payoff.cli.render import document
    from payoff.cli.render import run as words
    from payoff.flows import unchanged

    again = replace(answer, unchanged=True)
    unchanged.keep(request.project, request_key(request.parameters), words.text(again), document.run(again, code), code)
