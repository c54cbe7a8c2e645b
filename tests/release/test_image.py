"""A layer's bytes hang on what is in it alone, and other tools read what we write."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.base.errors import Bug, OutsideError
from payoff.base.hashing import sha256
from payoff.records.release.image import CONFIG, LAYER, MANIFEST, Base, Blob, Layer, Member, Start
from payoff.release import image as images
from payoff.release.layer import arrange, bytes_of, layer

NAME = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/"), min_size=1, max_size=120).filter(
    lambda each: each not in {".", ".."}
)
PATHS = st.lists(st.lists(NAME, min_size=1, max_size=3).map("/".join), max_size=8, unique=True).filter(
    lambda paths: not any(other.startswith(f"{path}/") for path in paths for other in paths)
)


def files(paths: list[str]) -> list[Member]:
    return [Member(path=path, data=path.encode() * 3, executable=len(path) % 2 == 0) for path in paths]


@given(PATHS, st.randoms())
def test_order_does_not_matter_and_tar_reads_it(paths: list[str], random: Any) -> None:
    shuffled = files(paths)
    random.shuffle(shuffled)
    archive = bytes_of(files(paths))
    assert bytes_of(shuffled) == archive
    assert len(archive) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {each.name: each for each in opened.getmembers()}
        for path in paths:
            held = opened.extractfile(found[path])
            assert held is not None
            assert held.read() == path.encode() * 3
            assert found[path].mode == (0o755 if len(path) % 2 == 0 else 0o644)
        assert all((each.uid, each.gid, each.mtime) == (0, 0, 0) for each in found.values())
        above = {"/".join(path.split("/")[:n]) for path in paths for n in range(1, path.count("/") + 1)}
        assert {name for name, each in found.items() if each.isdir()} == above


def test_links_and_the_first_of_two() -> None:
    archive = bytes_of([Member(path="bin/python", kind="link", target="/usr/bin/python3"), Member(path="a", data=b"1"), Member(path="a", data=b"2")])
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert opened.getmember("bin/python").linkname == "/usr/bin/python3"
        held = opened.extractfile("a")
        assert held is not None
        assert held.read() == b"1"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a"])
def test_a_path_stays_inside(path: str) -> None:
    with pytest.raises(Bug, match="no path inside"):
        arrange([Member(path=path)])


def test_nothing_lies_in_a_file() -> None:
    with pytest.raises(Bug, match="would lie in it"):
        arrange([Member(path="a"), Member(path="a/b")])


def test_a_file_that_grew_while_it_was_read() -> None:
    with pytest.raises(OutsideError, match="4 bytes, and had 3 when"):
        layer([Member(path="a", source="/somewhere", size=3)], lambda _: [b"ab", b"cd"], lambda _: None)


def test_a_layer_says_what_was_written() -> None:
    out = io.BytesIO()
    made = layer(files(["a", "b/c"]), lambda _: (), out.write, says="code")
    assert out.getvalue() == bytes_of(files(["a", "b/c"]))
    assert (made.blob.digest, made.blob.size, made.blob.media_type) == (sha256(out.getvalue()), len(out.getvalue()), LAYER)
    assert made.diff_id == made.blob.digest


BASE = Base(
    digest="sha256:" + "b" * 64,
    architecture="amd64",
    os="linux",
    layers=(Layer(blob=Blob(media_type=LAYER + "+gzip", digest="sha256:" + "1" * 64, size=10), diff_id="sha256:" + "2" * 64),),
    environment=("PATH=/usr/bin", "LANG=C"),
)


def code_layer(content: bytes = b"pass") -> Layer:
    return layer([Member(path="srv/pipeline.py", data=content)], lambda _: (), lambda _: None, says="the project's code")


def test_an_image_is_its_layers_over_the_base() -> None:
    made = images.image(BASE, [code_layer()], Start(command=("payoff", "serve"), environment={"LANG": "C.UTF-8"}, ports=(8080,)))
    manifest, config = json.loads(made.manifest), json.loads(made.config)
    assert (manifest["mediaType"], manifest["config"]["mediaType"]) == (MANIFEST, CONFIG)
    assert manifest["config"]["digest"] == sha256(made.config)
    assert [each["digest"] for each in manifest["layers"]] == [BASE.layers[0].blob.digest, code_layer().blob.digest]
    assert config["rootfs"]["diff_ids"] == [BASE.layers[0].diff_id, code_layer().diff_id]
    assert len(config["history"]) == 2
    assert config["config"]["Env"] == ["LANG=C.UTF-8", "PATH=/usr/bin"]
    assert config["config"]["User"] == "65532:65532"
    assert made.digest == sha256(made.manifest)


def test_the_same_parts_give_the_same_image_and_others_another() -> None:
    start = Start(command=("payoff", "serve"))
    one, again = (images.image(BASE, [code_layer()], start) for _ in range(2))
    assert one == again
    assert images.image(BASE, [code_layer(b"fail")], start).digest != one.digest


def test_a_document_is_attached_to_its_image() -> None:
    subject = images.image(BASE, [], Start(command=("x",))).blob
    manifest, document = images.attached(subject, "application/vnd.cyclonedx+json", b"{}", "application/vnd.cyclonedx+json", {"a": "b"})
    said = json.loads(manifest)
    assert said["subject"] == {"mediaType": MANIFEST, "digest": subject.digest, "size": subject.size}
    assert said["layers"] == [{"mediaType": "application/vnd.cyclonedx+json", "digest": document.digest, "size": 2}]
