"""What each kind of query lets flow: said by hand, column by column. `x | y` is: values of x, decided by y."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from payoff.data.lineage import flows
from payoff.data.lineage.expressions import is_aggregate

TABLES = {"t": ["a", "b", "c", "k", "l", "s"], "u": ["a", "k", "z"], "Mixed": ["Col One", "b"]}


def told(sql: str) -> dict[str, str]:
    found = flows(sql, TABLES)
    assert found.unsure == "", found.unsure
    said = {}
    for flow in [*found.columns, *([found.others] if found.others else [])]:
        parts = (" ".join(f"{t}.{c}" for t, c in sorted(each)) for each in (flow.data, flow.control))
        said[flow.column] = " | ".join(parts).strip()
    return said


EXACT = {
    # plain
    "select a, b + c as d from t": {"a": "t.a |", "d": "t.b t.c |"},
    "from t select A": {"a": "t.a |"},
    "select x: a from t": {"x": "t.a |"},
    'select "Col One" as o from "mixed"': {"o": "Mixed.Col One |"},
    "select 1 as one, count(*) as n from t": {"one": "|", "n": "|"},
    "select t.a, main.t.b from main.t": {"a": "t.a |", "b": "t.b |"},
    # an alias used in the same select; a column of the same name goes first
    "select b as x, x + 1 as y from t": {"x": "t.b |", "y": "t.b |"},
    "select b as a, a as y from t": {"a": "t.b |", "y": "t.a |"},
    "select b as x from t where x > 1": {"x": "t.b | t.b"},
    # filters and conditions
    "select a from t where b > 0": {"a": "t.a | t.b"},
    "select case when b > 0 then a else c end as x from t": {"x": "t.a t.c | t.b"},
    "select case k when b then a end as x from t": {"x": "t.a | t.b t.k"},
    "select if(b > 0, a, 0) as x from t": {"x": "t.a | t.b"},
    # groups
    "select a, sum(b) as n from t group by a": {"a": "t.a | t.a", "n": "t.b | t.a"},
    "select sum(b) as n from t group by all": {"n": "t.b |"},
    "select a, sum(b) as n from t group by all": {"a": "t.a | t.a", "n": "t.b | t.a"},
    "select a, sum(b) as n from t group by 1": {"a": "t.a | t.a", "n": "t.b | t.a"},
    "select a, sum(b) as n from t group by rollup(a, k)": {"a": "t.a | t.a t.k", "n": "t.b | t.a t.k"},
    "select a from t group by grouping sets ((a, b), (c), ())": {"a": "t.a | t.a t.b t.c"},
    "select a from t group by a having sum(b) > 1": {"a": "t.a | t.a t.b"},
    "select count(distinct b) as n from t": {"n": "t.b |"},
    "select sum(a) filter (where b > 0) as n from t": {"n": "t.a | t.b"},
    "select list(a order by b) as n from t": {"n": "t.a | t.b"},
    "select arg_max(a, b) as n from t": {"n": "t.a t.b |"},
    # one row, whatever is filtered: nothing of the filter is in the other table
    "select u.z, s.m from u cross join (select max(a) as m from t where b > 0) s": {"z": "u.z |", "m": "t.a | t.b"},
    # joins
    "select t.a from t join u on t.k = u.k": {"a": "t.a | t.k u.k"},
    "select a, z from t full join u using (k, a)": {"a": "t.a u.a | t.a t.k u.a u.k", "z": "u.z | t.a t.k u.a u.k"},
    "select k from t left join u using (k)": {"k": "t.k | t.k u.k"},
    "select k from t right join u using (k)": {"k": "t.k u.k | t.k u.k"},
    "select b from t natural join u": {"b": "t.b | t.a t.k u.a u.k"},
    "select b from t semi join u using (k)": {"b": "t.b | t.k u.k"},
    "select b from t anti join u on t.k = u.z": {"b": "t.b | t.k u.z"},
    "select b, z from t asof join u on t.a = u.a and t.k >= u.k": {"b": "t.b | t.a t.k u.a u.k", "z": "u.z | t.a t.k u.a u.k"},
    "select b, z from t positional join u": {"b": "t.b |", "z": "u.z |"},
    "select b, z from t, u where t.k = u.k": {"b": "t.b | t.k u.k", "z": "u.z | t.k u.k"},
    "select b, y from t, lateral (select z + t.c as y from u where u.k = t.k)": {"b": "t.b | t.k u.k", "y": "t.c u.z | t.k u.k"},
    "select b from t join (u join u as v on u.k = v.z) on t.k = u.k": {"b": "t.b | t.k u.k u.z"},
    "select j.b from (from t join u using (k)) as j": {"b": "t.b | t.k u.k"},
    # subqueries
    "select b, (select max(z) from u where u.k = t.k) as m from t": {"b": "t.b |", "m": "u.z | t.k u.k"},
    "select b from t where exists (select 1 from u where u.k = t.k)": {"b": "t.b | t.k u.k"},
    "select b from t where a in (select z from u where k > 0)": {"b": "t.b | t.a u.k u.z"},
    "select q.y from (select b as y from t where c > 0) q": {"y": "t.b | t.c"},
    "select count(*) as n from (select b from t where c > 0)": {"n": "| t.c"},
    # common table expressions
    "with q as (select a, b from t where c > 0) select a from q": {"a": "t.a | t.c"},
    "with q(x) as (select a from t), u as (select x from q) select x from u": {"x": "t.a |"},
    "with recursive r(n, m) as (select a, b from t union all select n + 1, m + z from r, u where n < k) select n from r": {
        "n": "t.a | t.a u.k"
    },
    "with recursive r(n, m) as (select a, b from t union select n, m + z from r, u) select n from r": {"n": "t.a | t.a t.b u.z"},
    # windows
    "select sum(a) over (partition by b order by c) as x from t": {"x": "t.a | t.b t.c"},
    "select a, row_number() over (order by c) as x from t": {"a": "t.a |", "x": "| t.c"},
    "select sum(a) over w as x from t window w as (partition by b)": {"x": "t.a | t.b"},
    "select a from t qualify row_number() over (partition by b order by c) = 1": {"a": "t.a | t.b t.c"},
    # another window may leave the rows in its order
    "select rank() over (order by a) as x, lag(b) over () as y from t": {"x": "| t.a", "y": "t.b | t.a"},
    # order and limit
    "select a from t order by b limit 1": {"a": "t.a | t.b"},
    "select a from t limit (select max(z) from u)": {"a": "t.a | u.z"},
    "select a from (select a, row_number() over (order by c) as n from t) limit 3": {"a": "t.a | t.c"},
    "select first(a) as f, count(*) as n from (select a, rank() over (order by c) as r from t)": {"f": "t.a | t.c", "n": "|"},
    "select distinct a, b from t": {"a": "t.a | t.a t.b", "b": "t.b | t.a t.b"},
    "select distinct on (k) a from t order by k, c": {"a": "t.a | t.c t.k"},
    "select row_number() over () as n from (from t order by c)": {"n": "| t.c"},
    # set operations
    "select a, b from t union all select k, z from u": {"a": "t.a u.k |", "b": "t.b u.z |"},
    "select a from t union select z from u": {"a": "t.a u.z | t.a u.z"},
    "select a, b from t except select k, z from u": {"a": "t.a u.k | t.a t.b u.k u.z", "b": "t.b u.z | t.a t.b u.k u.z"},
    "select a, b from t union all by name select k as b, z from u where a > 0": {"a": "t.a | u.a", "b": "t.b u.k | u.a", "z": "u.z | u.a"},
    "(select a from t) union all (select z from u) order by 1 limit 2": {"a": "t.a u.z | t.a u.z"},
    # stars
    "select * exclude (b, c, l, s) replace (a + k as k) rename (a as d) from t": {"d": "t.a |", "k": "t.a t.k |"},
    "select t.* exclude (b, c, k, l, s), u.z from t, u": {"a": "t.a |", "z": "u.z |"},
    "select columns('^[ab]$') from t": {"a": "t.a |", "b": "t.b |"},
    "select max(columns('^[ab]$')) from t": {"a": "t.a |", "b": "t.b |"},
    "select coalesce(*columns('^[ab]$')) as x from t": {"x": "t.a t.b t.c t.k t.l t.s |"},
    "select * from (select a, a, b from t)": {"a": "t.a |", "a_1": "t.a |", "b": "t.b |"},
    "select t as row from t": {"row": "t.a t.b t.c t.k t.l t.s |"},
    "select p.x, p.k from (select a, k from u) p(x)": {"x": "u.a |", "k": "u.k |"},
    # nested values
    "select s.x as x, (s).y as y, s['z'] as z, t.s.w as w from t": dict.fromkeys("xyzw", "t.s |"),
    "select list_transform(l, a -> a + b) as x from t": {"x": "t.b t.l |"},
    "select [a + 1 for a in l if a > c] as x from t": {"x": "t.l | t.c"},
    "select map {a: b} as x, {'a': c} as y from t": {"x": "t.a t.b |", "y": "t.c |"},
    "select a.upper() as x from t": {"x": "t.a |"},
    "select b, e from t, unnest(l) as v(e)": {"b": "t.b | t.l", "e": "t.l | t.l"},
    "select a, i from t, range(c) g(i)": {"a": "t.a | t.c", "i": "t.c | t.c"},
    "select b, unnest(l) as e from t": {"b": "t.b | t.l", "e": "t.l | t.l", "": "t.l | t.l"},
    "select v.y from (values (1, 2)) v(x, y), t where t.a = x": {"y": "| t.a"},
    # pivots: the columns named by the data are the one without a name
    "pivot t on c in (1, 2) using sum(b) group by a": {"a": "t.a | t.a t.c", "": "t.b | t.a t.c"},
    "from u pivot (max(z) for k in (1, 2))": {"a": "u.a | u.a u.k", "": "u.z | u.a u.k"},
    "unpivot (select a, b, c from t) on b, c into name n value v": {
        "a": "t.a | t.b t.c", "n": "| t.b t.c", "v": "t.b t.c | t.b t.c",
    },
}  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), EXACT.items())
def test_exact(sql: str, expected: dict[str, str]) -> None:
    assert told(sql) == expected


@pytest.mark.parametrize("sql", EXACT)
def test_the_engine_takes_these_queries_and_names_their_columns_so(sql: str) -> None:
    """No row above is about a query that DuckDB would not run."""
    connection = duckdb.connect()
    connection.execute("create table t(a integer, b integer, c integer, k integer, l integer[], s struct(x int, y int, z int, w int))")
    connection.execute('create table u(a integer, k integer, z integer); create table "Mixed"("Col One" integer, b integer)')
    if "a.upper()" in sql:
        sql = sql.replace("a.upper()", "a.abs()")
    names = [each[0] for each in connection.execute(sql).description]
    answer = flows(sql, TABLES)
    if answer.others is None:
        assert [flow.column for flow in answer.columns] == names


PLANTED = {
    "filter only": "select a from t where secret > 0",
    "join key": "select t.a from t join u on t.secret = u.k",
    "outer join key": "select t.a, u.z from t left join u on t.secret = u.k",
    "using": "select z from (select secret as k from t) join u using (k)",
    "having": "select a from t group by a having max(secret) > 0",
    "order by limit": "select a from t order by secret limit 1",
    "count distinct": "select count(distinct secret) as n from t",
    "count of a nullable column": "select count(secret) as n from t",
    "exists": "select z from u where exists (select 1 from t where secret = u.k)",
    "not in": "select z from u where k not in (select secret from t)",
    "window order": "select a, row_number() over (order by secret) as n from t",
    "window partition": "select a, count(*) over (partition by secret) as n from t",
    "named window": "select lag(a) over w as n from t window w as (order by secret)",
    "qualify": "select a from t qualify rank() over (order by secret) = 1",
    "hidden group key": "select count(*) as n from t group by secret",
    "group by number": "select secret % 2 as p, count(*) as n from t group by 1",
    "case": "select case when secret > 0 then 1 else 0 end as x from t",
    "filter of an aggregate": "select sum(a) filter (where secret > 0) as n from t",
    "order of an aggregate": "select string_agg(a, ',' order by secret) as n from t",
    "arg_max": "select arg_max(a, secret) as n from t",
    "distinct on": "select distinct on (secret) a from t",
    "distinct": "select count(*) as n from (select distinct secret from t)",
    "except": "select count(*) as n from (select z from u except select secret from t)",
    "union": "select count(*) as n from (select z from u union select secret from t)",
    "a filter two queries below": "with q as (select a from t where secret > 0), p as (select count(*) as n from q) select n from p",
    "limit by a subquery": "select z from u limit (select max(secret) from t)",
    "semi join": "select z from u semi join t on t.secret = u.k",
    "asof join": "select z from u asof join t on u.k >= t.secret",
    "lateral": "select z, q.n from u, lateral (select count(*) as n from t where secret > u.k) q",
    "star": "select * from t",
    "star replace": "select * exclude (secret) replace (secret as a) from t",
    "rename": "select x from (select * rename (secret as x) from t)",
    "columns": "select min(columns('^sec')) from t",
    "row as a struct": "select t as r from t",
    "union by name": "select a from t union all by name select z as b, z as a from u where z in (select secret from t)",
    "pivot": "pivot t on secret using count(*) group by a",
    "pivot filter": "pivot t on a in (1) using sum(secret)",
    "unpivot": "unpivot t on a, secret into name n value v",
    "unnest": "select unnest(range(secret)) as n from t",
    "recursive": "with recursive r(n) as (select 1 union all select n + 1 from r where n < (select max(secret) from t)) select n from r",
    "order kept by a subquery": "select row_number() over () as n, a from (select a from t order by secret)",
    "first of a window's order": "select first(a) as f from (select a, lag(a) over (order by secret) as g from t)",
    "positional join": "select u.z, q.a from u positional join (select a from t order by secret) q",
    "a key of a map": "select map {secret: 1} as m from t",
    "list comprehension": "select [x for x in [1, 2] if x > secret] as l from t",
    "correlated lambda": "select list_filter([1, 2], x -> x > secret) as l from t",
    "two names deep": "select main.t.secret as x from t",
    "upper case": "select SECRET as x from T",
    "quoted": 'select "Secret" as x from "T"',
    "grouping sets": "select count(*) as n from t group by grouping sets ((a), (secret))",
    "cube": "select count(*) as n from t group by cube (a, secret)",
    "values": "select v.x from t, (values (secret)) v(x)",
    "nullif": "select nullif(a, secret) as x from t",
    "sample of an order": "select a from (from t order by secret) using sample 2 rows",
    "any": "select z > any (select secret from t) as x from u",
    "array": "select array(select a from t order by secret) as x",
    "order left by a subquery": "select first(a) as f, sum(a) filter (where secret >= all (select z from u)) as n from t",
    "order left by distinct values": "select first(a) as f, count(distinct secret) as n from t",
    "alias in where": "select secret as q, a from t where q > 1",
    "alias in order by": "select a, secret + 1 as q from t order by q limit 1",
    "hash of the row": "select md5(t::varchar) as h from t",
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_leaks_are_found(name: str) -> None:
    """Each lets the secret column into every column of its answer, or at least into one."""
    tables = {"t": ["a", "secret"], "u": ["k", "z"]}
    answer = flows(PLANTED[name], tables)
    columns = [*answer.columns, *([answer.others] if answer.others else [])]
    assert any(("t", "secret") in flow.sources for flow in columns)
    assert not answer.unsure


def test_the_order_that_a_subquery_leaves_decides_what_comes_first() -> None:
    answer = flows(PLANTED["order left by a subquery"], {"t": ["a", "secret"], "u": ["k", "z"]})
    assert ("t", "secret") in answer.columns[0].control


INNOCENT = [
    "select a from t",
    "select a, count(*) as n from t group by a",
    "select * exclude (secret) from t",
    "select t.a from t join u on t.a = u.k where z > 0 order by z limit 3",
    "select a from (select a, secret from t) q",
    "with q as (select * from t), p as (select max(secret) as m from q) select a from q",
    "select z from u where exists (select secret from t where a = z)",
    "select a, sum(a) over (order by a) as s from t",
    "select list_transform([1], secret -> secret + a) as l from t",
    "select a as secret from t",
    "select {'secret': a} as s from t",
    "select z from u cross join (select max(secret) as m from t)",
    "select a from t where 'secret' = 'secret' -- secret",
]


@pytest.mark.parametrize("sql", INNOCENT)
def test_planted_innocents_pass(sql: str) -> None:
    answer = flows(sql, {"t": ["a", "secret"], "u": ["k", "z"]})
    assert not answer.unsure
    assert not [flow for flow in answer.columns if ("t", "secret") in flow.sources]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select ] from", "cannot be parsed"),
        ("select a from t; select b from t", "more than one statement"),
        ("", "no statement"),
        ("create table x as select a from t", "no query"),
        ("delete from t", "no query"),
        ("select * from read_csv('x.csv')", "could read anything"),
        ("select * from query('select secret from t')", "could read anything"),
        ("select * from 'x.parquet'", "not a table"),
        ("select * from elsewhere.t", "schema"),
        ("select nothing from t", "nothing is not known"),
        ("select * like 'a%' from t", "star inside an expression"),
        ("select columns(c -> c like 'a%') from t", "neither a star nor a pattern"),
        ("select a from t at (version => 1)", "not understood"),
        ("select a from t union select k, z from u", "numbers of columns"),
        ("with recursive r as (select 1 as n union select n from r order by n) select n from r", "plain union"),
        ("summarize t", "no query"),
        ("select " + "(" * 900 + "a" + ")" * 900 + " from t", ""),
    ],
)
def test_what_is_not_understood_depends_on_everything(sql: str, why: str) -> None:
    answer = flows(sql, TABLES)
    assert why in answer.unsure
    assert answer.unsure
    every = {(table, column) for table, columns in TABLES.items() for column in columns}
    flow = answer.of("anything")
    assert flow is not None
    assert flow.data == flow.control == every


def test_two_tables_whose_names_differ_by_case_are_not_guessed_apart() -> None:
    assert flows("select a from T", {"t": ["a"], "T": ["a"]}).unsure


def test_every_aggregate_of_the_engine_is_known_as_one() -> None:
    """An aggregate that is taken for a plain function would not carry the order of the rows."""
    rows = duckdb.sql("select distinct function_name from duckdb_functions() where function_type = 'aggregate'").fetchall()
    windows = {"cume_dist", "dense_rank", "rank_dense", "fill", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
               "percent_rank", "rank", "row_number"}  # fmt: skip
    names = {row[0] for row in rows} - windows
    unknown = []
    for name in sorted(names):
        for arguments in ("a", "a, b"):
            try:
                call = sqlglot.parse_one(f"select {name}({arguments}) from t", dialect="duckdb").expressions[0]
            except sqlglot.ParseError:
                continue
            if not any(is_aggregate(each) for each in call.walk()):
                unknown.append(name)
    assert not unknown
    assert len(names) > 70


def test_of_takes_any_case_and_joins_doubled_names() -> None:
    answer = flows("select a, b as A from t", TABLES)
    flow = answer.of("a")
    assert flow is not None
    assert flow.data == {("t", "a"), ("t", "b")}
    assert answer.of("nothing") is None


def test_the_engines_names_are_put_by_position() -> None:
    named = flows("select sum(a) + 1, b from t group by b", TABLES).named(["(sum(a) + 1)", "b"])
    flow = named.of("(sum(a) + 1)")
    assert flow is not None
    assert flow.data == {("t", "a")}
    pivot = flows("pivot t on c in (1, 2) using sum(b) group by a", TABLES).named(["a", "1", "2"])
    assert [flow.column for flow in pivot.columns] == ["a", "1", "2"]
    assert pivot.columns[2].data == {("t", "b")}


def test_how_says_the_last_operation() -> None:
    answer = flows("select a, sum(b) as n from t where c > 0 group by a", TABLES)
    assert [flow.how for flow in answer.columns] == [("where", "group by"), ("sum", "where", "group by")]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="select from where group by (),*+=<>'\"abtu1.;-[]{}:$", max_size=60))
def test_no_text_makes_it_fail_or_hides_a_table(text: str) -> None:
    answer = flows(text, TABLES)
    assert answer.unsure or not answer.rows.data


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.sampled_from(["a", "b", "c", "t.k", "1", "null"]),
                    lambda inner: st.builds("({} + {})".format, inner, inner) | st.builds("coalesce({}, {})".format, inner, inner)
                    | st.builds("abs({})".format, inner), max_leaves=12))  # fmt: skip
def test_an_expression_depends_on_exactly_the_columns_in_it(text: str) -> None:
    flow = flows(f"select {text} as x from t", TABLES).of("x")
    assert flow is not None
    named = {("t", each.name) for each in sqlglot.parse_one(text, dialect="duckdb").find_all(exp.Column)}
    assert flow.data == named
    assert flow.control == frozenset()


WAYS = [
    ("select t.a as x from t join u on t.b = u.b2", ("t", "b"), ("join",)),
    ("select a as x from t join (select b, c as c2 from t) using (b)", ("t", "b"), ("join",)),
    ("select a as x from t where b > 0", ("t", "b"), ("filter",)),
    ("select a as x from t qualify b > 0", ("t", "b"), ("filter",)),
    ("select sum(a) as x from t group by b", ("t", "b"), ("group by",)),
    ("select sum(a) as x from t group by c having max(b) > 0", ("t", "b"), ("filter",)),
    ("select distinct on (b) a as x from t", ("t", "b"), ("group by",)),
    ("select a as x from t order by b limit 3", ("t", "b"), ("sort",)),
    ("select sum(a) over (partition by b) as x from t", ("t", "b"), ("window",)),
    ("select lag(a) over w as x from t window w as (order by b)", ("t", "b"), ("window",)),
    ("select case when b > 0 then a end as x from t", ("t", "b"), ("conditional",)),
    ("select sum(a) filter (b > 0) as x from t", ("t", "b"), ("filter",)),
    ("select string_agg(a, ',' order by b) as x from t", ("t", "b"), ("sort",)),
    ("select a as x from t where c in (select c2 from u where b2 > 0)", ("u", "b2"), ("filter",)),
    ("select sum(a) as x from t where b > 0", ("t", "b"), ("filter",)),
    ("with q as (select a, case when b > 0 then 1 end as f from t) select a as x from q where f = 1", ("t", "b"), ("filter",)),
]


@pytest.mark.parametrize(("sql", "source", "ways"), WAYS)
def test_it_says_how_a_column_decides(sql: str, source: tuple[str, str], ways: tuple[str, ...]) -> None:
    answer = flows(sql, {"t": ["a", "b", "c"], "u": ["b2", "c2"]})
    flow = answer.of("x")
    assert flow is not None
    assert source in flow.control
    assert source not in flow.data
    assert answer.ways(flow, source) == ways
    assert not answer.unsure


def test_ways_of_one_column_are_not_those_of_another() -> None:
    answer = flows("select case when b > 0 then a end as x, sum(a) over (order by c) as y, a as z from t where b < 9", {"t": ["a", "b", "c"]})
    said = {flow.column: answer.ways(flow, ("t", "b")) for flow in answer.columns}
    assert said == {"x": ("conditional", "filter"), "y": ("filter",), "z": ("filter",)}
