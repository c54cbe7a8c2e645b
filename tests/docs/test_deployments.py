"""What docs/deployments.md shows is what happens: real containers, a real registry, one digest from dev to prod."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import secrets

from payoff.adapters.deployers import container
from payoff.adapters.fronts.proxy import front
from payoff.adapters.registries import layout
from payoff.testing.releasing import foundation

ROOT = Path(__file__).parents[2]
for _name, _file in {"docs_console_": Path(__file__).with_name("test_console.py"), "docs_releases_": ROOT / "tests/flows/releases.py"}.items():
    _spec = importlib.util.spec_from_file_location(_name, _file)
    assert _spec and _spec.loader
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])
console, releases = sys.modules["docs_console_"], sys.modules["docs_releases_"]
PAGE = (ROOT / "docs/deployments.md").read_text(encoding="utf-8")
NEEDED = ("podman", "runc", "docker-registry", "skopeo")
# As on a machine whose kernel lets nobody publish ports or limit groups.
HERE = '\\1\narguments = ["--runtime", "runc"]\nrun = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]\nnetwork = "host"\ndrain = 5'


def free() -> int:
    """Of those that the system gives nobody by itself: no other program can have it before it is used."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(probe.getsockname()[1])


def plain(line: str) -> str:
    return re.sub(r"commit [0-9a-f]{12}", "COMMIT", re.sub(r"sha256:[0-9a-f…]+", "DIGEST", re.sub(r":\d{4,5}\b", ":PORT", line)))


@pytest.mark.thorough  # what it shows with containers, tests/flows/test_promotion.py shows with processes
@pytest.mark.timeout(900)  # seven containers of a whole release, on a machine that does other things
@pytest.mark.skipif(any(shutil.which(each) is None for each in NEEDED), reason=f"needs {', '.join(NEEDED)} (make .make/servers)")
def test_the_page_is_what_happens(tmp_path: Path) -> None:
    _, digest = foundation.put_base(layout.connect(tmp_path, layout.Options("base")))
    environ = {**os.environ, "PATH": f"{console.BIN}:{os.environ['PATH']}", "COLUMNS": "160"}
    environ |= {f"GIT_{who}_{what}": "ann@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ports = {"5000": str(free()), "8000": str(free())}
    folder, digests = tmp_path, set()

    def here(text: str) -> str:
        for port, ours in ports.items():
            text = re.sub(rf"(127\.0\.0\.1:|port = ){port}", rf"\g<1>{ours}", text)
        return text

    def run(command: str) -> list[str]:
        done = subprocess.run(command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.splitlines()

    with releases.registry(tmp_path / "registry", int(ports["5000"])):
        try:
            for kind, block in re.findall(r"```(toml|console)\n(.*?)```", PAGE, re.DOTALL):
                if kind == "toml":
                    text = here(block.replace("sha256:DIGEST", digest)).replace("[release.base]", f'python = "{foundation.PYTHON}"\n[release.base]')
                    with open(folder / "payoff.toml", "a", encoding="utf-8") as stream:
                        stream.write("\n" + re.sub(r'(kind = "container")', HERE, text))
                    continue
                for command, shown in console.steps(f"```console\n{block}```"):
                    if command.startswith("cd "):
                        folder /= command[3:]
                        continue
                    # Other containers of this machine are none of this page's.
                    printed = run(here(command).replace("label=dev.payoff.name", f"label=dev.payoff.name=churn-prod --filter label=dev.payoff.root={folder}"))
                    assert console.matches([plain(line) for line in shown], [plain(line) for line in printed]), f"$ {command}\n" + "\n".join(printed)
                    if command.startswith(("podman ps", "skopeo inspect")):
                        digests |= set(printed)
            assert len(digests) == 1
            (one,) = digests
            # The same digest runs in each deployment, by the engine's own word.
            for name, runs in (("dev", "2"), ("test", "2"), ("prod", "1")):
                said = run(f"podman ps -q --filter label=dev.payoff.name=churn-{name} --filter label=dev.payoff.root={folder} --filter label=dev.payoff.release={runs} | xargs podman inspect --format '{{{{.ImageDigest}}}}'")
                wanted = run(here(f"skopeo inspect --tls-verify=false --format '{{{{.Digest}}}}' docker://127.0.0.1:5000/churn:release-{runs}"))
                assert said == wanted
            assert said == [one]
        finally:
            options = container.Options(arguments=("--runtime", "runc"), drain=2.0)
            made = container.connect(folder, options)
            images = {each["Image"] for name in ("dev", "test", "prod", "prod-canary") for each in made._containers(f"churn-{name}")}
            for name in ("dev", "test", "prod", "prod-canary"):
                made.stop(f"churn-{name}")
            for image in images:
                subprocess.run(["podman", "rmi", "--force", image], capture_output=True, check=False)
            front.connect(folder, front.Options()).stop("churn-prod")


def test_every_key_of_a_deployment_is_told() -> None:
    schema = json.loads((ROOT / "src/payoff/schemas/payoff.schema.json").read_text(encoding="utf-8"))
    each = schema["properties"]["deployments"]["additionalProperties"]["properties"]
    names = [*each, *each["canary"]["properties"]]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in PAGE] == []
