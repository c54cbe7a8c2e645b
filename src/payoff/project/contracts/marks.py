"""YAML with places: plain data, and the line of every part of it. Takes no duplicate key and no flood of aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from payoff.records.finding import Place

if TYPE_CHECKING:
    from payoff.project.files import Reading

Path = tuple[str | int, ...]

MOST_NODES = 100_000
DEEPEST = 100

# Dates stay text, as the standard's schema wants them.
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FASTEST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Loader: Any = type("_Loader", (_FASTEST,), {"yaml_implicit_resolvers": _RESOLVERS})


class Document:
    """A YAML file: `data` is its content, `place` says where a part of it stands."""

    def __init__(self, file: str, data: Any, lines: dict[Path, int]) -> None:
        self.file = file
        self.data = data
        self.lines = lines

    def line(self, path: Path) -> int:
        """The line of a part, or of the nearest part around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1

    def place(self, path: Path) -> Place:
        """The file and line of a part."""
        return Place(self.file, self.line(path))


class _Unusable(Exception):
    def __init__(self, code: str, what: str, line: int, expected: str) -> None:
        super().__init__(what)
        self.code, self.what, self.line, self.expected = code, what, line, expected


def read(reading: Reading, file: str) -> Document | None:
    """The document in a file; nothing when it is not usable YAML (then that is a finding)."""
    text = reading.text(file)
    if text is None:
        return None
    try:
        return _document(file, text)
    except _Unusable as error:
        found = error
    except yaml.YAMLError as error:
        found = _Unusable("PO-P070", _says(error), min(_line_of(error), text.count("\n") + 1), "valid YAML")
    except (RecursionError, ValueError):
        found = _Unusable(
            "PO-P072", "it is nested too deeply or holds a value that cannot be", 0, "a plain ODCS contract"
        )
    reading.error(
        found.code,
        f"{file} cannot be used: {found.what}",
        Place(file, found.line),
        expected=found.expected,
        remedy=f"fix {file}:{found.line}, then: payoff check",
    )
    return None


def _check_depth(text: str) -> None:
    """Refuse what is nested deeply: the C parser would run out of its stack, and take the process with it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise _Unusable("PO-P072", "it is nested too deeply", line, f"at most {DEEPEST} levels")


def _document(file: str, text: str) -> Document:
    _check_depth(text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise _Unusable("PO-P070", "it is empty", 1, "an ODCS data contract")
        lines = _Walk(node).lines
        data = loader.construct_document(node)
    finally:
        loader.dispose()
    return Document(file, data, lines)


def _says(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or "it is not valid YAML")


def _line_of(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 0


class _Walk:
    """Notes the line of every node and refuses what would be ambiguous or endless."""

    def __init__(self, root: yaml.Node) -> None:
        self.lines: dict[Path, int] = {}
        self.seen = 0
        self.open: set[int] = set()
        self._visit(root, (), root.start_mark.line + 1)

    def _visit(self, node: yaml.Node, path: Path, line: int) -> None:
        self.seen += 1
        if self.seen > MOST_NODES or id(node) in self.open:
            what = "it holds too much" if self.seen > MOST_NODES else "an alias refers to what it is part of"
            raise _Unusable("PO-P072", what, line, f"at most {MOST_NODES:,} values, aliases written out")
        self.lines.setdefault(path, line)
        self.open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._visit(item, (*path, index), item.start_mark.line + 1)
        self.open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        keys: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _Unusable("PO-P070", "a key is not text", line, "text as keys")
            if key.value in keys and key.tag != "tag:yaml.org,2002:merge":
                raise _Unusable("PO-P071", f"the key {key.value!r} is there twice", line, "each key once")
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
            keys.add(key.value)
            self._visit(value, (*path, key.value), line)
