"""HTTP/1.1 messages (RFC 9112): the bytes of a client are cut into requests, and of each message only what is meant for the other side is handed on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import httptools

from payoff.base.text import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

LARGEST = 64 << 20  # bytes of a body
_TARGET = 8 << 10
_HEAD = 64 << 10
_CHUNK_LINE = 256  # bytes before a chunk: its size, and extensions that nobody reads
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?")
# What speaks of one connection only (RFC 9110, 7.6.1), and what is said anew: how long a body is.
_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
    b"expect",
    b"content-length",
}
_HOST = re.compile(HOST)
_AGAIN = {b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"}  # RFC 9110, 9.2.2

Headers = list[tuple[bytes, bytes]]


class Denied(Exception):
    """What a client gets instead of a release's answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Gone(Denied):
    """No answer came."""


def options(headers: Headers) -> set[bytes]:
    """The names in `Connection`: headers that speak of this connection only, `close`, `keep-alive`."""
    return {
        each.strip().lower() for name, value in headers if name.lower() == b"connection" for each in value.split(b",")
    }


def handed_on(headers: Headers) -> Iterable[bytes]:
    """Lines of the headers that are meant for the other side. `Host` is, whatever `Connection` says: nobody takes a request without it."""
    dropped = _HOP | (options(headers) - {b"host"})
    return [b"%s: %s\r\n" % each for each in headers if each[0].lower() not in dropped]


class Request(NamedTuple):
    """`keep`: the client's connection may go on. `old`: it speaks HTTP/1.0."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    keep: bool = True
    old: bool = False

    @property
    def decides(self) -> bool:
        """Whether its answer tells what decisions should bring."""
        return self.target.partition(b"?")[0].endswith(b"/decide")

    @property
    def again(self) -> bool:
        """Whether sending it twice is the same as once."""
        return self.method in _AGAIN

    def raw(self) -> bytes:
        """As a release is sent it."""
        length = b"Content-Length: %d\r\n" % len(self.body) if self.body or not self.again else b""
        lines = b"".join(handed_on(self.headers))
        return b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (self.method, self.target, lines, length, self.body)


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    reason: bytes
    headers: Headers
    body: bytes

    def raw(self, request: Request, *, keep: bool) -> bytes:
        """As the client is sent it. Its length is told, in whatever way it came: that is read by HTTP/1.0, too. An answer to HEAD tells what GET's would be."""
        bodiless = request.method == b"HEAD" or self.status in {204, 304}
        if not bodiless:
            length = b"Content-Length: %d\r\n" % len(self.body)
        else:
            said = [value for name, value in self.headers if name.lower() == b"content-length"]
            length = b"Content-Length: %s\r\n" % said[0] if said and self.status != 204 else b""
        connection = b"" if keep and not request.old else b"Connection: %s\r\n" % (b"keep-alive" if keep else b"close")
        lines = b"".join(handed_on(self.headers))
        head = b"HTTP/1.1 %d %s\r\n%s%s%s\r\n" % (self.status, self.reason, lines, length, connection)
        return head if bodiless else head + self.body


def said(status: int, why: str) -> Reply:
    """An answer of the front itself."""
    return Reply(status, b"-", [(b"Content-Type", b"application/json")], json.dumps({"error": why}).encode())


