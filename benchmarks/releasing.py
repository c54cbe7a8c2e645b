"""A release with only the model changed, against building the same image: `python benchmarks/releasing.py BASE [PAIRS]`.

BASE is an OCI layout with one image of Debian with Python (docs/releases.md says how it is made). Timed is the whole of `payoff release` in a project with
scikit-learn (reading the run, packing, sending to a folder, signing, committing), against `buildah bud` of a Containerfile that copies the same files in the same
order, with its cache of layers warm, overlay file systems and nothing pushed. Not measured is `mlflow models build-docker`: it needs a docker daemon, and installs its packages anew from an
index in each build.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

PAYOFF = str(Path(sys.executable).with_name("payoff"))
WHO = "ann@example.org"
CONTAINERFILE = """\
FROM {base}
COPY payoff /opt/payoff
COPY environment /opt/environment
COPY srv /srv
COPY model /opt/model
USER 65532:65532
WORKDIR /srv
ENTRYPOINT ["/opt/payoff/bin/python", "-P", "-B", "-m", "payoff", "serve", "--released", "/opt/model"]
"""


def said(*words: str, cwd: Path) -> dict[str, Any]:
    """A verb's document."""
    done = subprocess.run([PAYOFF, *words, "--json"], cwd=cwd, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"payoff {' '.join(words)} failed:\n{done.stdout.decode()}\n{done.stderr.decode()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def project(folder: Path, base: Path) -> Path:
    """The bank's project, which may release."""
    root = folder / "bank"
    git = ["git", "-C", str(root)]
    subprocess.run([PAYOFF, "init", str(root), "--template", "bank"], check=True, capture_output=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ann")], check=True)
    digest = json.loads((base / "index.json").read_bytes())["manifests"][0]["digest"]
    (root / "deploy").mkdir()
    (root / "deploy/allowed_signers").write_text(f"{WHO} {(folder / 'ann.pub').read_text()}")
    with open(root / "payoff.toml", "a", encoding="utf-8") as stream:
        stream.write(f'\n[release]\npath = "../images"\n\n[release.base]\npath = "{base}"\ndigest = "{digest}"\n')
        stream.write(f'\n[signing]\nreleasers = ["{WHO}"]\nkey = "{folder / "ann"}"\n')
    for name, value in {"user.name": "Ann", "user.email": WHO}.items():
        subprocess.run([*git, "config", name, value], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "releases"], check=True)
    return root


def context(images: Path, digest: str, to: Path) -> None:
    """The files of an image's own layers as the context of a Containerfile."""
    blobs = images / "blobs/sha256"
    manifest = json.loads((blobs / digest.partition(":")[2]).read_bytes())
    whole = to / "whole"
    for layer in manifest["layers"][1:]:
        with tarfile.open(blobs / layer["digest"].partition(":")[2], mode="r:") as archive:
            archive.extractall(whole)
    for name, path in {
        "payoff": "opt/payoff",
        "environment": "opt/environment",
        "model": "opt/model",
        "srv": "srv",
    }.items():
        (whole / path).rename(to / name)
    shutil.rmtree(whole)


def main() -> None:
    """Measure, and print."""
    base = Path(sys.argv[1]).absolute()
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(measure.machine())
    with tempfile.TemporaryDirectory(prefix="payoff-releasing-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        root = project(folder, base)
        runs = [said("run", "-p", f"max_iter={80 + number}", cwd=root)["run"] for number in range(pairs + 2)]
        began = time.perf_counter()
        first = said("release", runs[0], cwd=root)
        print(f"the first release: {time.perf_counter() - began:.1f} s, {first['sent'] / 10**6:,.0f} MB sent")
        left, answers = iter(runs[1:]), []

        def release() -> float:
            start = time.perf_counter()
            answers.append(said("release", next(left), cwd=root))
            return time.perf_counter() - start

        build = builder(folder, base, first["release"]["image"])
        print(
            measure.pair(
                "release, only the model changed",
                release,
                build,
                aim=1.0,
                against="buildah bud, layers cached",
                pairs=pairs,
            )
        )
        own = sorted(each["seconds"] for each in answers)
        print(
            f"     of which inside the verb {own[len(own) // 2]:.2f} s (aim 1 s), {max(each['sent'] for each in answers) / 10**6:.1f} MB sent each"
        )
        subprocess.run(["buildah", *storage(folder), "rmi", "--all", "--force"], capture_output=True, check=False)


def storage(folder: Path) -> list[str]:
    """Storage of its own, so that nothing is left on the machine."""
    driver = os.environ.get("STORAGE_DRIVER", "overlay")
    return ["--root", str(folder / "storage"), "--runroot", str(folder / "runroot"), "--storage-driver", driver]


def builder(folder: Path, base: Path, digest: str) -> Callable[[], float]:
    """Build the image with another model each time."""
    to = folder / "context"
    context(folder / "images", digest, to)
    words = ["buildah", *storage(folder)]
    driver, root, runroot = words[-1], words[2], words[4]
    kept = f"containers-storage:[{driver}@{root}+{runroot}]localhost/base:1"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci:{base}", kept], check=True, capture_output=True)
    (to / "Containerfile").write_text(CONTAINERFILE.format(base="localhost/base:1"))
    model = to / "model/model.pickle"
    once = measure.command(
        *words, "bud", "--isolation", "chroot", "--layers", "--quiet", "-t", "bench", ".", cwd=str(to)
    )

    def build() -> float:
        model.write_bytes(model.read_bytes() + b" ")
        return once()

    build()
    return build


if __name__ == "__main__":
    main()
