"""`payoff init DIR`: a new project."""

from __future__ import annotations

import sys

from payoff.base.errors import UserError
from payoff.cli.arguments import Parser
from payoff.cli.main import VERBS
from payoff.cli.render import screen


def _interview() -> dict[str, str]:
    """Ask until there is a charter; answers come from standard input, a line each."""
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
        try:
            question = asking.send(line.rstrip("\n"))
        except StopIteration as end:
            files: dict[str, str] = end.value.files
            return files


def main(argv: list[str]) -> int:
    """Make a git repository whose first `payoff run` succeeds."""
    parser = Parser("init", VERBS["init"])
    parser.add_argument("directory", metavar="DIR", help="the folder to make (empty or not there yet)")
    parser.add_argument("--template", metavar="NAME", default="starter", help="what to start from (default: starter)")
    parser.add_argument(
        "--interview", action="store_true", help="answer questions, one at a time; they become the charter"
    )
    options = parser.read(argv)

    from payoff.cli.render import document, findings
    from payoff.cli.render.progress import watching
    from payoff.flows.init import INTERVIEW, init
    from payoff.records.request import InitRequest

    request = InitRequest(directory=options.directory, template=options.template)
    if options.interview:
        request = InitRequest(directory=options.directory, template=INTERVIEW, files=_interview())
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
