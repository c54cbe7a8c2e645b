"""One request: its answer's body in a temporary file, whole, or an error."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import email.utils
import tempfile
import time
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from payoff.adapters.sources.http.options import FORMATS, Options, Told
from payoff.base import clock, lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import urllib3

    from payoff.base.errors import OutsideError
else:
    urllib3 = lazy.Module("urllib3")

_REDIRECTS, _HOPS = {301, 302, 303, 307, 308}, 10
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_CHUNK = 1 << 16
_KINDS = {
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/jsonlines": "jsonl",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """`url`: where it came from in the end; `kind`: its format; `body`: a file at its beginning, closed by who asked."""

    url: str
    headers: Mapping[str, str]
    kind: str
    body: BinaryIO


class _Again(Exception):
    """What may go better next time; `wait`: what the server asks for, in seconds."""

    def __init__(self, error: OutsideError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.wait = error, wait


class Client:
    """Sends requests for one source, one at a time, over connections that are kept."""

    def __init__(self, told: Told, options: Options, root: Path) -> None:
        self._told = told
        self._options = options
        self._ca = str(root / options.ca) if options.ca else None
        self._pools: dict[str, Any] = {}
        self._free = 0.0  # when the next request may be sent

    def get(self, url: str) -> Answer:
        """The answer to a GET, after as many tries as the options allow."""
        answer: Answer = self._tried(lambda: self._answer(url))
        return answer

    def head(self, url: str) -> Mapping[str, str] | None:
        """The headers of a HEAD, or None where the server does not answer it with success."""

        def once() -> Mapping[str, str] | None:
            response, _ = self._sent("HEAD", url)
            response.release_conn()
            return response.headers if response.status == 200 else None

        found: Mapping[str, str] | None = self._tried(once)
        return found

    def close(self) -> None:
        """Let all connections go."""
        for pool in self._pools.values():
            pool.clear()
        self._pools.clear()

    def own(self, url: str) -> bool:
        """Whether a URL is of the host that may see what the source is told to send."""
        mine, other = urlsplit(self._options.url), urlsplit(url)
        if mine.hostname != other.hostname:
            return False
        if mine.scheme == other.scheme:
            return _port(mine) == _port(other)
        return mine.scheme == "http" and (_port(mine), _port(other)) == (80, 443)

    # -- one try after the other

    def _tried(self, once: Any) -> Any:
        attempt = 0
        while True:
            try:
                return once()
            except _Again as again:
                wait = min(0.25 * 2**attempt, self._options.max_wait) if again.wait is None else again.wait
                if attempt == self._options.retries:
                    raise again.error from None
                if wait > self._options.max_wait:
                    raise self._told.outside(
                        f"the server asks to wait {wait:,.0f} seconds", "PO-S223", "max_wait of at least as much"
                    ) from None
                time.sleep(wait)
                attempt += 1

    def _answer(self, url: str) -> Answer:
        started = clock.stopwatch()
        response, final = self._sent("GET", url)
        try:
            self._refuse(response)
            if response.status not in {200, 203, 204}:
                raise self._told.wrong(
                    f"the server answers with status {response.status}", "PO-S222", "an answer with its rows"
                )
            kind = self._kind(response.headers, final)
            body = self._body(response, kind, started)
        finally:
            response.close()
        return Answer(final, response.headers, kind, body)

    # -- sending

    def _sent(self, method: str, url: str) -> tuple[Any, str]:
        """The response after redirects, and the URL it came from; its body is still to be read."""
        for _ in range(_HOPS):
            self._paced()
            try:
                response = self._pool(url).request(
                    method,
                    url,
                    headers=self._headers(url),
                    preload_content=False,
                    redirect=False,
                    retries=False,
                    timeout=self._options.timeout,
                )
            except urllib3.exceptions.HTTPError as error:
                raise self._unreached(error) from None
            where = response.headers.get("Location")
            if response.status not in _REDIRECTS or not where:
                return response, url
            response.close()
            url = self._moved(url, where)
        raise self._told.outside("it redirects again and again", "PO-S229", f"at most {_HOPS} redirects", retry=False)

    def _moved(self, url: str, where: str) -> str:
        try:
            target = urljoin(url, where)
            old, new = urlsplit(url).scheme, urlsplit(target).scheme
        except ValueError:
            target, old, new = "", "", ""
        if new not in {"http", "https"} or (old == "https" and new == "http"):
            raise self._told.outside(
                "it redirects to where nothing is encrypted, or to no address", "PO-S229", "https", retry=False
            )
        return target

    def _headers(self, url: str) -> dict[str, str]:
        """What the source is told to send goes to its own host, nowhere else."""
        sent = {"Accept": "*/*", "User-Agent": "payoff", "Accept-Encoding": "gzip"}
        options = self._options
        if self.own(url):
            if options.bearer:
                sent["Authorization"] = f"Bearer {options.bearer}"
            if options.basic:
                sent["Authorization"] = "Basic " + base64.b64encode(options.basic.encode()).decode("ascii")
            sent.update(options.headers)
        return sent

    def _pool(self, url: str) -> Any:
        parts = urlsplit(url)
        proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
        if proxy not in self._pools:
            settings: dict[str, Any] = {"ca_certs": self._ca} if self._ca else {}
            made = urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
            self._pools[proxy] = made
        return self._pools[proxy]

    def _paced(self) -> None:
        if self._options.per_second > 0:
            time.sleep(max(0.0, self._free - clock.stopwatch()))
            self._free = clock.stopwatch() + 1 / self._options.per_second

    # -- what came back

    def _refuse(self, response: Any) -> None:
        status = response.status
        if status in {401, 403, 407}:
            raise self._told.wrong(
                f"the server refuses access (status {status})",
                "PO-S221",
                "bearer, basic, headers or params with a right that the server accepts",
                f"check the environment variables that [sources.{self._told.name}] refers to",
            )
        if status in {404, 410}:
            raise self._told.wrong(
                f"the server has nothing at {self._told.address} (status {status})",
                "PO-S222",
                "an address that is there",
            )
        if status in _AGAIN:
            raise _Again(
                self._told.outside(f"the server answers with status {status}", "PO-S223", "an answer with its rows"),
                _asked(response.headers),
            )

    def _kind(self, headers: Mapping[str, str], url: str) -> str:
        said = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if said in {"text/html", "application/xhtml+xml"}:
            raise self._told.outside(
                "the server answers with a web page",
                "PO-S226",
                "an answer with rows, not a page to log in",
                retry=False,
            )
        ending = urlsplit(url).path.rpartition(".")[2].lower()
        ending = {"ndjson": "jsonl", "tsv": "csv", "pq": "parquet"}.get(ending, ending)
        kind = self._options.format or _KINDS.get(said, "")
        if not kind and (said == "application/json" or said.endswith("+json")):
            kind = "json"
        if not kind and ending in FORMATS:
            kind = ending
        if not kind:
            raise self._told.wrong(
                "the format of its answer is not known", "PO-S220", 'format = "json", "jsonl", "csv" or "parquet"'
            )
        return kind

    def _body(self, response: Any, kind: str, started: float) -> BinaryIO:
        """The body, unzipped, in a file without a name; refused when it is not whole, too large or too slow."""
        coding = response.headers.get("Content-Encoding", "").strip().lower()
        framed = response.chunked or "Content-Length" in response.headers or bool(coding) or response.status == 204
        if not framed and kind in {"csv", "jsonl"}:
            raise self._told.outside(
                "the answer does not say how long it is, so that a cut would not be seen",
                "PO-S224",
                "Content-Length or chunks",
                retry=False,
            )
        limit, size = self._options.limit(kind), 0
        with contextlib.ExitStack() as stack:
            body: BinaryIO = stack.enter_context(tempfile.TemporaryFile())
            for chunk in self._unzipped(self._chunks(response, started), coding):
                size += len(chunk)
                if size > limit:
                    what = f"a page has more than {limit >> 20:,} MB"
                    raise self._told.outside(what, "PO-S225", "smaller pages, or a larger max_mb", retry=False)
                body.write(chunk)
            stack.pop_all()  # whole: closed by who asked
        body.seek(0)
        return body

    def _chunks(self, response: Any, started: float) -> Iterator[bytes]:
        try:
            while chunk := response.read1(_CHUNK, decode_content=False):
                yield chunk
                if clock.stopwatch() - started > self._options.page_timeout:
                    raise _Again(
                        self._told.outside(
                            "a page takes too long", "PO-S224", f"a page in {self._options.page_timeout:g} seconds"
                        )
                    )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Again(
                self._told.outside(f"the answer was cut short ({type(error).__name__})", "PO-S224", "a whole answer")
            ) from None

    def _unzipped(self, chunks: Iterator[bytes], coding: str) -> Iterator[bytes]:
        if coding in {"", "identity"}:
            yield from chunks
            return
        if coding not in {"gzip", "x-gzip"}:
            raise self._told.outside(
                "the answer is coded in a way that was not asked for", "PO-S226", "gzip or nothing", retry=False
            )
        inflate = zlib.decompressobj(31)
        try:
            for chunk in chunks:
                rest = chunk
                while rest:
                    yield inflate.decompress(rest, _CHUNK * 16)
                    rest = inflate.unconsumed_tail
                    if inflate.eof and inflate.unused_data:
                        rest, inflate = inflate.unused_data, zlib.decompressobj(31)
        except zlib.error:
            raise self._told.outside("the answer is no valid gzip", "PO-S226", "a whole answer") from None
        if not inflate.eof:
            raise _Again(self._told.outside("the answer was cut short", "PO-S224", "a whole answer"))

    def _unreached(self, error: Exception) -> Exception:
        if isinstance(error, urllib3.exceptions.SSLError):
            return self._told.outside(
                "its certificate is not trusted",
                "PO-S223",
                "a certificate of a known authority, or ca = a file of your own",
                retry=False,
            )
        if isinstance(error, urllib3.exceptions.LocationValueError):
            return self._told.outside("it leads to what is no address", "PO-S229", "a web address", retry=False)
        return _Again(
            self._told.outside(
                f"the server cannot be reached ({type(error).__name__})", "PO-S223", "a server that answers"
            )
        )


def _port(parts: Any) -> int:
    return int(parts.port or (443 if parts.scheme == "https" else 80))


def _asked(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After: a number, or a date, which is compared with the server's own."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        present = email.utils.parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (until - present).total_seconds())
    except (TypeError, ValueError):
        return None
