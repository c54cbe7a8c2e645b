"""`payoff` as a user calls it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from payoff.cli import failure
from payoff.cli.main import VERBS
from payoff.cli.render import document, screen
from payoff.cli.render import run as words
from payoff.flows import unchanged
from payoff.records.answers.request import RunAnswer
from payoff.records.run import RunRecord

HEAVY = {"pyarrow", "numpy", "duckdb", "rich", "msgspec", "mlflow", "sqlglot", "yaml", "pandas", "scipy", "jsonschema"}


def payoff(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "payoff", *argv],
        cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
        env={**{name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "PYTHONIOENCODING"}}, **env},
    )  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path, records: dict[str, RunRecord]) -> Path:
    """A project whose last answer was kept and in which nothing has changed since."""
    (tmp_path / "payoff.toml").write_text("")
    os.utime(tmp_path / "payoff.toml", (1e9, 1e9))
    answer = RunAnswer(record=records["refused"], unchanged=True)
    unchanged.began(str(tmp_path), unchanged.stamp([str(tmp_path / "payoff.toml")]))
    unchanged.keep(str(tmp_path), "{}", words.text(answer), document.run(answer, 1), 1)
    return tmp_path


def modules_of(*argv: str, cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "payoff", *argv], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    return {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time")
    }


def test_version() -> None:
    done = payoff("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("payoff ")


def test_help_names_every_verb_and_the_exit_codes() -> None:
    done = payoff("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout and says in done.stdout for verb, says in VERBS.items())
    assert "2 the input is wrong" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_json_and_project(verb: str) -> None:
    done = payoff(verb, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout
    assert "--project" in done.stdout


@pytest.mark.parametrize(
    "argv", [["--version"], ["--help"], *([verb, "--help"] for verb in VERBS), ["rnu"], ["run", "--forec"]]
)
def test_help_and_complaints_import_nothing_heavy(argv: list[str]) -> None:
    found = modules_of(*argv)
    assert "site" in found
    assert not found & HEAVY


def test_version_imports_next_to_nothing() -> None:
    assert not modules_of("--version") & {"argparse", "typing", "re", "json", "enum"} - modules_of_nothing()


def modules_of_nothing() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import runpy"], capture_output=True, text=True, check=True
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}


@pytest.mark.parametrize(
    ("argv", "code", "near"),
    [
        (["rnu"], "PO-U001", "Try: payoff run"),
        (["shwo"], "PO-U001", "Try: payoff show"),
        (["--project", "x"], "PO-U002", "after the verb"),
        (["run", "--forec"], "PO-U002", "Try: payoff run --force"),
        (["run", "--workers", "0"], "PO-U003", "payoff run --help"),
        (["run", "-p", "rate"], "PO-U003", "NAME=VALUE"),
        (["check", "everything"], "PO-U003", "payoff check --help"),
        (["init"], "PO-U003", "DIR"),
        (["runs", "--limit", "many"], "PO-U003", "above zero"),
    ],
)
def test_what_does_not_exist_is_answered_with_what_is_near(
    argv: list[str], code: str, near: str, tmp_path: Path
) -> None:
    done = payoff(*argv, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"{code}: ")
    assert near in done.stderr
    assert len(done.stderr.splitlines()) <= 4


def test_no_verb_prints_the_help_as_an_error() -> None:
    done = payoff()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: payoff VERB" in done.stderr


def test_an_error_with_json_is_one_document_and_nothing_else() -> None:
    done = payoff("run", "--workers", "x", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["code"] == "PO-U003"
    assert done.stderr == ""


def test_an_unchanged_project_gets_the_kept_answer_and_its_exit_code(kept: Path) -> None:
    done = payoff("run", cwd=kept)
    assert done.returncode == 1
    assert done.stderr == ""
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("+8,400 EUR a year (95 % interval -9,300 … +26,100)")
    assert "nothing to do" in second
    deeper = kept / "sql"
    deeper.mkdir()
    assert json.loads(payoff("run", "--json", cwd=deeper).stdout)["unchanged"] is True
    assert payoff("run", "--project", str(kept), "--workers", "2").returncode == 1


def test_the_kept_answer_is_given_without_importing_anything_heavy_or_argparse(kept: Path) -> None:
    assert not modules_of("run", cwd=kept) & (HEAVY | {"argparse", "typing"}) - modules_of_nothing()


@pytest.mark.parametrize("argv", [["--force"], ["--dry-run"], ["--only", "model"], ["-p", "rate=1"], ["--help"]])
def test_the_kept_answer_is_for_the_same_question_only(kept: Path, argv: list[str]) -> None:
    done = payoff("run", *argv, cwd=kept)
    assert "nothing to do" not in done.stdout


def test_nothing_piped_has_colour_and_a_terminal_has_some(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in payoff("run", cwd=kept).stdout
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    plain = on_a_terminal(kept, NO_COLOR="1")
    assert "✓" in plain
    assert "\x1b" not in plain
    assert "\x1b" not in on_a_terminal(kept, TERM="dumb")
    coloured = on_a_terminal(kept)
    assert coloured.startswith("\x1b[1m+8,400 EUR")
    assert "\x1b[31m✗\x1b[0m" in coloured


def on_a_terminal(project: Path, **env: str) -> str:
    """Run `payoff run` with a pseudo terminal as its standard output."""
    mine, theirs = os.openpty()
    environment = (
        {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
        | {"TERM": "xterm"}
        | env
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "payoff", "run"], cwd=project, stdout=theirs, stderr=subprocess.DEVNULL, timeout=60,
        env=environment, check=False,
    )  # fmt: skip
    os.close(theirs)
    assert done.returncode == 1
    text = os.read(mine, 1 << 16).decode()
    os.close(mine)
    return text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_terminal_without_our_signs_gets_plain_ones(kept: Path, encoding: str) -> None:
    done = payoff("run", cwd=kept, PYTHONIOENCODING=f"{encoding}:strict")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "(95 % interval -9,300 .. +26,100)" in done.stdout
    assert json.loads(payoff("run", "--json", cwd=kept, PYTHONIOENCODING=f"{encoding}:strict").stdout)["exit_code"] == 1


def test_a_reader_that_goes_away_is_nobodys_fault(kept: Path) -> None:
    for argv in ("run", "run --json", "--help"):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "payoff", *argv.split()], cwd=kept, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
        )  # fmt: skip
        os.close(writing)
        assert done.stderr == b""
        assert done.returncode == (0 if argv == "--help" else 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is always full")
def test_a_full_disk_behind_standard_output_is_the_outside_worlds_failure(kept: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "payoff", "run"], cwd=kept, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )  # fmt: skip
    assert done.returncode == 4
    assert "PO-U004: the disk is full" in done.stderr


def test_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    screen.result("a\x1b[2Jb\x07c\u202ed\x9be\nf\tg")
    assert capsys.readouterr().out == "a[2Jbcde\nf\tg\n"


def test_a_bug_leaves_a_traceback_without_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payoff.toml").write_text("")
    monkeypatch.chdir(tmp_path)

    def broken() -> None:
        secret = "hunter" + "2"
        raise ZeroDivisionError(len(secret) * [0] and "oops")

    try:
        broken()
    except ZeroDivisionError as error:
        assert failure.tell(error, ["run", "-p", "key=hunter2"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("PO-U007: this is a bug in Payoff: ZeroDivisionError in test_front_door.py:")
    (crash,) = (tmp_path / ".payoff").glob("crash-*.txt")
    assert str(crash) in said
    text = crash.read_text()
    assert "in broken" in text
    assert "hunter2" not in text + said
    assert crash.stat().st_mode & 0o077 == 0


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.tell(KeyboardInterrupt(), ["run"]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), "PO-U004"),
        (PermissionError(13, "denied", "ledger.db"), "PO-U005"),
        (MemoryError(), "PO-U006"),
    ],
)
def test_what_the_machine_did_is_not_our_bug(
    error: BaseException, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure.tell(error, ["run"]) == 4
    assert capsys.readouterr().err.startswith(code)


def test_a_verb_like_none_names_the_help() -> None:
    assert payoff("zzzzzz").stderr.splitlines()[-1] == "  Try: payoff --help"
