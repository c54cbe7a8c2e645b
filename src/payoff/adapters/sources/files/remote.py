"""Files in an object store, or at any other address that fsspec knows: whole, of one version, or an error."""

from __future__ import annotations

import contextlib
import glob
import io
import re
from typing import TYPE_CHECKING, Any

from payoff.base import hashing
from payoff.base.errors import OutsideError, PayoffError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
_MARKS = ("ETag", "etag", "generation", "LastModified", "last_modified", "updated", "mtime", "created", "ino")
_DENIED = re.compile(
    r"\b40[13]\b|Forbidden|AccessDenied|Access Denied|InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|AuthorizationFailure"
    r"|Unauthorized|[Cc]redential"
)
_EXPIRED = re.compile(r"FileExpired|\b412\b|PreconditionFailed|pre-?condition|ConditionNotMet")
_MISSING = re.compile(r"\b404\b|NoSuchKey|NoSuchBucket|BlobNotFound|ContainerNotFound|does not exist")


class Remote:
    """The files of one source. `paths`: addresses or globs; `options`: handed to fsspec."""

    def __init__(self, name: str, paths: list[str], options: Mapping[str, Any]) -> None:
        self._name = name
        self._paths = paths
        self._options = options

    def files(self) -> list[str]:
        """What is there now, in the order of the paths, and of a glob by name."""
        with self.told(self.shown()[0]):
            self._system().invalidate_cache()
            found: list[str] = []
            for path in self._paths:
                system, inner = self._split(path)
                found += sorted(system.glob(inner)) if glob.has_magic(inner) else [inner]
            return found

    def mark(self, file: str) -> str | None:
        """What the store says of a file that changes with its content; None when it says nothing of the kind."""
        with self.told(file):
            system = self._system()
            system.invalidate_cache()
            facts = system.info(file)
        if facts.get("type") == "directory":
            raise self._none(file)
        marks = [str(facts[key]) for key in _MARKS if facts.get(key) is not None]
        return hashing.of_json([file, facts.get("size"), marks]) if marks else None

    def open(self, file: str) -> Reading:
        """The file's bytes; seekable."""
        with self.told(file):
            return Reading(self._system().open(file, "rb"), self, file)

    @contextlib.contextmanager
    def same(self, file: str) -> Iterator[None]:
        """For the length of a reading; at its end the file must be the one that it was at the beginning."""
        before = self.mark(file)
        yield
        if self.mark(file) != before:
            raise self._changed(file)

    def shown(self) -> list[str]:
        """The addresses without what stands before an `@`, and without a query: either may hold a secret."""
        return [
            re.sub(r"//[^@/]*:[^@/]*@", "//", path.partition("?")[0] if path.startswith("http") else path)
            for path in self._paths
        ]

    @contextlib.contextmanager
    def told(self, file: str) -> Iterator[None]:
        """The store's errors in our words. What it says itself may hold a key or an address, and is not repeated."""
        try:
            yield
        except PayoffError:
            raise
        except Exception as error:
            raise self._translated(error, file) from None

    def cut(self, file: str) -> OutsideError:
        """The error of a file that ends before its size."""
        return self._outside(file, "it was cut short", retry=True)

    def _system(self) -> Any:
        return self._split(self._paths[0])[0]

    def _split(self, path: str) -> tuple[Any, str]:
        """Fsspec's file system for an address, made once for the same options, and the path within it."""
        import fsspec

        try:
            system, inner = fsspec.core.url_to_fs(path, **self._options)
            return system, str(inner)
        except ImportError as error:
            scheme = path.partition("://")[0]
            raise UserError(
                f"source {self._name}: the address {scheme}:// needs a package that is not installed",
                code="PO-S003",
                expected=f"fsspec's file system for {scheme}",
                remedy=f'uv pip install "payoff[{_EXTRAS.get(scheme, scheme)}]"',
            ) from error

    def _translated(self, error: Exception, file: str) -> PayoffError:
        text = f"{type(error).__name__} {error}"
        if _EXPIRED.search(text):
            return self._changed(file)
        if isinstance(error, FileNotFoundError) or (not isinstance(error, PermissionError) and _MISSING.search(text)):
            return self._none(file)
        if isinstance(error, PermissionError) or _DENIED.search(text):
            return self._outside(file, "the store refuses access", code="PO-S007")
        if isinstance(error, TypeError | ValueError):
            return self._outside(
                file, f"address or storage_options cannot be used ({type(error).__name__})", retry=False
            )
        return self._outside(file, f"the store cannot be reached or read ({type(error).__name__})", retry=True)

    def _changed(self, file: str) -> OutsideError:
        return self._outside(file, "it was changed while it was read", retry=True, code="PO-S008")

    def _none(self, file: str) -> UserError:
        return UserError(
            f"source {self._name}: there is no file {file}",
            code="PO-S001",
            expected="an object of this name in the store",
            remedy=f"put it there, or correct path in [sources.{self._name}] of payoff.toml",
        )

    def _outside(self, file: str, what: str, *, retry: bool = False, code: str = "PO-S004") -> OutsideError:
        return OutsideError(
            f"source {self._name}: {file}: {what}",
            code=code,
            expected="an address that answers, and credentials that may list and read it",
            remedy=f"check path and storage_options of [sources.{self._name}] and the store, then run again",
            retryable=retry,
        )


class Reading(io.RawIOBase):
    """A file of fsspec whose errors are ours, and that does not end before its size."""

    def __init__(self, file: Any, remote: Remote, name: str) -> None:
        super().__init__()
        self._file, self._remote, self._named = file, remote, name
        size = getattr(file, "size", None)
        self._size = size if isinstance(size, int) else None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """As the file is."""
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Of the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Of the file."""
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        """As many bytes as asked for, or all that are left; fewer only at the end."""
        with self._remote.told(self._named):
            start = self._file.tell()
            data = bytes(self._file.read(size))
        if self._size is not None:
            left = max(0, self._size - start)
            if len(data) < (left if size is None or size < 0 else min(size, left)):
                raise self._remote.cut(self._named)
        return data

    def readinto(self, buffer: Any) -> int:
        """For those who bring their own memory."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()
