"""`payoff init DIR`: a new project."""

from __future__ import annotations

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING

from payoff.base.errors import PayoffError, UserError
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen

if TYPE_CHECKING:
    from collections.abc import Iterator


def _interview(accepted: list[str]) -> dict[str, str]:
    """Ask until there is a charter; answers come from standard input, a line each. Those that were right are `accepted`."""
    from payoff.flows.init import columns_of, values_of
    from payoff.flows.interview import interview

    asking = interview(columns_of, values_of)
    question = next(asking)
    while True:
        screen.err("")
        if question.wrong:
            screen.err(f"✗ {question.wrong}")
        screen.err(question.ask)
        if question.why:
            screen.err(f"  {question.why}")
        screen.prompt(f"[{question.default}] > " if question.default else "> ")
        line = sys.stdin.readline()
        if not line:
            raise UserError(
                "the interview was not finished",
                code="PO-I008",
                expected="an answer to every question",
                remedy="payoff init DIR --interview, or payoff init DIR and write charter.toml by hand",
            )
        answer = line.rstrip("\n")
        try:
            question = asking.send(answer)
        except StopIteration as end:
            accepted.append(answer)
            files: dict[str, str] = end.value.files
            return files
        if not question.wrong:
            accepted.append(answer)


@contextlib.contextmanager
def _kept(directory: str, accepted: list[str]) -> Iterator[None]:
    """Whatever stops an interview or what follows it: nobody answers twice."""
    from payoff.flows.init import keep_answers

    try:
        yield
    except (PayoffError, KeyboardInterrupt):
        if accepted:
            # A folder that cannot be written to must not hide why there is no project.
            with contextlib.suppress(OSError):
                file = shlex.quote(keep_answers(directory, accepted))
                screen.err(
                    f"\nthe answers so far are kept; to go on: cat {file} - | payoff init {shlex.quote(directory)} --interview"
                )
        raise


def main(argv: list[str]) -> int:
    """Make a git repository whose first `payoff run` succeeds."""
    parser = Parser("init", VERBS["init"])
    parser.add_argument("directory", metavar="DIR", help="the folder to make (empty or not there yet)")
    parser.add_argument("--template", metavar="NAME", help="what to start from (default: starter)")
    parser.add_argument(
        "--interview", action="store_true", help="answer questions, one at a time; they become the charter"
    )
    parser.add_argument(
        "--ci",
        choices=("github", "gitlab", "both", "none"),
        default="both",
        help="whose pull requests are to be judged by their money (default: both)",
    )
    options = parser.read(argv)

    if options.interview and options.template:
        parser.error("--interview and --template do not go together: the answers are the template")

    from payoff.cli.render import document, findings
    from payoff.cli.render.progress import watching
    from payoff.flows.init import INTERVIEW, init, refuse_full
    from payoff.records.answers.request import InitRequest

    accepted: list[str] = []
    hosts = {"both": ("github", "gitlab"), "none": ()}.get(options.ci, (options.ci,))
    request = InitRequest(directory=options.directory, template=options.template or "starter", ci=hosts)
    with _kept(options.directory, accepted):
        if options.interview:
            refuse_full(options.directory)  # before, not after, somebody answered twenty questions
            files = _interview(accepted)
            request = InitRequest(directory=options.directory, template=INTERVIEW, files=files, ci=hosts)
        with watching(sys.stderr) as observer:
            answer = init(
                request,
                lambda line: observer("init", name=options.directory, state="progress", line=line),
            )
    if options.json:
        screen.document(document.init(answer))
    else:
        screen.result(findings.init(answer))
    return 0
