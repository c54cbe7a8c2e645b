"""uv decides which versions of packages go together, and which there are."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError
from payoff.base.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

CAPABILITIES: dict[str, Any] = {}
_MOST = 1000  # versions between two that are asked for
_AWAY = ("VIRTUAL_ENV", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT")
# Where packages come from and what may be built: of a project's own [tool.uv], as far as it decides what a version is.
_CARRIED = (
    "index", "index-url", "extra-index-url", "default-index", "find-links", "no-index", "index-strategy", "sources", "no-build", "no-binary",
    "no-build-package", "no-binary-package", "exclude-newer", "no-build-isolation-package", "prerelease", "environments",
    "required-environments",
)  # fmt: skip
# What uv says where versions do not go together; of all else nothing follows for a package.
_UNFIT = (
    "No solution found",
    "conflicting URLs",
    "Failed to build",
    "has no wheels",
    "doesn't have a source distribution",
)
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

    def mix(self, first: Path, second: Path, versions: Mapping[str, str], folder: Path, *, asked: bool = True) -> str:
        """A lock whose versions are all said; uv refuses where packages do not take each other's versions."""
        if (folder / "uv.lock").exists():
            with contextlib.suppress(OSError):
                os.utime(folder)  # when it was needed last
            return ""
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, as far down (locks have relative paths in them), and put there when it is known to be what was asked for.
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name[:16]}.", dir=folder.parent))
        try:
            reason = self._lock(_project(first) if asked else _unasked(_project(first)), first, second, versions, part)
            if not reason:
                shutil.rmtree(folder, ignore_errors=True)
                with contextlib.suppress(OSError):  # another process made the same meanwhile
                    part.rename(folder)
            return reason
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _lock(self, ours: dict[str, Any], first: Path, second: Path, versions: Mapping[str, str], folder: Path) -> str:
        theirs = _project(second)
        carried = _both(
            _carried(ours, functools.partial(self._located, first)),
            _carried(theirs, functools.partial(self._located, second)),
        )
        write_atomically(folder / "pyproject.toml", _pyproject(ours, theirs, versions, carried))
        with contextlib.suppress(OSError):
            shutil.copy2(first / ".python-version", folder / ".python-version")
        done = self._ask(["lock", "--project", os.fspath(folder)], folder)
        if done.returncode:
            if not any(each in done.stderr for each in _UNFIT):
                raise OutsideError(
                    f"uv could not lock a mix of two environments: {' '.join(done.stderr.split())[:300]}",
                    code="PO-X040",
                    expected="an answer whether these versions go together",
                    remedy="uv lock in the project says more; mend that, then payoff why again: what was measured is kept",
                )
            return _plain(done.stderr)
        found = _versions(folder / "uv.lock")
        several = {name for name, version in versions.items() if "," in version}  # one for each platform
        other = sorted(name for name in found.keys() - several if found[name] != versions.get(name))
        if other:
            return f"these versions need {', '.join(f'{name} {found[name]}' for name in other[:5])} besides"
        return ""

    def _located(self, first: Path, path: str) -> str:
        """A wheelhouse or a wheel that a project names by a path of its own; what is not in git is where the user has it, not where a run was rebuilt."""
        if "://" in path or os.path.isabs(path):
            return path
        found = [each for each in (self._root / path, first / path) if each.exists()]
        return os.path.abspath(found[0] if found else first / path)

    def versions(self, name: str, after: str, upto: str, folder: Path) -> tuple[str, ...]:
        """The newest before one, again and again, as uv resolves it for this interpreter."""
        after, found = after.partition("+")[0], [upto]
        python = self._python(folder)
        words = [
            "pip", "compile", "-", "--no-deps", "--no-header", "--no-annotate", "--prerelease", "disallow", "--python", python,
        ]  # fmt: skip
        while len(found) <= _MOST:
            below = found[-1].partition("+")[0]  # a local version (+cpu) is no bound
            done = self._ask(words, folder, said=f"{name}>{after},<{below}\n")
            match = re.search(rf"^{re.escape(name)}==(\S+)$", done.stdout.strip(), re.MULTILINE | re.IGNORECASE)
            if done.returncode or match is None or match[1] in found or _numbers(match[1]) > _numbers(below):
                break
            found.append(match[1])
        return tuple(reversed(found))

    def _python(self, folder: Path) -> str:
        """The interpreter that the project's own environment has, or would have."""
        done = self._uv(["python", "find", "--project", os.fspath(folder), "--offline"], folder, "")
        return done.stdout.strip() if not done.returncode and done.stdout.strip() else sys.executable

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
                    expected="an index that can be reached, or all versions that are asked for in uv's cache",
                    remedy="check the network and uv's index settings, then the same command again: what was measured is kept",
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


