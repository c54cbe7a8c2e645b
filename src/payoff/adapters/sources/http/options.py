"""What `[sources.NAME]` of an HTTP source may say."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

from payoff.base.errors import OutsideError, UserError

CAPABILITIES = {"columns": False, "version": True, "streams": False}
FORMATS = ("json", "jsonl", "csv", "parquet")
STYLES = ("none", "page", "offset", "cursor", "link")
_JSON_MB = 64  # a page of JSON is held in memory whole
_STREAM_MB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Options:
    """`url`: http or https. `params`: of the query. `headers`, `bearer` (a token), `basic` (`user:password`): sent to the host of `url` alone, secrets as
    `${ENV_VAR}`. `format`: `json`, `jsonl`, `csv` or `parquet`, by the answer's Content-Type unless said. `records`: where a JSON body has its rows (`data.items`).
    `types`: column -> Arrow type; the rest is inferred over the whole answer. `nulls`, `delimiter`, `encoding`: of CSV.

    `paging`: `none`, `page` (`page_param` counts from `first_page`), `offset` (`offset_param` counts rows), `cursor` (`cursor`: where the body has the next one or its
    URL; sent as `cursor_param`) or `link` (header `Link: …; rel="next"`). `page_size` is sent as `size_param`. `total`: where the body (or which header) says
    how many rows there are; `more`: where the body says whether there are more. `max_pages` guards against an endless answer.

    `timeout`: seconds without a byte. `page_timeout`: seconds for a page. `max_mb`: of a page (64 for JSON and pages, else 1,048,576). `retries` with growing
    waits of at most `max_wait` seconds each, or what Retry-After asks for. `per_second`: requests at most. `ca`: a file of certificates to trust.
    """

    url: str
    params: dict[str, str | int | float | bool] = dataclasses.field(default_factory=dict)
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    bearer: str = ""
    basic: str = ""
    format: str = ""
    records: str = ""
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    nulls: list[str] = dataclasses.field(default_factory=lambda: ["", "NA", "N/A", "NULL", "null", "NaN", "nan"])
    delimiter: str = ","
    encoding: str = "utf-8"
    paging: str = "none"
    page_param: str = "page"
    first_page: int = 1
    offset_param: str = "offset"
    cursor: str = ""
    cursor_param: str = "cursor"
    page_size: int = 0
    size_param: str = "limit"
    total: str = ""
    more: str = ""
    max_pages: int = 10_000
    timeout: float = 30.0
    page_timeout: float = 600.0
    max_mb: int = 0
    retries: int = 5
    max_wait: float = 60.0
    per_second: float = 0.0
    ca: str = ""

    def limit(self, kind: str) -> int:
        """Bytes of a page of this format, at most."""
        whole = kind == "json" or self.paging != "none"
        return (self.max_mb or (_JSON_MB if whole else _STREAM_MB)) << 20


@dataclasses.dataclass(frozen=True)
class Told:
    """Makes this source's errors: its name, and its address without query, user and password."""

    name: str
    address: str

    def wrong(self, what: str, code: str, expected: str, remedy: str = "") -> UserError:
        """What the user can correct."""
        return UserError(
            f"source {self.name}: {what}",
            code=code,
            expected=expected,
            remedy=remedy or f"correct [sources.{self.name}] of payoff.toml",
        )

    def outside(self, what: str, code: str, expected: str, *, retry: bool = True) -> OutsideError:
        """What the server or the network did."""
        return OutsideError(
            f"source {self.name}: {self.address}: {what}",
            code=code,
            expected=expected,
            remedy=f"check [sources.{self.name}] of payoff.toml and the server, then run again",
            retryable=retry,
        )


def address(url: str) -> str:
    """A URL without user, password, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "no address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def checked(name: str, options: Options) -> Told:
    """Refuse options that contradict themselves."""
    try:
        parts = urlsplit(options.url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise Told(name, "").wrong("its url is no address of a web server", "PO-S220", "http:// or https:// and a host")
    told = Told(name, address(options.url))
    for key, value, known in (("paging", options.paging, STYLES), ("format", options.format, ("", *FORMATS))):
        if value not in known:
            raise told.wrong(
                f"{key} has a value that is not known", "PO-S220", "one of " + ", ".join(filter(None, known))
            )
    if options.paging == "cursor" and not options.cursor:
        raise told.wrong(
            "paging by cursor needs to know where it is", "PO-S220", 'cursor = "meta.next", a path in the body'
        )
    if options.bearer and options.basic:
        raise told.wrong("it has both bearer and basic", "PO-S220", "one of them")
    if min(options.max_pages, options.timeout, options.page_timeout) <= 0 or options.retries < 0:
        raise told.wrong("a limit is not above zero", "PO-S220", "max_pages, timeout and page_timeout above zero")
    return told
