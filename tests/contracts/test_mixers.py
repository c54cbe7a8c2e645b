"""Environments between two, of small packages made here; nothing is asked of a network."""

from __future__ import annotations

import base64
import http.server
import os
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

from payoff.base.errors import OutsideError
from payoff.testing.mixer import MixerSuite, connect

if TYPE_CHECKING:
    from collections.abc import Iterator


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    folder.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", said)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def project(folder: Path, wheels: Path, *asked: str, more: str = "", links: str = "") -> Path:
    folder.mkdir()
    pins = ", ".join(f'"{each}"' for each in asked)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = [{pins}]\n'
        f'[tool.uv]\npackage = false\nno-index = true\nfind-links = [{links}"{wheels}"]\n{more}'
    )
    subprocess.run([uv.find_uv_bin(), "lock", "-q", "--project", str(folder)], check=True, cwd=folder)
    return folder


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    for version in ("1.0", "1.1", "1.2", "1.3rc1", "2.0"):
        wheel(folder, "alpha", version)
    wheel(folder, "beta", "1.0", "alpha")
    wheel(folder, "beta", "1.1", "alpha>=2")
    return folder


class TestLocks(MixerSuite):
    adapter = "payoff.mixers:locks"

    @pytest.fixture
    def projects(self, tmp_path: Path, wheels: Path) -> tuple[Path, Path]:
        return project(tmp_path / "a", wheels, "alpha==1.0", "beta==1.0"), project(tmp_path / "b", wheels, "alpha==2.0", "beta==1.1")

    def test_packages_of_one_side_only(self, mixer: Any, tmp_path: Path, wheels: Path) -> None:
        wheel(wheels, "gamma", "1.0")
        wheel(wheels, "delta", "1.0", "gamma")
        first = project(tmp_path / "a", wheels, "alpha==1.0")
        second = project(tmp_path / "b", wheels, "alpha==2.0", "delta==1.0")
        assert mixer.mix(first, second, {"alpha": "1.0", "delta": "1.0", "gamma": "1.0"}, tmp_path / "one") == ""
        assert '[[package]]\nname = "gamma"' in (tmp_path / "one" / "uv.lock").read_text()
        # With nothing that needs it, it changes nothing.
        assert mixer.mix(first, second, {"alpha": "1.0", "gamma": "1.0"}, tmp_path / "two") == ""
        assert '[[package]]\nname = "gamma"' not in (tmp_path / "two" / "uv.lock").read_text()

    def test_extras_and_markers_stay(self, mixer: Any, tmp_path: Path, wheels: Path) -> None:
        first = project(tmp_path / "a", wheels, "alpha==1.0 ; python_version > '3'")
        second = project(tmp_path / "b", wheels, "alpha==2.0 ; python_version > '3'")
        assert mixer.mix(first, second, {"alpha": "1.1"}, tmp_path / "mixed") == ""
        assert "python_version > '3'" in (tmp_path / "mixed" / "pyproject.toml").read_text()

    def test_an_index_that_cannot_be_reached(
        self, mixer: Any, tmp_path: Path, projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        for each in projects:
            file = each / "pyproject.toml"
            file.write_text(file.read_text().replace("no-index = true", "no-index = false").replace("find-links", "# "))
        with pytest.raises(OutsideError) as caught:
            mixer.mix(*projects, {"alpha": "1.1", "beta": "1.0"}, tmp_path / "mixed")
        assert caught.value.code == "PO-X020"

    def test_a_wheelhouse_beside_the_project(self, tmp_path: Path, wheels: Path) -> None:
        """Named by a path of the project's own, which is another one from the mix; also where the run was rebuilt elsewhere, without what is not in git."""
        home, second = tmp_path / "a", project(tmp_path / "b", wheels, "alpha==2.0")
        project(home, wheels, "alpha==1.0")
        (home / "wheels").symlink_to(wheels)
        text = (home / "pyproject.toml").read_text().replace(str(wheels), "wheels")
        (home / "pyproject.toml").write_text(text)
        subprocess.run([uv.find_uv_bin(), "lock", "-q"], check=True, cwd=home)
        rebuilt = tmp_path / "deep/er/rebuilt"
        rebuilt.mkdir(parents=True)
        for name in ("pyproject.toml", "uv.lock"):
            (rebuilt / name).write_bytes((home / name).read_bytes())
        mixer: Any = connect(self.adapter, home)
        for number, first in enumerate((home, rebuilt)):
            folder = home / f".payoff/laboratory/environments/{number}"
            assert mixer.mix(first, second, {"alpha": "1.2"}, folder) == ""
            done = subprocess.run([uv.find_uv_bin(), "sync", "-q", "--frozen", "--offline"], cwd=folder, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    def test_a_wheel_named_by_its_path(self, tmp_path: Path, wheels: Path) -> None:
        first, second = tmp_path / "a", project(tmp_path / "b", wheels, "beta==1.0", "alpha==1.1")
        project(first, wheels, "beta==1.0", "alpha", more='[tool.uv.sources]\nalpha = { path = "../wheels/alpha-1.0-py3-none-any.whl" }\n')
        mixer: Any = connect(self.adapter, first)
        assert mixer.mix(first, second, {"alpha": "1.0", "beta": "1.0"}, tmp_path / "far/away/mixed") == ""
        assert "alpha-1.0-py3" in (tmp_path / "far/away/mixed/uv.lock").read_text()


class Index:
    """A package index on this machine that asks for a password; `alpha` 1.1 is yanked there."""

    def __init__(self, wheels: Path) -> None:
        self.asked: list[str] = []
        outer, token = self, "Basic " + base64.b64encode(b"me:geheim").decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if self.headers.get("Authorization") != token:
                    return self.answer(401, b"")
                kind, _, name = self.path.strip("/").partition("/")
                if kind == "files":
                    return self.answer(200, (wheels / name).read_bytes())
                files = sorted(file.name for file in wheels.glob(f"{name}-*"))
                yanked = lambda file: ' data-yanked="broken"' if file.startswith("alpha-1.1-") else ""  # noqa: E731
                links = "".join(f'<a href="/files/{file}"{yanked(file)}>{file}</a>\n' for file in files)
                return self.answer(200 if files else 404, f"<!doctype html><html><body>{links}</body></html>".encode())

            def do_HEAD(self) -> None:
                self.do_GET()

            def answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "text/html" if self.path.startswith("/simple") else "application/zip")
                self.send_header("Content-Length", str(len(body)))
                if code == 401:
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def index(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("UV_INDEX_OURS_USERNAME", "me")
    monkeypatch.setenv("UV_INDEX_OURS_PASSWORD", "geheim")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    found = Index(wheels)
    yield found
    found.close()


def at_index(folder: Path, index: Index, *asked: str) -> Path:
    folder.mkdir()
    pins = ", ".join(f'"{each}"' for each in asked)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = [{pins}]\n[tool.uv]\npackage = false\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index.url}"\ndefault = true\n'
    )
    subprocess.run([uv.find_uv_bin(), "lock", "-q"], check=True, cwd=folder)
    return folder


