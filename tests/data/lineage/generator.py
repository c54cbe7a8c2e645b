"""Random pipelines of queries over small tables. Nothing here knows how flows are computed."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import duckdb

LABEL = re.compile(r"id\d$", re.IGNORECASE)
BASE = {
    "t1": {"id1": "n", "a": "n", "b": "n", "c": "n", "s": "s", "secret": "n"},
    "t2": {"id2": "n", "a": "n", "k": "n", "x": "n", "l": "l", "Mixed Name": "n"},
    "t3": {"id3": "n", "k": "n", "r": "r", "y": "n", "s": "s"},
}
TYPES = {"n": "integer", "s": "varchar", "l": "integer[]", "r": "struct(p integer, q integer)"}
ROWS = 7


def value(rng: random.Random, kind: str, *, nulls: bool = True):
    if nulls and rng.random() < 0.12:
        return None
    if kind == "n":
        return rng.randrange(5)
    if kind == "s":
        return rng.choice(["a", "b", "ab", "ba"])
    if kind == "l":
        return [rng.randrange(4) for _ in range(rng.randrange(4))]
    return {"p": rng.randrange(4), "q": rng.randrange(4)}


def contents(rng: random.Random) -> dict[str, dict[str, list]]:
    """The base tables: column by column."""
    return {
        table: {
            name: list(range(ROWS)) if LABEL.match(name) else [value(rng, kind) for _ in range(ROWS)]
            for name, kind in columns.items()
        }
        for table, columns in BASE.items()
    }


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass
class Table:
    name: str
    columns: dict[str, str]  # name -> kind
    labels: frozenset[str] = frozenset()


@dataclass
class Query:
    sql: str
    labels: bool = False  # whether an output named like an id is still a copy of that id


@dataclass
class Step:
    name: str
    sql: str
    reads: dict[str, list[str]]
    columns: list[str]
    labels: frozenset[str]


@dataclass
class Names:
    """(how a column is written, its kind) of what is in sight."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        return [text for text, each in self.seen if each == kind]


