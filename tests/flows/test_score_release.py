"""`payoff score RELEASE`: a file of rows by what was signed, of the clone and the registry alone."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

_spec = importlib.util.spec_from_file_location("flows_servers_of_releases", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)


def scored(project: Any, what: str, name: str, *words: str) -> bytes:
    project.payoff("score", what, "--input", "data/customers.csv", "--output", name, *words)
    return (project.root / name).read_bytes()


def releases(project: Any) -> dict[int, dict[str, Any]]:
    return {each["number"]: each for each in json.loads(project.payoff("deploy", "--json"))["releases"]}


def test_a_release_says_what_its_run_said_from_a_clone_alone(released: Any, tmp_path: Path) -> None:
    runs = {number: each["run"] for number, each in releases(released).items()}
    said = {number: scored(released, run, f"{run}.parquet") for number, run in runs.items()}
    assert said[1] != said[2]
    away = Path(released.git("rev-parse", "--show-toplevel").strip())
    clone = type(released)(tmp_path / "clone")
    released.git("clone", "--quiet", str(away), str(clone.root))
    shutil.copytree(released.root / "data", clone.root / "data", dirs_exist_ok=True)
    shutil.copytree(released.root / ".payoff/images", clone.root / ".payoff/images", copy_function=os.link)
    assert scored(clone, "1", "out/1.parquet") == said[1]
    assert scored(clone, "2", "out/2.parquet", "--workers", "2") == said[2]
    assert sorted(os.listdir(clone.root / "out")) == ["1.parquet", "2.parquet"]
    assert not (clone.root / ".payoff/store").exists()
    answer = json.loads(clone.payoff("score", "2", "--input", "data/customers.csv", "--output", "again.parquet", "--json"))
    assert (answer["release"], answer["run"]) == (2, runs[2])


def test_files_of_an_image_that_were_changed_are_mended_before_they_are_used(released: Any) -> None:
    right = scored(released, "1", "right.parquet")
    (place,) = (released.root / ".payoff/deployments/images").iterdir()
    for file in (place / "opt/model/released.json", place / "srv/pipeline.py"):
        text = file.read_bytes()
        file.unlink()
        file.write_bytes(text.replace(b"0.35", b"0.99") + b" ")
    assert scored(released, "1", "mended.parquet") == right


@pytest.mark.parametrize("fault", ["layer", "manifest", "record", "number"])
def test_what_is_not_as_it_was_signed_is_not_scored_with(released: Any, fault: str) -> None:
    blobs = released.root / ".payoff/images/blobs/sha256"
    manifest = blobs / releases(released)[1]["image"].removeprefix("sha256:")
    what = "1"
    match fault:
        case "layer":
            last = blobs / json.loads(manifest.read_bytes())["layers"][-1]["digest"].removeprefix("sha256:")
            content = bytearray(last.read_bytes())
            content[len(content) // 2] ^= 1
            last.unlink()
            last.write_bytes(content)
        case "manifest":
            manifest.unlink()
        case "record":
            file = released.root / "deploy/releases/0001.json"
            sealed = json.loads(file.read_bytes())
            sealed["payload"] = sealed["payload"][::-1]
            file.write_text(json.dumps(sealed))
            released.commit()
        case "number":
            what = "3"
    document = json.loads(released.payoff("score", what, "--input", "data/customers.csv", "--output", "scores.parquet", "--json", code=None))
    (error,) = document["errors"]
    assert error["code"] in {"layer": {"PO-A054"}, "manifest": {"PO-A108"}, "record": {"PO-A034"}, "number": {"PO-A087"}}[fault], error
    assert document["exit_code"]
    assert not (released.root / "scores.parquet").exists()


def test_a_release_is_served_on_a_laptop_as_it_was_packed(released: Any) -> None:
    right = pq.read_table(io.BytesIO(scored(released, "1", "right.parquet"))).to_pylist()[:20]
    rows = pacsv.read_csv(released.root / "data/customers.csv").to_pylist()[:20]
    shutil.rmtree(released.root / ".payoff/store")
    with servers.serving(released.root, "1") as server:
        said = server.ask("/decide", {"rows": [{name: each for name, each in row.items() if name != "churned"} for row in rows]}).json["decisions"]
    assert [each["action"] for each in said] == [each["action"] for each in right]
    assert [each["expected_payoff"] for each in said] == [each["expected_payoff"] for each in right]
    assert server.log().num_rows == 20
    assert json.loads(released.payoff("serve", "1", "--onnx", "--json", code=2))["errors"][0]["code"] == "PO-J057"
