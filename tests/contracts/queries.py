"""Random queries over two tables `t` and `u` (id, "A", big: whole numbers; x: a double; name: text; yes: truth; day: a date), and their rows."""

from __future__ import annotations

import datetime as dt
import random

COLUMNS = ("id", "A", "x", "name", "yes", "day", "big")
# What differs by its case, by a space at its end, by what another product takes for an escape, by where UTF-16 would sort it.
NAMES = ["a", "B", "ä", "Zoë", "_x", "", "a b", None, "ab%", "é", "A", "a ", "it's", "a\\b", 'a"b', "\U0001d4b3", "\ufb00"]


def rows(rng: random.Random, count: int) -> list[tuple[object, ...]]:
    """Missing values everywhere but in the id; texts whose order depends on the collation; doubles whose sums are exact."""
    return [
        (
            number,
            rng.choice([None, 0, 1, -7, 3, 10**8]),
            rng.choice([None, 0.0, 1.5, -2.25, 1e10, 0.25]),
            rng.choice(NAMES),
            rng.choice([None, True, False]),
            rng.choice([None, dt.date(2024, 1, 31), dt.date(2023, 12, 1), dt.date(1969, 2, 3)]),
            rng.choice([None, 2**62, -(2**62), 2**53 + 1, 2**53, 3, -1]),
        )
        for number in range(count)
    ]


def number(r: random.Random, a: str, depth: int = 2) -> str:
    again = lambda: number(r, a, depth - 1)  # noqa: E731
    plain = [f"{a}.id", f'{a}."A"', f"{a}.x", r.choice(["1", "0", "2.5", "-3", "0.1", "7"])]
    if not depth:
        return r.choice(plain)
    makers = [
        lambda: r.choice(plain),
        lambda: f"({again()} {r.choice('+-')} {again()})",
        lambda: f"({again()} * {r.choice(['2', '0.5', a + '.x'])})",
        lambda: f"({again()} / {r.choice([again(), 'nullif(' + again() + ', 0)', '4'])})",
        lambda: f"""({a}.id % {r.choice(['3', '-2', a + '."A"'])})""",
        lambda: r.choice([f"({a}.big % 7)", f"(- {a}.big)", f"abs({a}.big)", f"cast({a}.big as double)", f"coalesce({a}.big, {a}.id)"]),
        lambda: f"coalesce({again()}, {again()})",
        lambda: f"case when {condition(r, a, depth - 1)} then {again()} else {again()} end",
        lambda: f"abs({again()})",
        lambda: r.choice([f"cast({a}.yes as integer)", f"cast({a}.x as bigint)", f"cast({again()} as double)"]),
        lambda: r.choice([f"length({a}.name)", f"year({a}.day)", f"extract(month from {a}.day)", f"floor({a}.x)"]),
        lambda: r.choice([f"greatest({again()}, {again()})", f"({a}.day - date '2024-01-01')", f"nullif({again()}, 1)"]),
    ]
    return r.choice(makers)()


def text(r: random.Random, a: str) -> str:
    case = f"case when {condition(r, a, 0)} then {a}.name else 'Q' end"
    others = [f"({a}.name || '-' || {a}.name)", case, f"coalesce({a}.name, 'none')", f"substring({a}.name, 1, 1)", f"cast({a}.id as varchar)"]
    return r.choice([f"{a}.name", f"{a}.name", *others])


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def condition(r: random.Random, a: str, depth: int = 1) -> str:
    again = lambda: condition(r, a, depth - 1)  # noqa: E731
    day = r.choice(["'2024-01-01'", "date '1970-01-01'"])
    plain = [
        f"{a}.yes",
        f"{number(r, a, 0)} {r.choice(['<', '<=', '=', '<>', '>', '>='])} {number(r, a, 0)}",
        f"{a}.name {r.choice(['<', '>=', '=', '<>'])} {quoted(r.choice(NAMES[:5] + NAMES[10:]))}",
        f"{a}.big {r.choice(['<', '>=', '=', '<>'])} {r.choice(['9007199254740993', '4611686018427387904', '-1', a + '.x', a + '.id', '9223372036854775808'])}",
        f"{a}.day {r.choice(['<', '>='])} {day}",
        f"{a}.{r.choice(['id', 'x', 'name', 'yes', 'day'])} is {r.choice(['', 'not '])}null",
        f"{a}.name in ({', '.join(map(quoted, r.sample(NAMES[:7] + NAMES[10:], 3)))})",
        f"{a}.name between {quoted(r.choice(NAMES[:5]))} and {quoted(r.choice(NAMES[10:]))}",
    ]
    if not depth:
        return r.choice(plain)
    others = [
        f"({again()} and {again()})",
        f"({again()} or {again()})",
        f"not ({again()})",
        f"{number(r, a, 1)} between {number(r, a, 0)} and {number(r, a, 0)}",
        f"{a}.name like {r.choice(['%a%', '_', 'a%', '%'])!r}",
        f"{a}.id in (select q.id from u as q where {condition(r, 'q', 0)})",
        f"exists (select q.id from u as q where q.id = {a}.id)",
        f"{number(r, a, 1)} {r.choice(['<', '=', '>'])} {number(r, a, 1)}",
    ]
    return r.choice([*plain, *others])


