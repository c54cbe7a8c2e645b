"""The contract suite of registries.

Inherit it in a test file, name the adapter and say how to connect; pytest does the rest:

    class TestMyRegistry(RegistrySuite):
        adapter = "payoff.registries:mine"

        @pytest.fixture()
        def options(self, tmp_path): return {"repository": "127.0.0.1:5000/tests"}
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import sha256
from payoff.records.release.image import INDEX, LAYER, MANIFEST, Base, Blob, Layer, Member, Start
from payoff.release import image as images
from payoff.release import layer as layers
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.releasing.registry import Registry

EMPTY_BASE = Base(digest="sha256:" + "0" * 64, architecture="amd64", os="linux")


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Registry:
    """The registry that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    made: Registry = module.connect(root, module.Options(**options))
    return made


def blob(content: bytes, media_type: str = LAYER) -> Blob:
    """The descriptor of bytes."""
    return Blob(media_type=media_type, digest=sha256(content), size=len(content))


def small_image(content: bytes = b"hello") -> tuple[images.Image, dict[str, bytes]]:
    """An image of one file, and its blobs by digest."""
    archive = layers.bytes_of([Member(path="srv/hello", data=content)])
    made = images.image(
        EMPTY_BASE, [Layer(blob=blob(archive), diff_id=sha256(archive), says="a file")], Start(command=("/srv/hello",))
    )
    return made, {sha256(archive): archive, sha256(made.config): made.config}


def push(registry: Registry, made: images.Image, blobs: dict[str, bytes], tag: str = "") -> None:
    """An image with all its parts."""
    for content in blobs.values():
        registry.write(blob(content), [content])
    registry.put(made.manifest, MANIFEST, tag)


class RegistrySuite:
    """What every registry promises."""

    adapter: ClassVar[str]

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        """The section that connects to an empty repository."""
        raise NotImplementedError

    @pytest.fixture
    def registry(self, tmp_path: Path, options: dict[str, Any]) -> Registry:
        """A connected one."""
        return connect(self.adapter, tmp_path, options)

    def test_it_has_what_was_written(self, registry: Registry) -> None:
        """Blobs come back whole, in however many pieces they came."""
        content = bytes(range(256)) * 9000
        assert not registry.has(blob(content))
        registry.write(blob(content), [content[:1], content[1:-7], b"", content[-7:]])
        assert registry.has(blob(content))
        assert b"".join(registry.read(blob(content))) == content

    def test_others_find_it_by_its_address(self, registry: Registry) -> None:
        """As skopeo and podman write it, without a tag."""
        kind, _, place = registry.address.partition(":")
        assert (kind, place[:1]) in {("docker", "/"), ("oci", "/")}

    def test_an_empty_blob(self, registry: Registry) -> None:
        """A blob of no bytes is a blob."""
        registry.write(blob(b""), [])
        assert b"".join(registry.read(blob(b""))) == b""

    def test_what_is_not_there(self, registry: Registry) -> None:
        """A missing blob is an error, a missing manifest an answer."""
        with pytest.raises(UserError, match="has no blob"):
            list(registry.read(blob(b"never written")))
        assert registry.manifest("nothing") is None
        assert registry.manifest(sha256(b"nothing")) is None

    def test_other_bytes_than_the_digest_says_are_not_kept(self, registry: Registry) -> None:
        """Nothing gets in under a wrong name."""
        wanted = blob(b"good bytes")
        with pytest.raises(OutsideError):
            registry.write(wanted, [b"evil bytes"])
        assert not registry.has(wanted)

    def test_a_write_that_breaks_off_leaves_nothing(self, registry: Registry) -> None:
        """Whole or not at all."""
        wanted = blob(b"one two")

        def broken() -> Any:
            yield b"one"
            raise RuntimeError("the disk it was read from is gone")

        with pytest.raises(RuntimeError, match="is gone"):
            registry.write(wanted, broken())
        assert not registry.has(wanted)
        registry.write(wanted, [b"one two"])
        assert registry.has(wanted)

    def test_images_by_digest_and_tag(self, registry: Registry) -> None:
        """A tag moves, a digest stays."""
        (one, blobs), (other, more) = small_image(), small_image(b"other")
        push(registry, one, blobs, "latest")
        assert registry.manifest("latest") == (one.manifest, MANIFEST)
        push(registry, other, more, "latest")
        assert registry.manifest("latest") == (other.manifest, MANIFEST)
        assert registry.manifest(one.digest) == (one.manifest, MANIFEST)

    def test_an_index(self, registry: Registry) -> None:
        """Indexes are told apart from manifests."""
        made, blobs = small_image()
        push(registry, made, blobs)
        listed = [{"mediaType": MANIFEST, "digest": made.digest, "size": len(made.manifest)}]
        content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        registry.put(content, INDEX, "many")
        assert registry.manifest("many") == (content, INDEX)

    def test_again_is_the_same(self, registry: Registry) -> None:
        """Writing what is there changes nothing."""
        made, blobs = small_image()
        for _ in range(2):
            push(registry, made, blobs, "v1")
        assert registry.manifest("v1") == (made.manifest, MANIFEST)

    def test_many_at_once(self, registry: Registry, tmp_path: Path, options: dict[str, Any]) -> None:
        """Nothing that one of them entered is lost."""
        (made, blobs), failed = small_image(), []

        def enter(tag: str) -> None:
            try:
                push(connect(self.adapter, tmp_path, options), made, blobs, tag)
            except Exception as error:  # told by the assertion
                failed.append(error)

        threads = [threading.Thread(target=enter, args=(f"v{number}",)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert not failed
        assert [registry.manifest(f"v{number}") for number in range(8)] == [(made.manifest, MANIFEST)] * 8
