"""`payoff init`: a git repository whose first `payoff run` succeeds."""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from payoff import __version__
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.files import write_atomically
from payoff.base.text import did_you_mean
from payoff.records.answers.request import InitAnswer, InitRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.resources.abc import Traversable

_RENAMED = {"gitignore": ".gitignore"}
_SCHEMAS = ("payoff", "charter")
INTERVIEW = "_interview"
_CI = {"github": ".github/workflows/payoff.yml", "gitlab": ".gitlab-ci.yml"}
_BATCHES, _VALUES = 20, 10
_LARGE = ("torch",)  # packages whose usual build brings what a machine without a graphics card has no use for


def _quiet(_line: str) -> None:
    return None


def init(request: InitRequest, tell: Callable[[str], None] = _quiet) -> InitAnswer:
    """Write the template's files, lock the environment, make the template's data, commit. What fails leaves no half project behind."""
    template = _folder().joinpath(INTERVIEW) if request.template == INTERVIEW else _template(request.template)
    folder = Path(request.directory).absolute()
    was_there = refuse_full(request.directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder {request.directory} cannot be made: {error.strerror}",
            code="PO-I009",
            expected="a place where this user may make a folder",
            remedy="payoff init another-folder",
        ) from error
    try:
        files = _write(template, folder)
        files += _write_over(folder, request.files)
        files += _write_ci(folder, request.ci)
        _use_small_builds(folder, tell)
        tell("locking the environment")
        _uv(folder, "lock")
        if (folder / "make_data.py").exists():
            tell("installing the environment and making the data")
            _make_data(folder)
        tell("first commit")
        commit = _commit(folder)
    except (PayoffError, KeyboardInterrupt):
        _undo(folder, keep_folder=was_there)
        raise
    shown = os.path.relpath(folder)
    shown = f"'{shown}'" if " " in shown else shown
    return InitAnswer(
        directory=str(folder),
        template=request.template.strip("_"),
        files=tuple(sorted([*files, "uv.lock"])),
        commit=commit,
        next=(f"cd {shown}", "payoff check", "payoff worth" if request.template == INTERVIEW else "payoff run"),
    )


def templates() -> list[str]:
    """The names of the templates that come with Payoff."""
    return sorted(each.name for each in _folder().iterdir() if each.is_dir() and not each.name.startswith("_"))


def _folder() -> Traversable:
    return resources.files("payoff").joinpath("templates")


def _template(name: str) -> Traversable:
    if name not in templates():
        raise UserError(
            f"there is no template {name!r}",
            code="PO-I001",
            expected=did_you_mean(name, templates()),
            remedy="payoff init DIR --template NAME with one of these",
        )
    return _folder().joinpath(name)


def refuse_full(directory: str) -> bool:
    """True when the folder is there already and may be used: it holds nothing but perhaps an empty git repository."""
    folder = Path(directory).absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{folder.name} is a file",
            code="PO-I002",
            expected="a new or empty folder",
            remedy="payoff init another-folder",
        )
    if not folder.exists():
        return False
    found = sorted(each.name for each in folder.iterdir() if each.name != ".git")
    if found:
        raise UserError(
            f"the folder {folder.name} is not empty: it has {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}",
            code="PO-I003",
            expected="a new or empty folder",
            remedy="payoff init another-folder, or empty this one first",
        )
    return True


def _write(template: Traversable, folder: Path) -> list[str]:
    from payoff.project import schema_text  # the loader, which a refusal does not need

    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "project"
    written: list[str] = []

    def copy(source: Traversable, relative: str) -> None:
        for each in source.iterdir():
            name = f"{relative}{_RENAMED.get(each.name, each.name)}"
            if each.is_dir():
                if each.name != "__pycache__":
                    copy(each, f"{name}/")
            else:
                title = folder.name.replace("\\", "\\\\").replace('"', '\\"')
                text = each.read_text(encoding="utf-8").replace("{{name}}", title).replace("{{slug}}", slug)
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
                written.append(name)

    copy(template, "")
    for name in _SCHEMAS:
        path = folder / "schemas" / f"{name}.schema.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(schema_text(name), encoding="utf-8")
        written.append(f"schemas/{name}.schema.json")
    return written