def test_a_private_index(index: Index, tmp_path: Path) -> None:
    """With its password in the environment as uv wants it; yanked versions are no candidates, but a run that had one can be mixed."""
    first, second = at_index(tmp_path / "a", index, "alpha==1.0"), at_index(tmp_path / "b", index, "alpha==2.0")
    mixer: Any = connect("payoff.mixers:locks", tmp_path)
    assert mixer.versions("alpha", "1.0", "2.0", first) == ("1.2", "2.0")
    for version in ("1.1", "1.2"):
        assert mixer.mix(first, second, {"alpha": version}, tmp_path / version) == ""
        lock = (tmp_path / version / "uv.lock").read_text()
        assert f'name = "alpha"\nversion = "{version}"' in lock
        assert "geheim" not in lock + (tmp_path / version / "pyproject.toml").read_text()


def test_a_machine_without_a_network(index: Index, tmp_path: Path) -> None:
    """What was cached is mixed and listed; what was not is said to be out of reach."""
    first, second = at_index(tmp_path / "a", index, "alpha==1.0", "beta==1.0"), at_index(tmp_path / "b", index, "alpha==2.0", "beta==1.1")
    index.close()
    mixer: Any = connect("payoff.mixers:locks", tmp_path)
    assert mixer.versions("alpha", "1.0", "2.0", first) == ("1.2", "2.0")
    assert mixer.mix(first, second, {"alpha": "2.0", "beta": "1.0"}, tmp_path / "cached") == ""
    assert "alpha" in mixer.mix(first, second, {"alpha": "1.0", "beta": "1.1"}, tmp_path / "unfit")
    with pytest.raises(OutsideError) as caught:
        mixer.mix(first, second, {"alpha": "1.2", "beta": "1.0"}, tmp_path / "uncached")
    assert caught.value.code == "PO-X020"
    assert not os.path.exists(tmp_path / "uncached/uv.lock")