def aggregate(r: random.Random, a: str) -> str:
    plain = ["count(*)", f"count({a}.name)", f"count(distinct {a}.name)", f"min({a}.name)", f"max({a}.name)", f"min({a}.day)", f"count(distinct {a}.big)", f"sum({a}.big)", f"min({a}.big)"]
    sums = [f'sum({a}."A")', f"sum({a}.x)", f"avg({a}.x)", f'avg({a}."A")', f"avg({a}.id)", f"max({number(r, a, 1)})", f"max({a}.x) + 1"]
    counts = [f"sum(case when {condition(r, a)} then 1 else 0 end)", f"count(*) filter (where {condition(r, a, 0)})"]
    shares = [f'sum({a}."A") / count(*)', f'sum({a}.x) / nullif(sum({a}."A"), 0)']
    return r.choice([*plain, *sums, *counts, *shares])


def value(r: random.Random, a: str) -> str:
    return r.choice([number(r, a), number(r, a), text(r, a), condition(r, a), f"{a}.day"])


def source(r: random.Random) -> tuple[str, list[str]]:
    totals = 'select count(*) as id, sum(x) as x, max("A") as "A", min(name) as name, true as yes, max(day) as day, max(big) as big from u'
    join = r.choice(["join", "left join", "full join", "right join"])
    return r.choice(
        [
            ("t as a", ["a"]),
            ("t as a", ["a"]),
            (f"t as a {join} u as b on a.id = b.id", ["a", "b"]),
            (f"(select * from t as s where {condition(r, 's')}) as a", ["a"]),
            (f"t as a cross join ({totals}) as b", ["a", "b"]),
            (f"t as a join u as b on a.name = b.name and {condition(r, 'b', 0)}", ["a", "b"]),
        ]
    )


def query(r: random.Random) -> str:
    """One query, as a person might write it; what its rows are is not left open."""
    tables, names = source(r)
    pick = lambda: r.choice(names)  # noqa: E731
    where = f" where {condition(r, pick(), 2)}" if r.random() < 0.5 else ""
    listed = ", ".join(f"{value(r, pick())} as c{place}" for place in range(r.randint(1, 4)))
    sums = ", ".join(f"{aggregate(r, pick())} as v{place}" for place in range(r.randint(1, 3)))
    keys = [value(r, pick()) for _ in range(r.randint(1, 2))]
    grouped = ", ".join(f"{key} as k{place}" for place, key in enumerate(keys))
    over = r.choice(["rank()", "dense_rank()", f'sum({names[0]}."A")', f"count({names[0]}.name)", f"max({names[0]}.x)"])
    nulls = r.choice(["", " desc", " nulls first"])
    return r.choice(
        [
            f"select {r.choice(['', 'distinct '])}{listed} from {tables}{where}",
            f"select {grouped}, {sums} from {tables}{where} group by {', '.join(keys)}",
            f"select {sums} from {tables}{where}",
            f"select a.id, {over} over (partition by {value(r, 'a')} order by {value(r, 'a')}{nulls}) as w from t as a",
            f"select a.id, a.name as n from t as a where {condition(r, 'a')} {r.choice(['union', 'union all', 'except', 'intersect'])}"
            f" select a.id, a.name as n from u as a where {condition(r, 'a')}",
            f"with q as (select name, count(*) as n from t group by name) select a.id, q.n from t as a left join q on a.name = q.name{where if names == ['a'] else ''}",
            f"select name as n, id as i from t order by n{nulls}, i limit {r.randint(1, 20)}",
            f"select * from t where {condition(r, 't')}",
            f"with q as (select id, name from t where {condition(r, 't')}), {r.choice(['u', 'w'])} as (select id from u where {condition(r, 'u')}) select q.id, q.name as n from q where q.id not in (select id from {r.choice(['u', 'w', 't'])})",
            f"select x, max(n) as m from (with q as (select name, count(*) as n, max(x) as x from t group by name) select q.n, q.x from q join t on q.name = t.name) as s group by x",
            "select a.id, (select max(u.x) from u) as m from t as a",
        ]
    )
