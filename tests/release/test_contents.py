"""What is read of a base image: its layers one over the other, as a container sees them."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.base.errors import UserError
from payoff.release.contents import Contents, contents

if TYPE_CHECKING:
    from collections.abc import Mapping

_spec = importlib.util.spec_from_file_location("release_releases", Path(__file__).parents[1] / "flows/releases.py")
assert _spec and _spec.loader
releases = importlib.util.module_from_spec(_spec)
sys.modules["release_releases"] = releases
_spec.loader.exec_module(releases)


def read(*layers: Mapping[str, bytes | str], python: str = "python3", path: str = "", size: int = 1 << 20) -> Contents:
    archives = [releases.tar(each) for each in layers]
    pieces = [[each[at : at + size] for at in range(0, len(each), size)] for each in archives]
    return contents(pieces, [f"PATH={path}"] if path else [], python)


def test_what_a_small_base_has() -> None:
    found = read(releases.small("3.12"))
    assert (found.python, found.version, found.libc) == ("/usr/bin/python3.12", "3.12", "linux")
    assert (found.system, found.release) == ("debian", "bookworm")
    assert [(each.name, each.version) for each in found.packages] == [("libc6", "2.36-9+deb12u10"), ("python3", "3.11.2-1+b1")]


def test_the_first_on_the_path_that_is_there() -> None:
    local = {"usr/local/bin/python3": "python3.13", "usr/local/bin/python3.13": b"\x7fELF"}
    assert read(releases.small("3.11"), local).python == "/usr/local/bin/python3.13"
    assert read(releases.small("3.11"), local, path="/usr/bin:/usr/local/bin").version == "3.11"
    assert read(releases.small("3.11"), local, python="/bin/python3").python == "/usr/bin/python3.11"
    assert read(releases.small("3.11"), local, python="python3.14").python == ""


def test_links_over_folders_and_upward() -> None:
    files = {"bin": "usr/bin", "usr/bin/python3": "../../opt/py/bin/python3", "opt/py": "py-1", "opt/py-1/bin/python3": "python3.11",
             "opt/py-1/bin/python3.11": b"\x7fELF"}  # fmt: skip
    assert read(files, path="/bin").python == "/opt/py-1/bin/python3.11"
    assert read({"usr/bin/python3": "python3"}).python == "", "a link to itself ends"


def test_an_upper_layer_takes_away() -> None:
    assert read(releases.small(), {f"usr/bin/.wh.python{releases.PYTHON}": b""}).version == ""
    assert read(releases.small(), {"usr/.wh.bin": b""}).version == ""
    assert read(releases.small(), {"usr/bin/.wh..wh..opq": b"", "usr/bin/python3": "python3.9", "usr/bin/python3.9": b"x"}).version == "3.9"
    assert read(releases.small(), {"var/lib/.wh.dpkg": b""}).packages == ()
    newer = {"usr/bin/python3": "python3.14", "usr/bin/python3.14": b"x"}
    assert read(releases.small(), newer).version == "3.14"


def test_an_image_without_dpkg_lists_its_packages_one_by_one() -> None:
    files = {f"var/lib/dpkg/status.d/{name}": f"Package: {name}\nVersion: 1\n".encode() for name in ("base-files", "tzdata")}
    assert [each.name for each in read(files).packages] == ["base-files", "tzdata"]


def test_compressed_layers_and_what_is_none() -> None:
    archive = gzip.compress(releases.tar(releases.small("3.11")))
    assert contents([[archive]], [], "python3").version == "3.11"
    for bad in (b"\x28\xb5\x2f\xfd" + bytes(600), b"no archive" * 100):
        with pytest.raises(UserError) as said:
            contents([[bad]], [], "python3")
        assert said.value.code == "PO-A070"


@given(size=st.integers(1, 3000))
def test_pieces_of_any_size_say_the_same(size: int) -> None:
    assert read(releases.small("3.11"), size=size) == read(releases.small("3.11"))
