"""From one page to the next, and when to stop: never early, never not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.adapters.sources.http.client import Answer, Client
    from payoff.adapters.sources.http.options import Options, Told

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"[^"]*"|[^\s",;]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)
ABSENT = object()


def at(document: Any, path: str) -> Any:
    """What a JSON document has at a path of keys (`data.items`), or ABSENT. A key may itself have dots (`@odata.nextLink`).

    >>> at({"data": {"items": [1]}}, "data.items")
    [1]
    >>> at({"a.b": {"c": 2}}, "a.b.c")
    2
    >>> at({"data": None}, "data.items") is ABSENT
    True
    """
    if not path:
        return document
    if not isinstance(document, dict):
        return ABSENT
    if path in document:
        return document[path]
    for end in (match.start() for match in re.finditer(r"\.", path)):
        if path[:end] in document and (found := at(document[path[:end]], path[end + 1 :])) is not ABSENT:
            return found
    return ABSENT


def next_link(header: str) -> str:
    """The target of `rel=next` in a Link header (RFC 8288), or an empty text.

    >>> next_link('<https://a/?page=1>; rel="first", <https://a/?page=3>; title="a, b"; rel="next last"')
    'https://a/?page=3'
    """
    for target, parameters in _LINK.findall(header):
        rel = _REL.search(parameters)
        if rel and "next" in (rel[1] or rel[2] or "").lower().split():
            return str(target)
    return ""


def with_query(url: str, params: Mapping[str, object]) -> str:
    """The URL with these parameters in its query, in place of those of the same names.

    >>> with_query("https://a/b?page=1&x=%20", {"page": 2, "yes": True})
    'https://a/b?x=+&page=2&yes=true'
    """
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in params]
    added = [(key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in params.items()]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added]), fragment=""))


class Paging:
    """Which URL comes first, which next. Counts rows and remembers where it has been."""

    def __init__(self, told: Told, options: Options, client: Client) -> None:
        self._told = told
        self._options = options
        self._own = client.own
        self._been: set[str] = set()
        self._page = options.first_page
        self._total: int | None = None
        self._last = ""
        self.rows = 0
        self.pages = 0

    def first(self) -> str:
        """The URL to begin with."""
        url = with_query(self._options.url, {**self._options.params, **self._size()})
        if self._options.paging == "page":
            url = with_query(url, {self._options.page_param: self._page})
        if self._options.paging == "offset":
            url = with_query(url, {self._options.offset_param: 0})
        self._been.add(url)
        return url

    def following(self, answer: Answer, document: Any, rows: int, digest: str) -> str | None:
        """The URL of the next page, or None when the last page has been seen."""
        self.rows += rows
        self.pages += 1
        self._count(answer, document)
        style = self._options.paging
        if style in {"page", "offset"} and rows and digest == self._last:
            raise self._endless("two pages are the same: the server does not heed where to begin")
        self._last = digest
        if style == "none":
            return None
        url = self._counted(rows, document) if style in {"page", "offset"} else self._told_next(answer, document, rows)
        if url is None:
            return None
        if url in self._been:
            raise self._endless("its next page is one that was read already")
        self._been.add(url)
        if self.pages >= self._options.max_pages:
            raise self._endless(f"it has more than {self._options.max_pages:,} pages")
        return url

    def whole(self) -> None:
        """Refuse an answer that has not as many rows as the server says."""
        if self._total is not None and self.rows != self._total:
            raise self._told.outside(
                f"{self.rows:,} rows came, the server says that there are {self._total:,}",
                "PO-S228",
                "as many rows as total says: the table may have changed while it was read",
            )

    def _size(self) -> dict[str, object]:
        return {self._options.size_param: self._options.page_size} if self._options.page_size else {}

    def _count(self, answer: Answer, document: Any) -> None:
        """What the server says of the number of all rows."""
        where = self._options.total
        if not where:
            return
        found = answer.headers.get(where, None)
        found = at(document, where) if found is None else found
        try:
            total = int(found)
        except (TypeError, ValueError):
            raise self._told.outside(
                "total is not a number in the answer", "PO-S226", f"a number of rows at {where}", retry=False
            ) from None
        if self._total is not None and total != self._total:
            raise self._told.outside(
                f"the table changed while it was read: {self._total:,} rows became {total:,}",
                "PO-S228",
                "one state of the table",
            )
        self._total = total

    def _finished(self, document: Any) -> bool:
        """Whether the server itself says that there is no more."""
        if self._options.more:
            said = at(document, self._options.more)
            if not isinstance(said, bool):
                raise self._told.outside(
                    "more is neither true nor false in the answer",
                    "PO-S226",
                    f"true or false at {self._options.more}",
                    retry=False,
                )
            return not said
        return self._total is not None and self.rows >= self._total

    def _counted(self, rows: int, document: Any) -> str | None:
        """By number or offset: an empty page ends it. A short one does not: servers have limits of their own for a page."""
        if not rows or self._finished(document):
            return None
        self._page += 1
        if self._options.paging == "page":
            params: dict[str, object] = {self._options.page_param: self._page}
        else:
            params = {self._options.offset_param: self.rows}
        return with_query(self._options.url, {**self._options.params, **self._size(), **params})

    def _told_next(self, answer: Answer, document: Any, rows: int) -> str | None:
        """By what the answer itself says: a cursor, a URL in the body or a Link header."""
        if self._options.paging == "link":
            found: Any = next_link(answer.headers.get("Link", "")) or ABSENT
        else:
            found = at(document, self._options.cursor)
        if found is ABSENT or found in (None, "", False):
            self._believe(rows, document, absent=found is ABSENT)
            return None
        if not isinstance(found, str | int):
            raise self._told.outside(
                "its cursor is neither a text nor a number", "PO-S226", "a cursor or a URL", retry=False
            )
        text = str(found)
        if self._options.paging == "cursor" and not re.match(r"https?://|/", text):
            return with_query(
                self._options.url, {**self._options.params, **self._size(), self._options.cursor_param: text}
            )
        return self._linked(answer.url, text)

    def _linked(self, here: str, link: str) -> str:
        try:
            url = urljoin(here, link)
            own = self._own(url)
        except ValueError:
            url, own = "", False
        if not own:
            raise self._told.outside(
                "its next page is on another host, or less safe", "PO-S229", "pages of one host", retry=False
            )
        have = {key for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
        missing = {key: value for key, value in self._options.params.items() if key not in have}
        return with_query(url, missing)

    def _believe(self, rows: int, document: Any, *, absent: bool) -> None:
        """A first page that says nothing of a next one may be all, or the option may be wrong: then the table would be short."""
        if not absent or self.pages > 1 or rows < self._options.page_size or not rows or self._finished(document):
            return
        where = "no Link header" if self._options.paging == "link" else f"nothing at {self._options.cursor}"
        raise self._told.wrong(
            f"its first page has {where}, so that nothing says whether it is all",
            "PO-S232",
            "a next page; or page_size (a page with fewer rows is the last), total or more, which say that it is all",
        )

    def _endless(self, what: str) -> Exception:
        return self._told.outside(what, "PO-S227", "pages that come to an end", retry=False)