def _write_over(folder: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        title = folder.name.replace("\\", "\\\\").replace('"', '\\"')
        (folder / name).write_text(text.replace("{{name}}", title), encoding="utf-8")
    return list(files)


def _write_ci(folder: Path, hosts: tuple[str, ...]) -> list[str]:
    """What judges pull requests by their money, on the hosts that are asked for."""
    wanted = {f"ci/{each}": each for each in ("payoff.sh", "release.sh")} if hosts else {}
    wanted |= {_CI[host]: f"{host}.yml" for host in hosts}
    for name, source in wanted.items():
        text = _folder().joinpath("_ci", source).read_text(encoding="utf-8").replace("{{version}}", __version__)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(wanted)


def _use_small_builds(folder: Path, tell: Callable[[str], None]) -> None:
    """Pin what pip has on this machine as a build of its own, which uv would not look for.

    PyPI's PyTorch for Linux brings several GB for graphics cards; a wheel of a local version (`2.13.0+cpu`) in a folder of pip's
    `find-links` is what whoever set this machine up wants used. It goes into pyproject.toml, where uv, Payoff and people see it.
    """
    file = folder / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    asked = re.search(rf'^    "({"|".join(_LARGE)})[ <>=!~,.\d]*",$', text, re.MULTILINE)
    found = _on_disk(asked[1]) if asked else None
    if asked is None or found is None:
        return
    version, wheels = found
    python = f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    text = text.replace(
        asked[0], f'    "{asked[1]}=={version}",  # a build that pip knows on the machine of `payoff init`', 1
    )
    text = re.sub(
        r"^requires-python = .*$", f'requires-python = "{python}"  # as that build', text, count=1, flags=re.MULTILINE
    )
    text = text.replace("[tool.uv]\n", f"[tool.uv]\nfind-links = [{json.dumps(str(wheels))}]\n", 1)
    file.write_text(text, encoding="utf-8")
    tell(f"{asked[1]} {version} comes from {wheels}, where pip looks too")


def _on_disk(name: str) -> tuple[str, Path] | None:
    """The newest wheel of a local version for this Python and processor in pip's folders, and its folder."""
    pip = shutil.which("pip", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]))
    if pip is None:
        return None
    said = subprocess.run([pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    fits = f"-cp{sys.version_info.major}{sys.version_info.minor}-*{platform.machine()}.whl"
    found: list[tuple[list[int], str, Path]] = []
    for line in re.findall(r"find-links='([^']*)'", said):
        for place in {Path(each) for each in line.replace("\\n", " ").split() if Path(each).is_absolute()}:
            versions = [wheel.name.split("-")[1] for wheel in place.glob(f"{name}-*+*{fits}")]
            found += [([int(n) for n in re.findall(r"\d+", each.split("+")[0])], each, place) for each in versions]
    return max(found)[1:] if found else None


def keep_answers(directory: str, answers: list[str]) -> str:
    """Write the answers of an interview that made no project beside the folder it would have made; answers the file's name."""
    file = Path(f"{directory.rstrip('/')}.answers")
    write_atomically(file, "".join(f"{answer}\n" for answer in answers))
    return str(file)


def columns_of(file: str) -> list[str]:
    """The columns of a data file, for whoever has to name one."""
    from payoff.wiring import assemble  # only for an interview

    return list(assemble.file(file).schema().names)


def values_of(file: str, column: str) -> list[str]:
    """The values of a column of a data file as text, the most frequent first; at most ten, from the first rows."""
    from payoff.wiring import assemble  # only for an interview

    counts: collections.Counter[str] = collections.Counter()
    with contextlib.closing(assemble.file(file).read([column])) as reader:
        for batch in itertools.islice(reader, _BATCHES):
            counts.update(str(each) for each in batch.column(0).to_pylist() if each is not None)
    return [value for value, _ in counts.most_common(_VALUES)]


def _make_data(folder: Path) -> None:
    """Run the template's own script in the project's own environment; it writes data/, which git ignores."""
    environment = folder / ".venv"
    _uv(folder, "sync", "--frozen", "--no-default-groups")
    python = environment / "bin" / "python"
    done = subprocess.run(
        [str(python), "make_data.py"], cwd=folder, capture_output=True, text=True, check=False, env=_environ()
    )
    if done.returncode:
        raise OutsideError(
            f"make_data.py of the template failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}",
            code="PO-I004",
            expected="a script that writes data/",
            remedy="payoff init again; if it stays, payoff init --template starter",
        )


def _environ() -> dict[str, str]:
    away = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH", "PYTHONHOME")
    return {name: value for name, value in os.environ.items() if name not in away}


def _uv(folder: Path, *words: str) -> None:
    import uv  # finds the program that came with it

    done = subprocess.run(
        [uv.find_uv_bin(), *words, "--color", "never", "--no-progress"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=_environ(),
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-400:]
        raise OutsideError(
            f"uv {words[0]} failed: {said}",
            code="PO-I005",
            expected="a package index that can be reached",
            remedy="check the network and uv's index settings, then payoff init again",
            retryable=True,
        )


def _commit(folder: Path) -> str:
    if not (folder / ".git").exists():
        _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    known = _run_git(folder, "config", "user.email").returncode == 0
    who = () if known else ("-c", "user.name=payoff", "-c", "user.email=payoff@localhost")
    _git(folder, *who, "commit", "--quiet", "--message", "A Payoff project")
    return _git(folder, "rev-parse", "HEAD").strip()


def _git(folder: Path, *words: str) -> str:
    done = _run_git(folder, *words)
    if done.returncode:
        raise OutsideError(
            f"git {words[0]} failed: {' '.join(done.stderr.split())[-300:]}",
            code="PO-I006",
            expected="git 2.28 or newer that can write here",
            remedy="see what git says, then payoff init again",
        )
    return done.stdout


def _run_git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise OutsideError(
            "the program git was not found",
            code="PO-I007",
            expected="git",
            remedy="apt-get install git (or your system's way), then payoff init again",
        ) from error


def _undo(folder: Path, *, keep_folder: bool) -> None:
    for each in folder.iterdir():
        if keep_folder and each.name == ".git":
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    if not keep_folder:
        folder.rmdir()
