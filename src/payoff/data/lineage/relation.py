"""The tables that occur inside a query, and how names in it find their columns. What a thing depends on is an integer used as a set of bits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Cell = tuple[int, int]  # data, control
NOTHING: Cell = (0, 0)
NUMBERED = re.compile(r"_\d+$")  # the engine's way to tell columns of the same name apart


class UnsureError(Exception):
    """A part of a query that is not understood exactly: everything then depends on everything."""


def both(*cells: Cell) -> Cell:
    """One cell that depends on all that these depend on."""
    data = control = 0
    for one, two in cells:
        data |= one
        control |= two
    return data, control


def whole(cells: Iterable[Cell]) -> int:
    """All that the cells depend on, explicitly or implicitly."""
    mask = 0
    for data, control in cells:
        mask |= data | control
    return mask


@dataclass
class Relation:
    """A table inside a query. A name is None where only the engine knows it; `others` is what any column not listed depends on.

    `rows`: what decides which rows there are. `order`: what decides in which order they come.
    """

    names: list[str | None]
    cells: list[Cell]
    rows: int = 0
    order: int = 0
    others: Cell | None = None
    clash: bool = True  # a column not listed may bear a listed name
    _index: dict[str, Cell] | None = field(default=None, repr=False)

    def find(self, name: str) -> tuple[Cell | None, bool]:
        """The column of this name (in small letters), and whether it is certain that it is this one."""
        if self._index is None:
            index: dict[str, Cell] = {}
            for each, cell in zip(self.names, self.cells, strict=True):
                if each is not None:
                    low = each.lower()
                    index[low] = both(index[low], cell) if low in index else cell
            self._index = index
        found = self._index.get(name)
        if found is not None:
            return (both(found, self.others), True) if self.others and self.clash else (found, True)
        if self.others is not None and self.clash and NUMBERED.search(name):
            return self.all(), False
        unknown = [cell for each, cell in zip(self.names, self.cells, strict=True) if each is None]
        if self.others is not None:
            unknown.append(self.others)
        return (both(*unknown), False) if unknown else (None, False)

    def spelled(self, name: str) -> str | None:
        """The name of a column (in small letters) as the table writes it."""
        return next((each for each in self.names if each is not None and each.lower() == name), None)

    def all(self) -> Cell:
        """What the whole row depends on."""
        return both(*self.cells, self.others or NOTHING)

    def inside(self, columns: Sequence[str] = ()) -> Relation:
        """The relation as another query sees it: under the names that its alias gives, doubled names told apart as the engine does."""
        names = list(self.names)
        if columns:
            if self.others is not None:  # which columns the names go to is not known
                return Relation(list(columns), [self.all()] * len(columns), self.rows, self.order, self.all())
            names[: len(columns)] = columns
        seen = {each.lower() for each in names if each is not None}
        if len(seen) < len(names):
            names = _apart(names)
        return Relation(names, self.cells, self.rows, self.order, self.others, self.clash)


def _apart(names: list[str | None]) -> list[str | None]:
    taken: set[str] = set()
    apart: list[str | None] = []
    for name in names:
        new, number = name, 0
        while name is not None and new is not None and new.lower() in taken:
            number += 1
            new = f"{name}_{number}"
        if new is not None:
            taken.add(new.lower())
        apart.append(new)
    return apart


@dataclass
class Scope:
    """What names mean at one place of a query: the tables of FROM, the aliases of the select list, and the scopes around it."""

    parent: Scope | None = None
    ctes: Mapping[str, Relation] = field(default_factory=dict)
    sources: list[tuple[str, Relation]] = field(default_factory=list)
    joined: dict[str, Cell] = field(default_factory=dict)  # columns of USING
    hidden: set[tuple[int, str]] = field(default_factory=set)  # (number of the source, column): shown once, on the left
    aliases: dict[str, Cell] = field(default_factory=dict)
    windows: int = 0  # what the named windows depend on
    keys: int = 0  # what else may leave the rows in another order: windows, subqueries, distinct values
    pending: int = 0  # a bit that stands for `keys` until all are known
    rows: int = 0
    order: int = 0
    late: bool = False  # a name may mean an alias as well as a column
    bound: Cell | None = None  # the column that COLUMNS(...) stands for just now
    params: frozenset[str] = frozenset()  # names of a lambda
    tolerant: bool = False  # a name that is not found means nothing

    def add(self, alias: str, relation: Relation) -> None:
        """Put a table beside the others."""
        self.sources.append((alias.lower(), relation))
        self.rows |= relation.rows
        self.order |= relation.order

    def within(self, params: Iterable[str]) -> Scope:
        """The scope of a lambda's body: the same, where some names are its own."""
        scope = Scope(**{**vars(self), "params": self.params | {each.lower() for each in params}})
        scope.aliases = self.aliases
        return scope

    def everything(self) -> Cell:
        """What all columns of the tables in FROM depend on."""
        return both(*(relation.all() for _, relation in self.sources))

    def shown(self, of: str | None = None) -> Iterator[tuple[str, str | None, Cell]]:
        """(alias, name, cell) of each column of a star, in order; of one table only where `of` names it."""
        for number, (alias, relation) in enumerate(self.sources):
            if of is not None and alias != of:
                continue
            for name, cell in zip(relation.names, relation.cells, strict=True):
                low = name.lower() if name is not None else ""
                if of is None and name is not None and (number, low) in self.hidden:
                    continue
                yield alias, name, self.joined.get(low, cell) if of is None else cell

    def spelled(self, name: str) -> str:
        """A column's name as its table writes it, which is what the engine calls it."""
        for _, relation in self.sources:
            if relation.find(name.lower())[1] and (found := relation.spelled(name.lower())) is not None:
                return found
        return name

    def one(self, name: str) -> Cell:
        """What a name without a dot depends on."""
        found: list[Cell] = []
        if name in self.joined:
            found.append(self.joined[name])
        certain = bool(found)
        for _, relation in self.sources if not found else ():
            cell, sure = relation.find(name)
            if cell is not None:
                found.append(cell)
                certain |= sure
        if name in self.aliases and (self.late or not certain):
            found.append(self.aliases[name])
        if certain or (found and self.late):
            return both(*found)
        found += [relation.all() for alias, relation in self.sources if alias == name]
        if self.parent is not None:
            try:
                found.append(self.parent.one(name))
            except UnsureError:
                if not found:
                    raise
        if not found:
            raise UnsureError(f"column {name} is not known")
        return both(*found)

    def dotted(self, parts: list[str]) -> Cell:
        """What `a.b`, `a.b.c` depend on: a column of a table, or a field of a column; both where it could be either."""
        found: list[Cell] = []
        scope: Scope | None = self
        while scope is not None:
            cells, certain = scope.of_table(parts)
            found += cells
            if certain:
                return both(*found)
            found += scope.of_field(parts[0])
            scope = scope.parent
        if not found:
            raise UnsureError(f"column {'.'.join(parts)} is not known")
        return both(*found)

    def of_table(self, parts: list[str]) -> tuple[list[Cell], bool]:
        """Columns of this scope's tables that a dotted name could mean, and whether it certainly means one of them."""
        found: list[Cell] = []
        certain = False
        for place in range(len(parts) - 1):
            for alias, relation in self.sources:
                if alias == parts[place]:
                    cell, sure = relation.find(parts[place + 1])
                    if cell is not None:
                        found.append(cell)
                        certain |= sure
        return found, certain

    def of_field(self, name: str) -> list[Cell]:
        """Columns of this scope of which a dotted name could mean a field."""
        found = [self.joined[name]] if name in self.joined else []
        found += [cell for _, relation in self.sources if (cell := relation.find(name)[0]) is not None]
        return found + ([self.aliases[name]] if name in self.aliases else [])