class Incoming:
    """What one client sends. Nothing of a request is read before the one before it was taken by `next`; what is ahead stays bytes.

    A head is given to the parser as it comes, and no byte beyond its end: bodies are cut here, so that where the next request begins is known.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._fed = 0
        self._tail = b""
        self._begun = 0
        self._headed = False
        self._url = b""
        self._headers: Headers = []
        self._body: _Sized | _Chunked | None = None
        self.awaited = False  # whether the client waits to be told that its body is wanted

    @property
    def ahead(self) -> int:
        """Bytes that were not looked at yet."""
        return len(self._bytes)

    @property
    def held(self) -> int:
        """Bytes of a request that is not whole."""
        return len(self._bytes) + (len(self._body.content) if self._body else 0)

    @property
    def phase(self) -> Literal["idle", "head", "body"]:
        """What is being waited for."""
        if self._body is not None:
            return "body"
        return "head" if self._fed or self._bytes else "idle"

    def add(self, data: bytes) -> None:
        """Bytes came."""
        self._bytes += data

    def next(self) -> Request | None:
        """The next request, when it is whole. Raises `Denied`: then nothing more can be read here."""
        if self._body is None:
            self._read_head()
        if self._body is None:
            return None
        self._body.take(self._bytes)
        if not self._body.done:
            return None
        old = self._parser.get_http_version() == "1.0"
        named = options(self._headers)
        keep = b"close" not in named and (not old or b"keep-alive" in named)
        made = Request(self._parser.get_method(), self._url, self._headers, bytes(self._body.content), keep, old)
        self._begin()
        return made

    def _read_head(self) -> None:
        while not self._fed and self._bytes.startswith(b"\r\n"):  # some end a body with an empty line (RFC 9112, 2.2)
            del self._bytes[:2]
        while self._bytes and not self._headed:
            end = (self._tail + self._bytes).find(b"\r\n\r\n")
            size = len(self._bytes) if end < 0 else end + 4 - len(self._tail)
            piece = bytes(self._bytes[:size])
            del self._bytes[:size]
            self._tail = b"" if end >= 0 else (self._tail + piece)[-3:]
            self._feed(piece)
            if self._begun > 1 or (self._headed and end < 0):
                raise Denied(400, "a head ends otherwise than it seems to")
            if self._fed - len(self._url) > _HEAD:
                raise Denied(431, f"the headers have at most {_HEAD} bytes")
        if self._headed:
            self._body = self._framed()

    def _feed(self, piece: bytes) -> None:
        self._fed += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass  # whoever asks for another protocol may be answered in this one (RFC 9110, 7.8)
        except httptools.HttpParserError as error:
            ours = error.__context__
            raise ours if isinstance(ours, Denied) else Denied(400, f"this is no HTTP/1.1: {error}") from None

    def _framed(self) -> _Sized | _Chunked:
        """How the body ends. What others might read in another way is refused, or one of them would take a part of a body for a request."""
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise Denied(505, "only HTTP/1.1 and 1.0 are spoken here")
        if self._parser.get_method() == b"CONNECT":
            raise Denied(501, "there is no way through here")
        found: dict[bytes, list[bytes]] = {}
        for name, value in self._headers:
            found.setdefault(name.lower(), []).append(value.strip())
        hosts, lengths, codings = (found.get(each, []) for each in (b"host", b"content-length", b"transfer-encoding"))
        if version == "1.1" if not hosts else len(hosts) > 1 or not _HOST.fullmatch(hosts[0]):
            raise Denied(400, "one header Host is needed, with a name or an address")
        if codings and (lengths or version == "1.0"):
            raise Denied(400, "a body is chunked or has a length, not both")
        if codings and [each.lower() for each in codings] != [b"chunked"]:
            raise Denied(501, "a body is chunked and nothing else")
        if len(set(lengths)) > 1 or not all(each.isdigit() for each in lengths):
            raise Denied(400, "one number is needed as Content-Length")
        if lengths and (len(lengths[0]) > 15 or int(lengths[0]) > LARGEST):
            raise Denied(413, f"a body has at most {LARGEST} bytes")
        body = _Chunked() if codings else _Sized(int(lengths[0]) if lengths else 0)
        waits = any(value.lower() == b"100-continue" for value in found.get(b"expect", []))
        self.awaited = waits and version == "1.1" and not body.done and not self._bytes
        return body

    # -- the parser's

    def on_message_begin(self) -> None:
        """A head begins."""
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        """Some of the target."""
        self._url += url
        if len(self._url) > _TARGET:
            raise Denied(414, f"a target has at most {_TARGET} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._headed = True


class _Sized:
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        self.content = bytearray()
        self._size = size

    @property
    def done(self) -> bool:
        return len(self.content) == self._size

    def take(self, data: bytearray) -> None:
        """Move what belongs to the body."""
        piece = data[: self._size - len(self.content)]
        self.content += piece
        del data[: len(piece)]


class _Chunked:
    """A body in chunks (RFC 9112, 7.1), whose trailers nobody needs."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.done = False
        self._left = 0  # bytes of the chunk that are to come
        self._part: Literal["size", "data", "end", "trailers"] = "size"
        self._trailers = 0

    def take(self, data: bytearray) -> None:
        """Move what belongs to the body."""
        while not self.done:
            if self._part == "data":
                piece = data[: self._left]
                self.content += piece
                del data[: len(piece)]
                self._left -= len(piece)
                if self._left:
                    return
                self._part = "end"
            most = {"size": _CHUNK_LINE, "end": 0}.get(self._part, _HEAD - self._trailers)
            at = data.find(b"\n", 0, most + 2)
            if at < 0 and len(data) < most + 2:
                return
            line = bytes(data[: at + 1])
            if not line.endswith(b"\r\n"):
                raise Denied(400 if self._part != "trailers" else 431, "this is no chunked body")
            del data[: at + 1]
            self._line(line[:-2])

    def _line(self, line: bytes) -> None:
        if self._part == "end":
            self._part = "size"
        elif self._part == "size":
            found = _SIZE.fullmatch(line)
            if found is None:
                raise Denied(400, "this is no chunked body")
            self._left = int(found[1], 16)
            if self._left + len(self.content) > LARGEST:
                raise Denied(413, f"a body has at most {LARGEST} bytes")
            self._part = "data" if self._left else "trailers"
        else:
            self._trailers += len(line) + 2
            self.done = not line
