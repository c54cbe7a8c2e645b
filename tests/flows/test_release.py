"""`payoff release`: a run that passed as a signed image, the same whoever packs it, with nothing in it that was not declared."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_spec = importlib.util.spec_from_file_location("flows_releases", Path(__file__).with_name("releases.py"))
assert _spec and _spec.loader
releases = importlib.util.module_from_spec(_spec)
sys.modules["flows_releases"] = releases
_spec.loader.exec_module(releases)
_spec = importlib.util.spec_from_file_location("flows_conftest_of_release", Path(__file__).with_name("conftest.py"))
assert _spec and _spec.loader
flows = importlib.util.module_from_spec(_spec)
sys.modules["flows_conftest_of_release"] = flows
_spec.loader.exec_module(flows)

git, commit, Image = releases.git, releases.commit, releases.Image
needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed (make .make/servers)")
TOKEN = "very-secret-value-of-a-token"


@pytest.fixture(scope="module")
def made(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The light project with a base beside it, released once: what is packed then is remembered in copies."""
    folder = tmp_path_factory.mktemp("released")
    light = flows.Light(flows.copy(made_light, folder / "project"))
    (light.root / ".env").write_text(f"TOKEN={TOKEN}\n")
    (light.root / "lib").mkdir()
    (light.root / "lib/notes.txt").write_text("ours")
    (light.root / "lib/__pycache__").mkdir()
    (light.root / "lib/__pycache__/left.cpython-311.pyc").write_bytes(b"left")
    (light.root / "lib/compiled.pyc").write_bytes(b"left")
    (light.root / "id_ed25519.pub").write_text("ssh-ed25519 AAAA ann")
    shutil.copy(light.root / "data/customers.csv", light.root / "lib/customers.csv")
    light.change("payoff.toml", '"data/customers.csv"', '"lib/customers.csv"')
    light.append("payoff.toml", '\n[serving]\ntoken = "${TOKEN}"\n')
    git(light.root, "add", "--force", ".env", "lib", "id_ed25519.pub")
    releases.releasable(light.root, releases.base(folder / "base"))
    assert light.run("--force")["status"] == "passed"
    answer = json.loads(payoff(light.root, "release", "--json", environ={"TOKEN": TOKEN}).stdout)
    (folder / "first.json").write_text(json.dumps(answer))
    return folder