class Maker:
    """Makes queries; `tables` are those that may be read."""

    def __init__(self, rng: random.Random, tables: list[Table]) -> None:
        self.rng = rng
        self.tables = tables
        self.number = 0

    def fresh(self, stem: str = "c") -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def table(self) -> Table:
        late = self.tables[3:]
        return self.rng.choice(late) if late and self.rng.random() < 0.65 else self.rng.choice(self.tables)

    def written(self, name: str, alias: str = "") -> str:
        plain = re.fullmatch(r"[a-z_][a-z0-9_]*", name)
        text = name if plain and self.rng.random() < 0.8 else quoted(name)
        if plain and self.rng.random() < 0.1:
            text = text.upper()
        return f"{alias}.{text}" if alias else text

    def names(self, table: Table, alias: str = "") -> Names:
        return Names([(self.written(name, alias), kind) for name, kind in table.columns.items()])

    # -- expressions
    def column(self, names: Names, kind: str = "n") -> str:
        found = names.of(kind)
        if found:
            return self.rng.choice(found)
        return {"n": "1", "s": "'a'", "l": "[1, 2]", "r": "{'p': 1, 'q': 2}"}[kind]

    def number_of(self, names: Names, depth: int = 2) -> str:
        c, n = self.column, lambda: self.number_of(names, depth - 1)
        if depth <= 0 or self.rng.random() < 0.35:
            return c(names)
        return self.rng.choice([
            lambda: f"{n()} + {n()}",
            lambda: f"({n()} % 3)",
            lambda: f"case when {self.test(names, depth - 1)} then {n()} else {n()} end",
            lambda: f"case {c(names)} when {c(names)} then {n()} when 2 then 7 end",
            lambda: f"coalesce({c(names)}, {n()})",
            lambda: f"if({self.test(names, depth - 1)}, {n()}, 0)",
            lambda: f"nullif({c(names)}, {n()})",
            lambda: f"greatest({n()}, {c(names)})",
            lambda: f"length({c(names, 's')})",
            lambda: f"len({c(names, 'l')})",
            lambda: f"{c(names, 'l')}[1]",
            lambda: f"list_sum(list_transform({c(names, 'l')}, v -> v + {c(names)}))",
            lambda: f"list_sum([v * 2 for v in {c(names, 'l')} if v > {c(names)}])",
            lambda: f"len(list_filter({c(names, 'l')}, v -> v > {c(names)}))",
            lambda: f"({c(names, 'r')}).p",
            lambda: f"{c(names, 'r')}['q']",
            lambda: f"struct_extract({c(names, 'r')}, 'p')",
            lambda: f"cast({self.test(names, depth - 1)} as integer)",
            lambda: f"({n()})::varchar::integer",
            lambda: f"[{n()}, {n()}][1]",
            lambda: f"{{'x': {n()}, 'y': {n()}}}.x",
            lambda: f"map {{{c(names)}: {n()}}}[1]",
            lambda: self.scalar(names),
        ])()

    def scalar(self, names: Names) -> str:
        table, alias = self.table(), self.fresh("q")
        inner = self.names(table, alias)
        outer = self.column(names)
        return self.rng.choice([
            f"(select max({self.column(inner)}) from {table.name} {alias})",
            f"(select count(*) from {table.name} {alias} where {self.column(inner)} = {outer})",
            f"(select min({self.column(inner)}) from {table.name} as {alias} where {self.test(inner, 0)} and {self.column(inner)} <= {outer})",
            f"(select {self.column(inner)} from {table.name} {alias} order by {self.column(inner)} nulls last, {self.column(inner)} limit 1)",
            f"(select sum({self.column(inner)} + coalesce({outer}, 0)) from {table.name} {alias})",
        ])

    def test(self, names: Names, depth: int = 1) -> str:
        c = self.column
        rng = self.rng
        choice = [
            lambda: f"{c(names)} > {rng.randrange(4)}",
            lambda: f"{c(names)} = {c(names)}",
            lambda: f"{c(names)} in (0, 2, {c(names)})",
            lambda: f"{c(names)} is null",
            lambda: f"{c(names)} between 1 and 3",
            lambda: f"{c(names)} is distinct from {c(names)}",
            lambda: f"{c(names, 's')} like 'a%'",
            lambda: f"list_contains({c(names, 'l')}, {c(names)})",
        ]
        if depth > 0:
            choice += [
                lambda: f"({self.test(names, depth - 1)} and {self.test(names, depth - 1)})",
                lambda: f"({self.test(names, depth - 1)} or {self.test(names, depth - 1)})",
                lambda: f"not ({self.test(names, depth - 1)})",
                lambda: self.subtest(names),
            ]
        return rng.choice(choice)()

    def subtest(self, names: Names) -> str:
        table, alias = self.table(), self.fresh("q")
        inner = self.names(table, alias)
        c = self.column
        return self.rng.choice([
            f"exists (select 1 from {table.name} {alias} where {c(inner)} = {c(names)})",
            f"not exists (from {table.name} {alias} where {c(inner)} > {c(names)})",
            f"{c(names)} in (select {c(inner)} from {table.name} {alias} where {self.test(inner, 0)})",
            f"{c(names)} >= all (select coalesce({c(inner)}, 0) from {table.name} {alias})",
            f"{c(names)} = any (select {c(inner)} from {table.name} {alias})",
        ])

    def item(self, names: Names) -> str:
        out = self.fresh()
        text = self.number_of(names)
        return f"{out}: {text}" if self.rng.random() < 0.05 else f"{text} as {out}"

    def kept(self, table: Table, alias: str = "") -> list[str]:
        """Some columns as they are, ids often."""
        some = [n for n in table.columns if self.rng.random() < (0.6 if n in table.labels else 0.3)]
        return [self.written(name, alias) for name in some]

    def aggregate(self, names: Names) -> str:
        c, n = self.column, lambda: self.number_of(names, 1)
        call = self.rng.choice([
            lambda: f"sum({n()})", lambda: "count(*)", lambda: f"count({c(names)})", lambda: f"count(distinct {c(names)})",
            lambda: f"min({n()})", lambda: f"max({c(names)})", lambda: f"avg({c(names)})",
            lambda: f"sum({c(names)}) filter (where {self.test(names, 1)})", lambda: f"count(*) filter ({c(names)} > 1)",
            lambda: f"first({c(names)} order by {c(names)}, {c(names)})", lambda: f"arg_max({c(names)}, {c(names)})",
            lambda: f"string_agg({c(names, 's')}, ',' order by {c(names)})", lambda: f"len(list({c(names)}))",
            lambda: f"list({c(names)} order by {c(names)} desc)[1]", lambda: f"first({c(names)})", lambda: f"last({c(names)})",
            lambda: f"median({c(names)})", lambda: f"quantile_disc({c(names)}, 0.5)", lambda: f"mode({c(names)})",
            lambda: f"bool_or({c(names)} > 1)::integer", lambda: f"sum({c(names)}) + max({c(names)})",
            lambda: f"quantile_disc(0.5 order by {c(names)})" if False else f"any_value({c(names)})",
            lambda: f"stddev({c(names)})", lambda: f"list_sum(list(distinct {c(names)}))",
        ])()  # fmt: skip
        return call

    # -- whole queries
    def tail(self, names: Names, extra: list[str]) -> str:
        """ORDER BY and LIMIT, sometimes."""
        if self.rng.random() < 0.7:
            return ""
        key = self.rng.choice(names.of("n") + extra or ["1"])
        text = self.rng.choice([f" order by {key}", f" order by {key} desc nulls last", f" order by {key}, 1", " order by all"])
        return text + self.rng.choice(["", f" limit {self.rng.randrange(1, 5)}", f" limit 3 offset {self.rng.randrange(3)}"])

    def project(self) -> Query:
        table = self.table()
        alias = self.rng.choice(["", "z"])
        names = self.names(table, alias)
        items = self.kept(table, alias) + [self.item(names) for _ in range(self.rng.randrange(1, 3))]
        if self.rng.random() < 0.3:
            last = self.fresh("d")
            items += [f"{self.number_of(names, 1)} as {last}", f"{last} * 2 as {self.fresh()}"]
        where = f" where {self.test(names)}" if self.rng.random() < 0.5 else ""
        source = f"from {table.name} {alias}"
        head = f"select {', '.join(items)}"
        body = f"{source} {head}" if self.rng.random() < 0.1 else f"{head} {source}"
        return Query(body + where + self.tail(names, []), labels=True)

    def group(self) -> Query:
        table = self.table()
        names = self.names(table)
        keys = self.rng.sample(list(table.columns), k=min(len(table.columns), self.rng.randrange(1, 3)))
        written = [self.written(key) for key in keys]
        items = [text for text in written if self.rng.random() < 0.8]
        made = [f"{self.aggregate(names)} as {self.fresh()}" for _ in range(self.rng.randrange(1, 4))]
        where = f" where {self.test(names)}" if self.rng.random() < 0.3 else ""
        having = f" having {self.rng.choice(['count(*) > 1', f'sum({self.column(names)}) > 2', f'max({self.column(names)}) > 1'])}"
        having = having if self.rng.random() < 0.35 else ""
        kind = self.rng.randrange(5)
        if kind == 0 and items:
            clause = "group by all"
        elif kind == 1 and items:
            clause = "group by " + ", ".join(str(n + 1) for n in range(len(items)))
        elif kind == 2:
            clause = f"group by {self.rng.choice(['rollup', 'cube'])}({', '.join(written)})"
        elif kind == 3:
            clause = f"group by grouping sets (({', '.join(written)}), ({written[0]}), ())"
        else:
            clause = f"group by {', '.join(written)}"
        end = self.rng.choice(["", "", " order by all limit 2", " order by 1 limit 3"])
        return Query(f"select {', '.join(items + made)} from {table.name}{where} {clause}{having}{end}")

    def total(self) -> Query:
        table = self.table()
        names = self.names(table)
        made = [f"{self.aggregate(names)} as {self.fresh()}" for _ in range(self.rng.randrange(1, 4))]
        where = f" where {self.test(names)}" if self.rng.random() < 0.6 else ""
        return Query(f"select {', '.join(made)} from {table.name}{where}")

    def join(self) -> Query:
        left, right = self.table(), self.table()
        names = Names(self.names(left, "l_").seen + self.names(right, "r_").seen)
        items = self.kept(left, "l_") + [f"{self.written(n, 'r_')} as {self.fresh('w')}" for n in right.columns if self.rng.random() < 0.3]
        items += [self.item(names)]
        on = f"{self.column(self.names(left, 'l_'))} = {self.column(self.names(right, 'r_'))}"
        extra = f" and {self.test(names, 0)}" if self.rng.random() < 0.3 else ""
        common = [n for n in left.columns if right.columns.get(n) == left.columns[n]]
        kind = self.rng.choice(["join", "left join", "right join", "full join", "semi join", "anti join", "asof join", "positional join",
                                "cross join", "using", "using", "natural", ",", "lateral", "asof left join"])  # fmt: skip
        sources = f"{left.name} l_"
        if kind in {"semi join", "anti join"}:
            items = [*self.kept(left, "l_"), self.item(self.names(left, "l_"))]
            sources += f" {kind} {right.name} r_ on {on}{extra}"
        elif kind.startswith("asof"):
            sources += f" {kind} {right.name} r_ on {on} and {self.column(self.names(left, 'l_'))} >= {self.column(self.names(right, 'r_'))}"
        elif kind in {"positional join", "cross join"}:
            sources += f" {kind} {right.name} r_"
        elif kind == "using" and common:
            by = self.rng.sample(common, k=self.rng.randrange(1, min(2, len(common)) + 1))
            side = self.rng.choice(["", "left ", "right ", "full ", "semi ", "anti "])
            sources += f" {side}join {right.name} r_ using ({', '.join(self.written(n) for n in by)})"
            if side in {"semi ", "anti "}:
                items = ["*"] if self.rng.random() < 0.5 else [self.item(self.names(left, "l_"))]
            elif self.rng.random() < 0.5:
                items = ["*"]
            else:
                items += [f"{self.written(by[0])} as {self.fresh()}"]
        elif kind == "natural" and common and left.name != right.name:
            sources += f" natural {self.rng.choice(['', 'left ', 'full '])}join {right.name} r_"
        elif kind == "lateral":
            inner = f"select {self.number_of(names, 1)} as z from {right.name} r_ where {on} limit 2"
            sources += f", lateral ({inner}) lat" if self.rng.random() < 0.5 else f" left join lateral ({inner}) lat on true"
            items = [*self.kept(left, "l_"), f"lat.z as {self.fresh()}"]
            names = self.names(left, "l_")
        elif kind == ",":
            sources += f", {right.name} r_ where {on}{extra}"
        elif kind in {"join", "left join", "right join", "full join"}:
            sources += f" {kind} {right.name} r_ on {on}{extra}"
        else:
            sources += f" join ({right.name} r_ join {left.name} m_ on true) on {on}"
        where = f" where {self.test(names, 1)}" if "where" not in sources and items != ["*"] and self.rng.random() < 0.3 and "semi" not in sources and "anti" not in sources else ""
        return Query(f"select {', '.join(items)} from {sources}{where}", labels=True)

    def window(self) -> Query:
        table = self.table()
        names = self.names(table)
        c = self.column

        def over() -> str:
            part_ = f"partition by {c(names)}" if self.rng.random() < 0.5 else ""
            order = f"order by {c(names)} nulls last" + (f", {c(names)} desc" if self.rng.random() < 0.5 else "")
            order = order if self.rng.random() < 0.8 else ""
            frame = " rows between 1 preceding and current row" if order and self.rng.random() < 0.2 else ""
            return f"({part_} {order}{frame})"

        def call() -> str:
            return self.rng.choice([
                "row_number()", "rank()", "dense_rank()", "ntile(2)", "percent_rank()", f"sum({c(names)})", "count(*)", f"max({c(names)})",
                f"sum({c(names)}) filter (where {self.test(names, 0)})", f"lag({c(names)})", f"lead({c(names)}, 1, 0)", f"first_value({c(names)})",
                f"last_value({c(names)})", f"nth_value({c(names)}, 2)", f"list({c(names)})[1]",
            ])  # fmt: skip

        def safe(frame: str) -> str:
            made = call()
            return made.replace("rank()", "row_number()").replace("dense_row", "row").replace("percent_row", "row") if "rows" in frame else made

        items = self.kept(table)
        clause = ""
        if self.rng.random() < 0.3:
            clause = f" window w as {over().replace(' rows between 1 preceding and current row', '')}"
            items.append(f"{call()} over w as {self.fresh()}")
        for _ in range(self.rng.randrange(1, 3)):
            frame = over()
            items.append(f"{safe(frame)} over {frame} as {self.fresh()}")
        qualify = ""
        if self.rng.random() < 0.4:
            qualify = f" qualify row_number() over {over()} <= {self.rng.randrange(1, 3)}"
        where = f" where {self.test(names)}" if self.rng.random() < 0.2 else ""
        return Query(f"select {', '.join(items)} from {table.name}{where}{clause}{qualify}", labels=True)

    def simple(self, count: int, *, by: list[str] | None = None) -> str:
        table = self.table()
        names = self.names(table)
        outs = by or [self.fresh() for _ in range(count)]
        where = f" where {self.test(names, 1)}" if self.rng.random() < 0.5 else ""
        return f"select {', '.join(f'{self.number_of(names, 1)} as {out}' for out in outs)} from {table.name}{where}"

    def set_operation(self) -> Query:
        kind = self.rng.choice(["union", "union all", "intersect", "except", "intersect all", "except all", "union by name", "union all by name"])
        outs = [self.fresh() for _ in range(self.rng.randrange(1, 4))]
        other = outs[::-1] if "by name" in kind else None
        if other and self.rng.random() < 0.5:
            other = [*other[:-1], self.fresh()]
        left, right = self.simple(len(outs), by=outs), self.simple(len(outs), by=other)
        end = self.rng.choice(["", "", f" order by {outs[0]} limit 3", " order by 1", " limit 4"])
        if self.rng.random() < 0.2:
            return Query(f"select sum({outs[0]}) as {self.fresh()}, count(*) as {self.fresh()} from ({left} {kind} {right}) q")
        return Query(f"{left} {kind} {right}{end}" if self.rng.random() < 0.7 else f"({left}) {kind} ({right}){end}")

    def distinct(self) -> Query:
        table = self.table()
        names = self.names(table)
        items = self.kept(table) + [self.item(names)]
        if self.rng.random() < 0.5:
            return Query(f"select distinct {', '.join(items)} from {table.name}{self.tail(Names(), [])}")
        on = self.column(names)
        return Query(f"select distinct on ({on}) {', '.join(items)} from {table.name} order by {on}, {self.column(names)}", labels=True)

    def cte(self) -> Query:
        if self.rng.random() < 0.3:
            start = self.simple(2, by=["n", "m"])
            table = self.table()
            step = f"select n + 1, m + coalesce({self.column(self.names(table, 'z'))}, 0) from r, {table.name} z where n < 4 and {self.test(self.names(table, 'z'), 0)}"
            union = self.rng.choice(["union", "union all"])
            return Query(f"with recursive r(n, m) as ({start} limit 3 {'' if union == 'union' else ''}) select * from r" if self.rng.random() < 0.1
                         else f"with recursive r(n, m) as ((select n, m from ({start}) limit 2) {union} (select * from ({step}) limit 3)) select n as {self.fresh()}, sum(m) as {self.fresh()} from r group by n")  # fmt: skip
        outs = [self.fresh(), self.fresh()]
        first = self.simple(2, by=outs)
        inner = Names([(outs[0], "n"), (outs[1], "n")])
        second = f"select {self.number_of(inner, 1)} as u, {outs[1]} as v from one where {self.test(inner, 0)}"
        return Query(f"with one as ({first}), two(p1, p2) as ({second}) select p1 as {self.fresh()}, {self.number_of(Names([('p1', 'n'), ('p2', 'n')]), 1)} as {self.fresh()} from two"
                     + self.rng.choice(["", f" where p1 in (select {outs[0]} from one)", " order by p2 limit 2"]))  # fmt: skip

    def pivot(self) -> Query:
        table = self.table()
        numbers = [n for n, kind in table.columns.items() if kind == "n"]
        if len(numbers) < 3:
            return self.project()
        on, by, what = (quoted(each) for each in self.rng.sample(numbers, 3))
        aggregate = self.rng.choice(["sum", "count", "max", "first"])
        return Query(self.rng.choice([
            f"pivot {table.name} on {on} in (0, 1, 2) using {aggregate}({what}) group by {by}",
            f"from {table.name} pivot ({aggregate}({what}) for {on} in (1, 2) group by {by})",
            f"pivot (select {on}, {by}, {what} from {table.name}) on {on} in (1, 3) using {aggregate}({what}) as v, count(*) as w",
            f"unpivot (select {on}, {by}, {what} from {table.name}) on {by}, {what} into name nm value vl",
            f"unpivot (select {on}, {by}, {what} from {table.name}) on columns(* exclude {on}) into name nm value vl",
            f"select * from (select {on}, {by}, {what} from {table.name}) unpivot (vl for nm in ({by}, {what}))",
        ]))  # fmt: skip

    def nested(self) -> Query:
        table = self.table()
        names = self.names(table, "z")
        kept = self.kept(table, "z")
        lists, structs = names.of("l"), names.of("r")
        one = self.item(names)
        made = [f"select {', '.join([*kept, one])}, u.e as {self.fresh()} from {table.name} z, unnest([{self.number_of(names, 1)}, 2]) as u(e)",
                f"select {', '.join([*kept, one])}, g.i as {self.fresh()} from {table.name} z, range({self.column(names)}) g(i)"]  # fmt: skip
        if lists:
            made += [f"select {', '.join([*kept, one])}, unnest({lists[0]}) as {self.fresh()} from {table.name} z",
                     f"select {', '.join([*kept, one])} from {table.name} z, unnest({lists[0]}) u(e) where u.e > {self.column(names)}",
                     f"select list_sort({lists[0]}) as {self.fresh('l')}, list_transform({lists[0]}, (e, i) -> e + i) as {self.fresh('l')} from {table.name} z"]  # fmt: skip
        if structs:
            made += [f"select {', '.join([*kept, one])}, unnest({structs[0]}) from {table.name} z",
                     f"select {structs[0]}.*, {one} from {table.name} z",
                     f"select q.st.f as {self.fresh()}, {self.column(names).replace('z.', 'q.')} as {self.fresh()} from (select *, {{'f': {self.number_of(names, 1)}}} as st from {table.name} z) q"]  # fmt: skip
        made += [f"select {{'p': {self.number_of(names, 1)}, 'q': 1}} as {self.fresh('r')}, [{self.number_of(names, 1)}] as {self.fresh('l')} from {table.name} z"]
        return Query(self.rng.choice(made), labels=False)

    def star(self) -> Query:
        table = self.table()
        names = self.names(table)
        plain = [n for n in table.columns if n not in table.labels]
        if len(plain) < 3 or table.columns[plain[1]] != "n":
            return self.project()
        out, changed, renamed = plain[0], plain[1], plain[2]
        where = f" where {self.test(names)}" if self.rng.random() < 0.4 else ""
        return Query(self.rng.choice([
            f"select * exclude ({quoted(out)}) from {table.name}{where}",
            f"select * exclude {quoted(out)} replace ({self.number_of(names, 1)} as {quoted(changed)}) from {table.name}{where}",
            f"select * rename ({quoted(renamed)} as {self.fresh()}) from {table.name}{where}",
            f"select z.* exclude ({quoted(out)}), {self.item(names)} from {table.name} z{where}",
            f"from {table.name}{where}",
            f"select columns('^[abcxyk]') from {table.name}{where}",
            f"select columns('^[abcxyk]') + 1 from {table.name}{where}" if table.name in BASE else f"select * from {table.name}{where}",
            f"select coalesce(*columns('^[abkx]$'), 3) as {self.fresh()}, * from {table.name}{where}",
            f"select * from {table.name}{where} order by {self.column(names)} limit 4",
            f"select hash({table.name})::varchar as {self.fresh()} from {table.name}{where}",
        ]), labels=True)  # fmt: skip

    def wrapped(self) -> Query:
        """Another query as a subquery, used by name."""
        inner = self.rng.choice([self.project, self.group, self.window, self.join, self.set_operation, self.distinct, self.total])()
        end = self.rng.choice(["", " limit 3", " where true", " using sample 100%" if False else ""])
        return Query(f"select * from ({inner.sql}) as sub{end}", labels=inner.labels)

    def ordered(self) -> Query:
        """What depends on the order in which rows come."""
        table = self.table()
        names = self.names(table)
        inner = self.rng.choice([
            f"select * from {table.name} order by {self.column(names)}",
            f"select *, row_number() over (partition by {self.column(names)} order by {self.column(names)}) as rn from {table.name}",
            f"select distinct {self.column(names)} as v0, {self.column(names)} as v1 from {table.name}",
        ])  # fmt: skip
        col = "v0" if "v0" in inner else self.column(names)
        return Query(self.rng.choice([
            f"select {col} as {self.fresh()}, row_number() over () as {self.fresh()} from ({inner}) limit 3",
            f"select first({col}) as {self.fresh()}, count(*) as {self.fresh()} from ({inner})",
            f"select list({col}) as {self.fresh('l')} from ({inner})",
            f"select p.* from ({inner}) p positional join {self.table().name} q limit 5",
            f"select {col} as {self.fresh()} from ({inner}) limit 2 offset 1",
        ]))  # fmt: skip

    def query(self) -> Query:
        kinds = [self.project] * 4 + [self.group] * 3 + [self.join] * 5 + [self.window] * 3 + [self.set_operation] * 2 + [
            self.distinct, self.cte, self.cte, self.pivot, self.nested, self.nested, self.star, self.star, self.wrapped, self.wrapped,
            self.total, self.ordered, self.ordered,
        ]  # fmt: skip
        return self.rng.choice(kinds)()


