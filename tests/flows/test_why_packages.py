"""`payoff why` names the package, and the first of its versions that matters; the packages are made here, and no network is asked."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uv

if TYPE_CHECKING:
    from collections.abc import Iterator

def wheel(folder: Path, name: str, version: str, code: str, *needs: str) -> None:
    folder.mkdir(exist_ok=True)
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", code)
        file.writestr(f"{info}/METADATA", said)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def lock(light: Any, **versions: str) -> None:
    file = light.root / "pyproject.toml"
    lines = [line for line in file.read_text().splitlines() if not line.strip().startswith(('"alphapkg', '"betapkg', '"gammapkg', '"deltapkg'))]
    at = next(n for n, line in enumerate(lines) if line.startswith("dependencies"))
    lines[at + 1 : at + 1] = [f'    "{name}=={version}",' for name, version in versions.items()]
    file.write_text("\n".join(lines) + "\n")
    subprocess.run([uv.find_uv_bin(), "lock", "-q"], cwd=light.root, check=True)


@pytest.fixture
def packaged(light: Any, tmp_path: Path) -> Any:
    """The light project with three packages more, of which `alphapkg` has a say in the model from 1.2 on."""
    wheels = tmp_path / "wheels"
    for version, slope in (("1.0", 0.35), ("1.1", 0.35), ("1.2", 0.5), ("1.3", 0.5), ("2.0", 0.5)):
        wheel(wheels, "alphapkg", version, f"SLOPE = {slope}\n")
    wheel(wheels, "betapkg", "1.0", "")
    wheel(wheels, "betapkg", "1.1", "")
    wheel(wheels, "gammapkg", "1.0", "", "alphapkg")
    wheel(wheels, "gammapkg", "2.0", "", "alphapkg>=2")
    environments = light.root / ".payoff/environments"
    environments.unlink()  # what is made here is no other test's
    with open(light.root / "pyproject.toml", "a", encoding="utf-8") as stream:
        stream.write(f'\n[[tool.uv.index]]\nname = "own"\nurl = "{wheels}"\nformat = "flat"\n')
    light.change("pipeline.py", "import pyarrow as pa\n", "import alphapkg\nimport pyarrow as pa\n")
    light.change("pipeline.py", "return Fitted(slope)", "return Fitted(alphapkg.SLOPE)")
    return light


def test_the_package_and_the_version_that_matters(packaged: Any) -> None:
    lock(packaged, alphapkg="1.0", betapkg="1.0", gammapkg="1.0")
    first = packaged.run(code=None)["run"]
    lock(packaged, alphapkg="2.0", betapkg="1.1", gammapkg="2.0")
    second = packaged.run(code=None)["run"]
    found = json.loads(packaged.command("why", first, second, "--json").stdout)
    assert found["verdict"] == "explained", found
    assert [(each["kind"], each["name"], each["a"], each["b"], each["first_changed"]) for each in found["causes"]] == [
        ("package", "alphapkg", "1.0", "2.0", "1.2")
    ]
    assert found["executions"] <= found["bound"]
    assert {each["id"] for each in found["factors"]} == {f"package:default:{name}" for name in ("alphapkg", "betapkg", "gammapkg")}


class Index:
    """A package index on this machine; `yanked` are files that it has withdrawn."""

    def __init__(self, wheels: Path) -> None:
        self.yanked: set[str] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, _, name = self.path.strip("/").partition("/")
                file = wheels / name
                if kind == "files":
                    return self.answer(200 if file.exists() else 404, file.read_bytes() if file.exists() else b"", "application/zip")
                links = [(each.name, ' data-yanked="it was wrong"' if each.name in outer.yanked else "") for each in sorted(wheels.glob(f"{name}-*"))]
                page = "".join(f'<a href="/files/{each}"{mark}>{each}</a>\n' for each, mark in links)
                return self.answer(200 if links else 404, f"<!doctype html><html><body>{page}</body></html>".encode(), "text/html")

            def do_HEAD(self) -> None:
                self.do_GET()

            def answer(self, code: int, body: bytes, kind: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Cache-Control", "no-cache")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    wheels = tmp_path / "published"
    for version, slope in (("1.0", 0.35), ("1.1", 0.35), ("1.2", 0.5), ("2.0", 0.6)):
        wheel(wheels, "deltapkg", version, f"SLOPE = {slope}\n")
    found = Index(wheels)
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_version_that_was_withdrawn_after_the_run(light: Any, index: Index, tmp_path: Path) -> None:
    """Its lock says where it is: that is enough for `why` and `reproduce`, until the file is gone."""
    environments = light.root / ".payoff/environments"
    environments.unlink()
    with open(light.root / "pyproject.toml", "a", encoding="utf-8") as stream:
        stream.write(f'\n[[tool.uv.index]]\nname = "own"\nurl = "{index.url}"\nexplicit = true\n[tool.uv.sources]\ndeltapkg = {{ index = "own" }}\n')
    light.change("pipeline.py", "import pyarrow as pa\n", "import deltapkg\nimport pyarrow as pa\n")
    light.change("pipeline.py", "return Fitted(slope)", "return Fitted(deltapkg.SLOPE)")
    lock(light, deltapkg="1.0")
    first = light.run(code=None)["run"]
    lock(light, deltapkg="1.2")
    second = light.run(code=None)["run"]

    def forget() -> None:
        """What this machine has of it, so that the index is asked again."""
        shutil.rmtree(environments)
        subprocess.run([uv.find_uv_bin(), "cache", "clean", "-q", "--force", "deltapkg"], check=True)

    index.yanked |= {"deltapkg-1.1-py3-none-any.whl", "deltapkg-1.2-py3-none-any.whl"}
    forget()
    assert json.loads(light.payoff("reproduce", second, "--json"))["verdict"] == "exact"
    found = json.loads(light.payoff("why", first, second, "--json"))
    assert [(each["name"], each["b"], each["first_changed"]) for each in found["causes"]] == [("deltapkg", "1.2", "1.2")]
    (tmp_path / "published/deltapkg-1.2-py3-none-any.whl").unlink()
    forget()
    answer = json.loads(light.payoff("reproduce", second, "--json", code=None))
    assert "deltapkg" in json.dumps(answer["errors"]), answer
    assert answer["exit_code"] == 4, answer