def payoff(root: Path, *words: str, code: int | None = 0, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = flows.warm.payoff([flows.PAYOFF, *words], root, 240, environ)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    assert flows.SECRET not in done.stdout + done.stderr
    return done


@pytest.fixture
def at(made: Path, tmp_path: Path) -> Path:
    """A copy of it, before its release; the base beside it, no images yet."""
    shutil.copytree(made / "base", tmp_path / "base")
    root = flows.copy(made / "project", tmp_path / "project")
    git(root, "config", "user.signingkey", str(root / ".payoff/keys/ann"))
    git(root, "reset", "--quiet", "--hard", "HEAD~1")
    return root


def first(made: Path) -> dict[str, Any]:
    return dict(json.loads((made / "first.json").read_text()))


def refused(root: Path, code: str, *words: str, exit_code: int = 2, environ: dict[str, str] | None = None) -> str:
    """`payoff release` refuses with that code; nothing was committed, and no release record is there."""
    before = git(root, "rev-parse", "HEAD", code=None)
    done = payoff(root, "release", *words, code=exit_code, environ=environ)
    said = done.stdout + done.stderr
    assert code in said and "Try: " in said and "Traceback" not in said, said
    assert git(root, "rev-parse", "HEAD", code=None) == before
    assert not list((root / "deploy/releases").glob("*"))
    assert not list((root / ".payoff/releasing").glob("20*")), "what was written out for the release is gone"
    return said


# -- what an image is


def test_the_record_names_the_image_and_is_committed_and_signed(made: Path) -> None:
    answer = first(made)
    said, root = answer["release"], made / "project"
    assert git(root, "show", "--stat", "--format=%s").startswith(f"Release 1 of {said['name']}")
    assert git(root, "status", "--porcelain") == ""
    envelope = root / "deploy/releases/0001.json"
    statement = releases.predicate(envelope.read_bytes())
    assert statement["subject"] == [{"name": said["name"], "digest": {"sha256": said["image"].partition(":")[2]}}]
    assert statement["predicate"] == said
    assert said["number"] == 1 and said["previous"] == "" and all(each["passed"] for each in said["verdicts"])
    assert said["commit"] == git(root, "rev-parse", "HEAD~1")
    image = Image(made / "images", said["image"])
    assert image.config["config"]["Labels"]["dev.payoff.model"] == said["model"]["sha256"]
    found = releases.attached(made / "images", said["image"])
    assert found["https://payoff.dev/release/v1"] == envelope.read_bytes()


def test_another_tool_reads_the_image_and_sees_the_same_digest(made: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed (make .make/servers)")
    done = subprocess.run(["skopeo", "inspect", f"oci:{made}/images:release-1"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["Digest"] == first(made)["release"]["image"]


def test_it_starts_as_no_root_and_its_environment_is_apart_from_ours(made: Path) -> None:
    image = Image(made / "images", first(made)["release"]["image"])
    config = image.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"][0] == "/opt/payoff/bin/python"
    assert [each for each in config["Env"] if "TOKEN" in each] == ["PAYOFF_TOKEN_FILE=/run/payoff/token"], "where one may be mounted, and none"
    entries = {entry.name: entry for entry, _ in image.files()}
    for prefix in ("opt/payoff", "opt/environment"):
        assert entries[f"{prefix}/bin/python"].linkname == f"/usr/bin/python{releases.PYTHON}"
        assert b"home = /usr/bin\ninclude-system-site-packages = false" in image[f"{prefix}/pyvenv.cfg"]
    site = f"lib/python{releases.PYTHON}/site-packages"
    assert f"opt/payoff/{site}/uvicorn/__init__.py" in entries
    assert f"opt/environment/{site}/pyarrow/__init__.py" in entries
    assert not any(name.startswith((f"opt/environment/{site}/uvicorn", f"opt/environment/{site}/payoff")) for name in entries)
    for absent in ("mlflow", "scipy", "ibis", "sqlalchemy", "uv", "rich", "jsonschema", "payoff/templates", "payoff/testing"):
        assert not any(name.startswith(f"opt/payoff/{site}/{absent}/") for name in entries), absent
    for entry in entries.values():
        assert (entry.uid, entry.gid, entry.mtime) == (0, 0, 0)
        assert entry.mode in {0o644, 0o755}, entry.name


def test_nothing_undeclared_is_in_any_layer(made: Path) -> None:
    """Every file is the project's as committed, of a package's own list, compiled of one of these, or one of a few that are known."""
    image = Image(made / "images", first(made)["release"]["image"])
    entries, listed = {}, set()
    for entry, content in image.files():
        assert TOKEN.encode() not in content, entry.name
        assert flows.SECRET.encode() not in content, f"a value of a personal column is in {entry.name}"
        assert b"PRIVATE KEY-----" not in content[:200], entry.name
        if not entry.isdir():
            entries[entry.name] = content
        if entry.name.endswith(".dist-info/RECORD"):
            site = entry.name.rpartition("/")[0].rpartition("/")[0]
            listed |= {os.path.normpath(f"{site}/{row[0]}") for row in csv.reader(content.decode().splitlines())} | {entry.name}
    project = {
        f"srv/{path}" for path in git(made / "project", "ls-tree", "-r", "--name-only", "HEAD~1").splitlines()
        if not any(part.startswith(".") for part in path.split("/")) and not path.startswith("deploy/")
    } - {"srv/lib/customers.csv", "srv/lib/compiled.pyc", "srv/lib/__pycache__/left.cpython-311.pyc"}  # fmt: skip
    assert {name for name in entries if name.startswith("srv/")} == project
    assert {"srv/lib/notes.txt", "srv/id_ed25519.pub", "srv/pipeline.py"} <= project
    known = {f"{prefix}/{name}" for prefix in ("opt/payoff", "opt/environment") for name in ("bin/python", "pyvenv.cfg")}
    model = {f"opt/model/{name}" for name in ("model.pickle", "released.json", "rows.arrow", "answers.arrow")}
    for name in entries:
        source = name.replace("__pycache__/", "").replace(f".cpython-{releases.PYTHON.replace('.', '')}.pyc", ".py")
        own = source.startswith("opt/payoff/") and "/site-packages/payoff/" in source and source.endswith(".py")
        assert name in project | listed | known | model or (source in entries and source != name) or own, name


def test_rows_that_may_not_be_logged_are_not_in_the_image(made: Path) -> None:
    image = Image(made / "images", first(made)["release"]["image"])
    import pyarrow as pa

    assert pa.ipc.open_stream(image["opt/model/rows.arrow"]).read_all().num_rows == 0
    said = json.loads(image["opt/model/released.json"])
    assert said["settings"]["token"] == "${TOKEN}"
    assert said["sha256"] == first(made)["release"]["model"]["sha256"]


def test_the_bill_of_materials_is_valid_and_whole(made: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    said = first(made)["release"]
    document = releases.attached(made / "images", said["image"])["application/vnd.cyclonedx+json"]
    assert releases.sha256(document) == said["sbom"]
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(document.decode()) is None
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(document.decode().replace("CycloneDX", "Cyclone")) is not None
    components = {each["bom-ref"]: each for each in json.loads(document)["components"]}
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-bookworm" in components
    assert not any("/removed@" in each for each in components)
    assert any(each.startswith("pkg:pypi/uvicorn@") for each in components) and any(each.startswith("pkg:pypi/payoff@") for each in components)
    (model,) = (each for each in components.values() if each["type"] == "machine-learning-model")
    assert model["hashes"] == [{"alg": "SHA-256", "content": said["model"]["sha256"].partition(":")[2]}]


def test_the_provenance_says_what_it_was_made_of(made: Path) -> None:
    said = first(made)["release"]
    document = releases.attached(made / "images", said["image"])["https://slsa.dev/provenance/v1"]
    assert releases.sha256(document) == said["provenance"]
    statement = releases.predicate(document)
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicateType"] == "https://slsa.dev/provenance/v1"
    built, run = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert set(built) <= {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} and run["builder"]["id"]
    digests = {each["uri"]: each["digest"] for each in built["resolvedDependencies"]}
    assert digests["git"] == {"gitCommit": said["commit"]}
    assert digests["base"] == {"sha256": said["base"].partition(":")[2]}
    assert digests["model"] == {"sha256": said["model"]["sha256"].partition(":")[2]}


# -- again


def test_again_is_the_same_release(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    root = tmp_path / "copy/project"
    git(root, "config", "user.signingkey", str(root / ".payoff/keys/ann"))
    answer = json.loads(payoff(root, "release", "--json").stdout)
    assert answer["already"] and answer["sent"] == 0
    assert answer["release"] == first(made)["release"]


def test_packed_anew_in_another_folder_it_is_bit_for_bit_the_same(made: Path, at: Path) -> None:
    shutil.rmtree(at / ".payoff/releasing")
    clone = at.with_name("geklont")
    git(at.parent, "clone", "--quiet", "project", str(clone))
    (at / ".payoff").rename(clone / ".payoff")
    for name, value in {"user.name": "Ann", "user.email": releases.WHO, "user.signingkey": str(clone / ".payoff/keys/ann")}.items():
        git(clone, "config", name, value)
    answer = json.loads(payoff(clone, "release", "--json").stdout)
    assert answer["release"]["image"] == first(made)["release"]["image"]
    assert answer["release"]["sbom"] == first(made)["release"]["sbom"]


def test_a_changed_model_alone_is_one_more_layer(made: Path, at: Path) -> None:
    payoff(at, "release")
    answer = json.loads(payoff(at, "run", "--json", "-p", "slope=0.36").stdout)
    assert answer["status"] == "passed"
    second = json.loads(payoff(at, "release", "--json").stdout)
    assert second["release"]["number"] == 2 and second["release"]["previous"]
    before, after = Image(made / "images", first(made)["release"]["image"]), Image(at.parent / "images", second["release"]["image"])
    assert before.layers[:-1] == after.layers[:-1] and before.layers[-1] != after.layers[-1]
    assert second["sent"] == after.manifest["layers"][-1]["size"] < 1 << 20


def test_a_changed_package_is_never_taken_for_what_was_packed(at: Path) -> None:
    """Same size, same times: what is remembered of the layer does not hide it."""
    environments = at / ".payoff/environments"
    kept = environments.resolve()
    environments.unlink()
    shutil.copytree(kept, environments, symlinks=True)
    payoff(at, "release", "--dry-run")
    (file,) = environments.glob("*/lib/python3*/site-packages/pyarrow/types.py")
    state, content = file.stat(), file.read_bytes()
    file.write_bytes(content.replace(b"def is_", b"def iz_", 1))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    said = refused(at, "PO-A071", exit_code=4)
    assert "pyarrow" in said
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    payoff(at, "release", "--dry-run")


# -- what is refused


def test_a_run_that_its_gates_refused(at: Path) -> None:
    text = (at / "charter.toml").read_text()
    asked = next(line for line in text.splitlines() if line.startswith("min_gain_per_year"))
    flows.replace(at / "charter.toml", asked, "min_gain_per_year = 900000000")
    commit(at, "wants more")
    answer = json.loads(payoff(at, "run", "--json", code=1).stdout)
    said = refused(at, "PO-A090", answer["run"], exit_code=1)
    assert "beats_baseline" in said


def test_a_run_of_changes_that_were_not_committed(at: Path) -> None:
    flows.replace(at / "pipeline.py", "slope: float = 0.35", "slope: float = 0.36")
    answer = json.loads(payoff(at, "run", "--json").stdout)
    commit(at, "too late")
    refused(at, "PO-A091", answer["run"], exit_code=1)
    payoff(at, "run", "--force")
    payoff(at, "release", "--dry-run")


def test_what_decides_must_be_committed(at: Path) -> None:
    flows.Light(at).append("payoff.toml", "\n")
    refused(at, "PO-A081", exit_code=1)
    git(at, "checkout", "--quiet", "payoff.toml")
    git(at, "checkout", "--quiet", "--detach")
    refused(at, "PO-A080")


def test_who_may_release(at: Path, tmp_path: Path) -> None:
    git(at, "config", "user.signingkey", str(releases.key(tmp_path, "eve")))
    refused(at, "PO-A030", exit_code=1)
    git(at, "config", "user.signingkey", str(tmp_path / "nobody"))
    refused(at, "PO-A040")


def test_a_project_without_release_settings(light: Any) -> None:
    refused(light.root, "PO-A085")


def test_a_model_that_is_gone_or_was_changed(at: Path) -> None:
    (file,) = [each for each in (at / ".payoff/store").rglob("*.pickle") if b"Fitted" in each.read_bytes()]
    content = file.read_bytes()
    os.chmod(file, 0o644)
    file.write_bytes(content.replace(b"Fitted", b"fitteD"))
    refused(at, "PO-J004", exit_code=4)
    file.write_bytes(content + b" ")
    refused(at, "PO-T001", exit_code=4)
    file.unlink()
    refused(at, "PO-T001", exit_code=4)


def test_a_private_key_in_git(at: Path) -> None:
    held = releases.key(at.parent, "left")
    (at / "lib/deploy.txt").write_bytes(held.read_bytes())
    commit(at, "oops")
    answer = json.loads(payoff(at, "run", "--json", "--force").stdout)
    said = refused(at, "PO-A072", answer["run"], exit_code=1)
    assert "lib/deploy.txt" in said


BASES: dict[str, tuple[Callable[[Path], str], str, str]] = {
    "no such image": (lambda folder: f"sha256:{'0' * 64}", "PO-A070", "there is none"),
    "another platform": (lambda folder: releases.base(folder, architecture="s390x"), "PO-A070", "linux/s390x"),
    "no interpreter": (lambda folder: releases.base(folder, {"etc/os-release": b"ID=debian\n"}), "PO-A070", "no python3 on its PATH"),
    "an interpreter of no version": (lambda folder: releases.base(folder, {"usr/bin/python3": b"\x7fELF"}), "PO-A070", "says its version"),
    "another libc": (lambda folder: releases.base(folder, releases.small(libc="ld-musl-x86_64.so.1")), "PO-A070", "no glibc"),
    "another Python": (lambda folder: releases.base(folder, releases.small("3.10")), "PO-A073", "Python 3.10"),
}  # fmt: skip


@pytest.mark.parametrize("case", BASES)
def test_a_base_that_cannot_carry_it(at: Path, case: str) -> None:
    make, code, words = BASES[case]
    old = next(line for line in (at / "payoff.toml").read_text().splitlines() if line.startswith("digest"))
    flows.replace(at / "payoff.toml", old, f'digest = "{make(at.parent / "base")}"')
    commit(at, "another base")
    assert words in " ".join(refused(at, code).split())


def test_an_index_is_no_base(at: Path) -> None:
    content = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    digest = releases.sha256(content)
    (at.parent / "base/blobs/sha256" / digest.partition(":")[2]).write_bytes(content)
    old = next(line for line in (at / "payoff.toml").read_text().splitlines() if line.startswith("digest"))
    flows.replace(at / "payoff.toml", old, f'digest = "{digest}"')
    commit(at, "an index")
    refused(at, "PO-A070")


# -- the world outside


def test_of_two_at_once_one_wins_and_the_other_says_so(at: Path) -> None:
    """The first is held while it signs; meanwhile the second goes through."""
    waits, go = at.parent / "waits", at.parent / "go"
    fake = at.parent / "bin/ssh-keygen"
    fake.parent.mkdir()
    real = shutil.which("ssh-keygen")
    fake.write_text(f'#!/bin/sh\ncase "$2" in sign) touch "{waits}"; while [ ! -e "{go}" ]; do sleep 0.05; done;; esac\nexec {real} "$@"\n')
    fake.chmod(0o755)
    other = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    slow = subprocess.Popen([flows.PAYOFF, "release"], cwd=at, env=other, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        end = time.monotonic() + 100
        while not waits.exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert waits.exists()
        payoff(at, "release")
        head = git(at, "rev-parse", "HEAD")
        go.touch()
        said, _ = slow.communicate(timeout=100)
    finally:
        slow.kill()
        slow.wait()
    assert slow.returncode == 1 and "PO-A082" in said, said
    assert git(at, "rev-parse", "HEAD") == head and git(at, "status", "--porcelain") == ""
    assert [each.name for each in (at / "deploy/releases").iterdir()] == ["0001.json"]
    assert json.loads(payoff(at, "release", "--json").stdout)["already"]


@needs_registry
def test_a_registry_that_dies_while_it_is_sent_to(made: Path, at: Path, tmp_path: Path) -> None:
    """Nothing is committed; the same command goes on where it was, to the same image."""
    port = 20_000 + secrets.randbelow(12_000)  # of those that the system gives nobody by itself
    flows.replace(at / "payoff.toml", 'path = "../images"', f'kind = "distribution"\nrepository = "127.0.0.1:{port}/team/churn"')
    commit(at, "a registry")
    with releases.registry(tmp_path / "registry", port) as server:
        wait_for(lambda: answers(port))
        sending = subprocess.Popen([flows.PAYOFF, "release"], cwd=at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        uploads = tmp_path / "registry/kept/docker/registry/v2/repositories/team/churn/_uploads"
        wait_for(lambda: any(each.stat().st_size > 20 << 20 for each in uploads.glob("*/data")) if uploads.is_dir() else False)
        server.kill()
        server.wait()
        said, _ = sending.communicate(timeout=200)
    assert sending.returncode == 4 and "PO-A063" in said, said
    assert "Try: " in said
    assert not (at / "deploy/releases").exists() and git(at, "status", "--porcelain") == ""
    with releases.registry(tmp_path / "registry", port):
        wait_for(lambda: answers(port))
        answer = json.loads(payoff(at, "release", "--json").stdout)
        assert answer["release"]["image"] == first(made)["release"]["image"]
        sizes = [each["blob"]["size"] for each in answer["layers"]]
        assert sum(sizes[1:]) <= answer["sent"] < sum(sizes), "what had arrived was not sent again"
        url = f"http://127.0.0.1:{port}/v2/team/churn/manifests/release-1"
        asked = urllib.request.Request(url, headers={"Accept": releases.MANIFEST})
        with urllib.request.urlopen(asked, timeout=10) as reply:
            assert releases.sha256(reply.read()) == answer["release"]["image"]


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def wait_for(what: Callable[[], bool], seconds: float = 150) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)