def kind_of(described: str) -> str | None:
    """Of a column's type in the engine's words."""
    if described.endswith("[]"):
        return "l" if re.match(r"(INTEGER|BIGINT|HUGEINT|DOUBLE)\[\]$", described) else None
    if described.startswith("STRUCT"):
        return "r" if re.fullmatch(r"STRUCT\(p \w+, q \w+\)", described) else None
    if described == "VARCHAR":
        return "s"
    return "n" if re.match(r"(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|DOUBLE|DECIMAL|UBIGINT)", described) else None


def literal(given) -> str:
    if given is None:
        return "null"
    if isinstance(given, list):
        return "[" + ", ".join(map(literal, given)) + "]"
    if isinstance(given, dict):
        return "{" + ", ".join(f"'{key}': {literal(each)}" for key, each in given.items()) + "}"
    return f"'{given}'" if isinstance(given, str) else str(given)


def load(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, list]) -> None:
    """Put a base table's rows where its old ones were."""
    cast = ", ".join(f"column{n}::{TYPES[kind]} as {quoted(name)}" for n, (name, kind) in enumerate(BASE[table].items()))
    named = ", ".join(f"column{n}" for n in range(len(columns)))
    rows = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in zip(*columns.values(), strict=True))
    connection.execute(f"create or replace table {table} as select {cast} from (values {rows}) v({named})")