def test_places_that_only_the_second_takes_packages_from(wheels: Path, tmp_path: Path) -> None:
    """And a package that one of the two wants in spite of what others say of it."""
    wheel(tmp_path / "more", "gamma", "1.0", "alpha<2")
    first = project(tmp_path / "a", wheels, "alpha==1.0")
    second = project(
        tmp_path / "b", wheels, "alpha==2.0", "gamma==1.0",
        more='override-dependencies = ["alpha==2.0"]\nconstraint-dependencies = ["beta<1"]\n',
        links=f'"{tmp_path / "more"}", ',
    )  # fmt: skip
    mixer: Any = connect("payoff.mixers:locks", tmp_path)
    assert mixer.mix(first, second, {"alpha": "2.0", "gamma": "1.0"}, tmp_path / "mixed/one") == ""
    assert mixer.mix(first, second, {"alpha": "1.2", "gamma": "1.0"}, tmp_path / "mixed/two") == ""
    assert sorted(each.name for each in (tmp_path / "mixed").iterdir()) == ["one", "two"]


def test_what_says_nothing_of_packages_is_no_answer(wheels: Path, tmp_path: Path) -> None:
    """A wheel that is not where the project says makes no version guilty; nothing is left of the attempt."""
    first, second = project(tmp_path / "a", wheels, "alpha==1.0"), project(tmp_path / "b", wheels, "alpha==2.0")
    file = first / "pyproject.toml"
    file.write_text(file.read_text() + '[tool.uv.sources]\nalpha = { path = "gone/alpha-2.0-py3-none-any.whl" }\n')
    mixer: Any = connect("payoff.mixers:locks", tmp_path)
    with pytest.raises(OutsideError) as caught:
        mixer.mix(first, second, {"alpha": "2.0"}, tmp_path / "mixed/one")
    assert caught.value.code == "PO-X040"
    assert list((tmp_path / "mixed").iterdir()) == []


def test_local_versions_and_many_of_them(tmp_path: Path) -> None:
    """`+cpu` is no bound; the oldest of very many are there too."""
    wheels = tmp_path / "many"
    for version in ("1.0+cpu", *(f"1.{n}" for n in range(1, 70)), "2.0+cpu"):
        wheel(wheels, "alpha", version)
    first = project(tmp_path / "a", wheels, "alpha==1.0+cpu")
    found = connect("payoff.mixers:locks", tmp_path).versions("alpha", "1.0+cpu", "2.0+cpu", first)
    assert found[:2] == ("1.1", "1.2")
    assert found[-1] == "2.0+cpu"
    assert len(found) == 70