def _unasked(project: dict[str, Any]) -> dict[str, Any]:
    """A project that asks for nothing, and says as much as before where packages come from."""
    kept = {name: each for name, each in project["project"].items() if "dependencies" not in name}
    return {**project, "project": kept, "dependency-groups": {}}


def _versions(lock: Path) -> dict[str, str]:
    """Name -> version of all packages of a lock, its project left out."""
    table = tomllib.loads(lock.read_text(encoding="utf-8"))
    return {
        each["name"]: str(each.get("version", "(dynamic)"))
        for each in table.get("package", ())
        if not {"virtual", "editable"} & each["source"].keys()
    }


def _carried(project: Mapping[str, Any], located: Callable[[str], str]) -> dict[str, Any]:
    """What of a project's settings says where packages come from, with paths that hold anywhere."""
    uv = project.get("tool", {}).get("uv", {})
    found = {name: uv[name] for name in _CARRIED if name in uv}
    if "find-links" in found:
        found["find-links"] = [located(each) for each in found["find-links"]]
    for name in ("index-url", "default-index"):
        if name in found:
            found[name] = located(found[name])
    if "index" in found:
        found["index"] = [{**each, "url": located(each["url"])} for each in found["index"]]

    def source(each: Any) -> Any:
        if isinstance(each, list):
            return [source(one) for one in each]
        return {**each, "path": located(each["path"])} if "path" in each else each

    if "sources" in found:
        found["sources"] = {name: source(each) for name, each in found["sources"].items()}
    return found


def _both(ours: dict[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A's settings, and the places besides from which only B takes packages."""
    found = dict(ours)
    for name in ("find-links", "extra-index-url"):
        more = [each for each in theirs.get(name, ()) if each not in ours.get(name, ())]
        if more:
            found[name] = [*ours.get(name, ()), *more]
    known = {each[key] for each in ours.get("index", ()) for key in ("name", "url") if key in each}
    default = any(each.get("default") for each in ours.get("index", ()))
    indexes = [
        {key: value for key, value in each.items() if not (key == "default" and default)}
        for each in theirs.get("index", ())
        if not known & {each.get("name"), each["url"]}
    ]
    if indexes:
        found["index"] = [*ours.get("index", ()), *indexes]
    if theirs.get("sources"):
        found["sources"] = {**theirs["sources"], **ours.get("sources", {})}
    return found


def _numbers(version: str) -> list[int]:
    """A version's numbers, in the order of which its release stands."""
    return [int(each) for each in re.findall(r"\d+", version.partition("+")[0])]


def _names(asked: Iterable[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", match[1]).lower() for each in asked if (match := _REQUIREMENT.match(each))}


def _pyproject(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], versions: Mapping[str, str], carried: Mapping[str, Any]
) -> str:
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
    project = ours["project"]
    # Somebody wanted these in spite of what other packages say of them: then the version that is mixed in is wanted, too.
    settings = [side.get("tool", {}).get("uv", {}) for side in (ours, theirs)]
    over = _names(each for side in settings for each in side.get("override-dependencies", ()))
    forced = sorted(pin for pin in pins if pin.partition("==")[0] in over - direct)
    lines = [
        "[project]", 'name = "hybrid"', 'version = "0"', f"requires-python = {_toml(project.get('requires-python', '>=3.10'))}",
        f"dependencies = {_toml(sorted(asked.values()))}", "[tool.uv]", "package = false",
        f"constraint-dependencies = {_toml(sorted(pin for pin in pins if pin.partition('==')[0] not in direct))}",
        f"override-dependencies = {_toml(forced)}", *(f"{name} = {_toml(value)}" for name, value in carried.items()),
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