def pipeline(connection: duckdb.DuckDBPyConnection, rng: random.Random, steps: int) -> list[Step]:
    """A random pipeline whose steps all run; its tables are left in the connection."""
    tables = [Table(name, dict(columns), frozenset(n for n in columns if LABEL.match(n))) for name, columns in BASE.items()]
    made: list[Step] = []
    tries = 0
    while len(made) < steps and tries < 60:
        tries += 1
        maker = Maker(rng, tables)
        query = maker.query()
        name = f"step{len(made) + 1}"
        try:
            described = connection.execute(f"describe {query.sql}").fetchall()
            connection.execute(f"create or replace table {name} as {query.sql}")
            rows = connection.execute(f"select count(*) from {name}").fetchone()[0]
            columns = {row[0]: row[1] for row in connection.execute(f"describe {name}").fetchall()}
        except duckdb.Error:
            continue
        if not rows or rows > 60 or len(described) > 12:
            continue
        known = {table.name: list(table.columns) for table in tables}
        sources = [table for table in tables if re.search(rf"\b{table.name}\b", query.sql)]
        labels = frozenset(n for n in columns if query.labels and any(n in table.labels for table in sources) and LABEL.match(n))
        made.append(Step(name, query.sql, known, list(columns), labels))
        tables.append(Table(name, {n: kind for n, text in columns.items() if (kind := kind_of(text) or "o")}, labels))
    return made
