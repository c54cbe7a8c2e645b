"""What the tracking process is told: where the store is and what things are called there. Standard library only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ".payoff"
LOCAL_DATABASE = "sqlite:///"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "databricks")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`uri` is absolute; `folder` is the project's `.payoff`; empty names stand for the project's own name."""

    uri: str
    folder: str
    experiment: str = ""
    registered_model: str = ""

    @property
    def database(self) -> str | None:
        """The path of the store's file, when it is one."""
        if not self.uri.startswith(LOCAL_DATABASE):
            return None
        return self.uri.removeprefix(LOCAL_DATABASE)

    @property
    def served(self) -> bool:
        """True when a server keeps the artifacts."""
        return self.uri.startswith(("http:", "https:", "databricks"))


def absolute(uri: str, root: Path) -> str:
    """The address with a relative SQLite path made absolute under the project's folder."""
    if uri.startswith(LOCAL_DATABASE):
        return LOCAL_DATABASE + str(root / uri.removeprefix(LOCAL_DATABASE))
    return uri


def scheme(uri: str) -> str:
    """`postgresql` of `postgresql+psycopg2://...`; empty when there is none."""
    found = re.match(r"([a-z]+)(\+\w+)?:", uri)
    return found[1] if found else uri if uri == "databricks" else ""


def redacted(uri: str) -> str:
    """The address without the user and password it may hold."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


def without_secrets(text: str, uri: str, secrets: tuple[str, ...] = ()) -> str:
    """A text in which neither the address's password nor any of `secrets` is left."""
    try:
        password = urlsplit(uri).password
    except ValueError:
        password = None
    text = text.replace(uri, redacted(uri))
    for secret in (*secrets, password):
        if secret:
            text = text.replace(secret, "***")
    return re.sub(r"//[^/@\s]*@", "//***@", text)
