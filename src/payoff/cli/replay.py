"""The short way of an unchanged `payoff run`: the last answer again, before anything that is slow to import."""

from __future__ import annotations

from payoff.cli.render import screen
from payoff.flows import unchanged

_SWITCHES = {"--json", "--wait"}
_VALUES = {"--project", "-p", "--workers"}


def replay(argv: list[str]) -> int | None:
    """The exit code of the last run after its answer was given again; None when the long way has to be taken."""
    found = _options(argv)
    if found is None:
        return None
    project, parameters, wants_json = found
    answer = unchanged.answer(project, request_key(parameters))
    if answer is None:
        return None
    text, document, code = answer
    if wants_json:
        screen.document(document)
    else:
        screen.result(text)
    return code


def request_key(parameters: dict[str, str]) -> str:
    """The one text for what a run was asked for."""
    return "{}" if not parameters else repr(sorted(parameters.items()))


def _options(argv: list[str]) -> tuple[str | None, dict[str, str], bool] | None:
    """The options in their plainest spelling; None for anything else, which argparse then judges."""
    project, parameters, wants_json = None, {}, False
    words = iter(argv)
    for word in words:
        if word in _SWITCHES:
            wants_json = wants_json or word == "--json"
        elif word in _VALUES:
            value = next(words, "")
            name, given, text = value.partition("=")
            if word == "--project" and value:
                project = value
            elif word == "-p" and given:
                parameters[name] = text
            elif word != "--workers" or not value.isdecimal():
                return None
        else:
            return None
    return project, parameters, wants_json
