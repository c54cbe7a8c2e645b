"""Schemas by their numbers: from a registry with Confluent's interface, or from a folder. A schema never changes, so each is asked for once."""

from __future__ import annotations

import abc
import base64
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from payoff.base import lazy
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    import fastavro
else:
    fastavro = lazy.Module("fastavro")

_ANSWER = 10.0  # seconds for an answer
_FORGET = 60.0  # seconds after which a number that was not there is asked for again
_LARGEST = 16 << 20  # bytes of a schema
_NONE = {40403, 40401, 40402}  # what the registry answers when there is no such schema, subject or version


class Unknown(Exception):
    """There is no schema of that number that Avro could be read by; the text says why."""


class Registry(abc.ABC):
    """Keeps what it was answered."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[int, Any] = {}
        self._unknown: dict[int, tuple[float, str]] = {}

    def schema(self, number: int) -> Any:
        """Parsed, as the library wants it. Raises Unknown."""
        if number not in self._known:
            since, why = self._unknown.get(number, (0.0, ""))
            if why and stopwatch() - since < _FORGET:
                raise Unknown(why)
            try:
                self._known[number] = self._parsed(number)
            except Unknown as error:
                self._unknown[number] = (stopwatch(), str(error))
                raise
        return self._known[number]

    def _parsed(self, number: int) -> Any:
        text, named = self._found(number)
        try:
            return fastavro.parse_schema(json.loads(text), named_schemas=named)
        except Exception as error:  # whatever a schema may be that somebody registered
            raise Unknown(f"schema {number} is none that Avro can be read by ({type(error).__name__})") from None

    @abc.abstractmethod
    def _found(self, number: int) -> tuple[str, dict[str, Any]]:
        """The schema's text, and those that it refers to by name."""


class Folder(Registry):
    """Files `NUMBER.avsc`."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder

    def _found(self, number: int) -> tuple[str, dict[str, Any]]:
        try:
            return (self._folder / f"{number}.avsc").read_text(encoding="utf-8"), {}
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise UserError(
                    f"source {self._name}: the registry {self._folder.name} is no folder",
                    code="PO-M016",
                    expected="a folder with files NUMBER.avsc, or the address of a registry",
                    remedy=f"correct registry in [sources.{self._name}] of payoff.toml",
                ) from None
            raise Unknown(f"there is no schema {number} in the registry") from None
        except (OSError, ValueError):
            raise Unknown(f"schema {number} in the registry cannot be read") from None


class Server(Registry):
    """`GET /schemas/ids/NUMBER`. No redirect is followed: the password is for this server."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name)
        self._parts = urlsplit(address)
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if self._parts.username:
            pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _found(self, number: int) -> tuple[str, dict[str, Any]]:
        answer = self._ask(f"/schemas/ids/{number}", f"there is no schema {number} in the registry")
        kind = str(answer.get("schemaType") or "AVRO")
        if kind != "AVRO":
            raise Unknown(f"schema {number} is of another kind, {kind[:20]}")
        return str(answer.get("schema")), self._referred(answer, set())

    def _referred(self, answer: dict[str, Any], seen: set[tuple[str, int]]) -> dict[str, Any]:
        """The named types of the schemas that a schema refers to."""
        named: dict[str, Any] = {}
        for each in answer.get("references") or ():
            place = (str(each["subject"]), int(each["version"]))
            if place in seen:
                continue
            seen.add(place)
            path = f"/subjects/{quote(place[0], safe='')}/versions/{place[1]}"
            found = self._ask(path, "a schema that its schema refers to is not in the registry")
            named |= self._referred(found, seen)
            fastavro.parse_schema(json.loads(str(found.get("schema"))), named_schemas=named)
        return named

    def _ask(self, path: str, unknown: str) -> dict[str, Any]:
        status, body = self._got(self._parts.path.rstrip("/") + path)
        if status in (401, 403):
            raise UserError(
                f"source {self._name}: the registry of schemas refused the user, the password or the right to read",
                code="PO-M018",
                expected="credentials that may read schemas",
                remedy=f"check the environment variable that registry of [sources.{self._name}] refers to",
            )
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status == 404 and isinstance(answer, dict) and answer.get("error_code") in _NONE:
            raise Unknown(unknown)
        if status != 200 or not isinstance(answer, dict):
            raise self._away(f"answered {status}, and no schema")
        return answer

    def _got(self, path: str) -> tuple[int, bytes]:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "localhost", self._parts.port, timeout=_ANSWER)
        try:
            connection.request("GET", path, headers=self._headers)
            answer = connection.getresponse()
            body = answer.read(_LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._away(f"does not answer ({type(error).__name__})") from None
        finally:
            connection.close()
        if len(body) > _LARGEST:
            raise self._away("answered more than a schema may have")
        return answer.status, body

    def _away(self, what: str) -> OutsideError:
        host = f"{self._parts.hostname}:{self._parts.port}" if self._parts.port else self._parts.hostname
        return OutsideError(
            f"source {self._name}: the registry of schemas at {host} {what}",
            code="PO-M017",
            expected="a registry with Confluent's interface",
            remedy=f"check registry in [sources.{self._name}] and that it runs, then run again: no message is lost",
            retryable=True,
        )
