"""uv decides which versions of packages go together, and which there are."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError
from payoff.base.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CAPABILITIES: dict[str, Any] = {}
_MOST = 60  # versions between two that are asked for
_AWAY = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT")
# Where packages come from and what may be built: of a project's own [tool.uv], as far as it decides what a version is.
_CARRIED = (
    "index", "index-url", "extra-index-url", "default-index", "find-links", "no-index", "index-strategy", "sources", "no-build", "no-binary",
    "no-build-package", "no-binary-package", "exclude-newer", "no-build-isolation-package", "prerelease",
)  # fmt: skip
_UNREACHED = (
    "Failed to fetch",
    "error sending request",
    "dns error",
    "Connection refused",
    "timed out",
    "client error",
)
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(@[^;]+)?[^;]*(;.*)?$")


@dataclasses.dataclass(frozen=True)
class Options:
    """None."""


def connect(root: Path, _options: Options) -> Locks:
    """uv, from the project's folder."""
    return Locks(root)


class Locks:
    """Asks without the network first: what is cached is enough most of the time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def mix(self, first: Path, second: Path, versions: Mapping[str, str], folder: Path) -> str:
        """A lock whose versions are all said; uv refuses where packages do not take each other's versions."""
        if (folder / "uv.lock").exists():
            with contextlib.suppress(OSError):
                os.utime(folder)  # when it was needed last
            return ""
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = _project(first), _project(second)
        write_atomically(folder / "pyproject.toml", _pyproject(ours, theirs, versions))
        with contextlib.suppress(OSError):
            shutil.copy2(first / ".python-version", folder / ".python-version")
        done = self._ask(["lock", "--project", os.fspath(folder)], folder)
        if done.returncode:
            (folder / "uv.lock").unlink(missing_ok=True)
            return _plain(done.stderr)
        found = _versions(folder / "uv.lock")
        several = {name for name, version in versions.items() if "," in version}  # one for each platform
        other = sorted(name for name in found.keys() - several if found[name] != versions.get(name))
        if other:
            (folder / "uv.lock").unlink()
            return f"these versions need {', '.join(f'{name} {found[name]}' for name in other[:5])} besides"
        return ""

    def versions(self, name: str, after: str, upto: str, folder: Path) -> tuple[str, ...]:
        """The newest before one, again and again, as uv resolves it for this interpreter."""
        found = [upto]
        while len(found) <= _MOST:
            words = [
                "pip",
                "compile",
                "-",
                "--no-deps",
                "--no-header",
                "--no-annotate",
                "--prerelease",
                "disallow",
                "--python",
                sys.executable,
            ]
            done = self._ask(words, folder, said=f"{name}>{after},<{found[-1]}\n")
            match = re.search(rf"^{re.escape(name)}==(\S+)$", done.stdout.strip(), re.MULTILINE | re.IGNORECASE)
            if done.returncode or match is None:
                break
            found.append(match[1])
        return tuple(reversed(found))

    def lock(self, folder: Path, *, upgrade: bool = False, packages: Sequence[str] = ()) -> str:
        """What uv would do on the command line; newer versions are not looked for in the cache alone."""
        words = ["lock", "--project", os.fspath(folder), *(["--upgrade"] if upgrade else [])]
        words += [word for name in packages for word in ("--upgrade-package", name)]
        done = self._ask(words, folder, cached=not upgrade and not packages)
        return _plain(done.stderr) if done.returncode else ""

    def _ask(
        self, words: list[str], folder: Path, said: str = "", *, cached: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = self._uv([*words, *(["--offline"] if cached else [])], folder, said)
        if done.returncode:
            online = self._uv(words, folder, said)
            if not online.returncode or not any(each in online.stderr for each in _UNREACHED):
                return online
            if "network was disabled" in done.stderr or "No solution found" not in done.stderr:
                raise OutsideError(
                    "package versions that are not cached could not be asked for: no package index can be reached",
                    code="PO-X020",
                    expected="an index that can be reached, or all versions of both runs in uv's cache",
                    remedy="check the network and uv's index settings, then payoff why again: what was measured is kept",
                    retryable=True,
                )
        return done

    def _uv(self, words: list[str], folder: Path, said: str) -> subprocess.CompletedProcess[str]:
        import uv

        clean = {
            name: value for name, value in os.environ.items() if name not in _AWAY and not name.startswith("PYTHON")
        }
        return subprocess.run(
            [uv.find_uv_bin(), *words, "--color", "never", "--no-progress"],
            cwd=folder, env=clean, input=said, capture_output=True, text=True, check=False,
        )  # fmt: skip


def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def _versions(lock: Path) -> dict[str, str]:
    """Name -> version of all packages of a lock, its project left out."""
    table = tomllib.loads(lock.read_text(encoding="utf-8"))
    return {
        each["name"]: str(each.get("version", "(dynamic)"))
        for each in table.get("package", ())
        if not {"virtual", "editable"} & each["source"].keys()
    }


def _pyproject(ours: Mapping[str, Any], theirs: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """A project that asks for what either asks for, each in its version."""
    asked: dict[str, str] = {}
    for project in (theirs, ours):
        for text in _asked(project):
            match = _REQUIREMENT.match(text)
            if match is None:
                continue
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            if name in versions:
                asked[name] = f"{match[1]}{match[2] or ''}{' ' + match[3].strip() if match[3] else ''}{match[4] or ''}"
    pins = [f"{name}=={version}" for name, version in versions.items() if "," not in version and version != "(dynamic)"]
    direct = {name for name, text in asked.items() if "@" in text}
    uv = ours.get("tool", {}).get("uv", {})
    carried = {name: uv[name] for name in _CARRIED if name in uv}
    project = ours["project"]
    lines = [
        "[project]", 'name = "hybrid"', 'version = "0"', f"requires-python = {_toml(project.get('requires-python', '>=3.10'))}",
        f"dependencies = {_toml(sorted(asked.values()))}", "[tool.uv]", "package = false",
        f"constraint-dependencies = {_toml(sorted(pin for pin in pins if pin.partition('==')[0] not in direct))}",
        *(f"{name} = {_toml(value)}" for name, value in carried.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _asked(project: Mapping[str, Any]) -> Iterator[str]:
    table = project.get("project", {})
    yield from table.get("dependencies", ())
    for listed in (*table.get("optional-dependencies", {}).values(), *project.get("dependency-groups", {}).values()):
        yield from (each for each in listed if isinstance(each, str))


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool | int) else json.dumps(str(value))


def _plain(said: str) -> str:
    """Uv's reason in a line."""
    text = " ".join(said.split())
    text = text.partition("╰─▶")[2] or text
    return f"these versions do not go together: {text.strip()[:400]}"
