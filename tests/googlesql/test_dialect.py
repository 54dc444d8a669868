"""The engine refuses what BigQuery refuses, and works out what it does: the harness is no yes-man.

Most of these the emulator takes, or answers in another way.
"""

import datetime as dt
import math
import re

import pytest

from tests.googlesql import Raised, Refused

MOMENTS = "(select datetime '2023-01-01 00:00:00' as dt, timestamp '2023-01-01 00:00:00+00' as ts)"

#: What BigQuery refuses, and a part of what it says.
REFUSED = {
    "select 1 as x where false": "without FROM clause cannot have a WHERE clause",
    f"select dt > ts from {MOMENTS}": "operator > for argument types: DATETIME, TIMESTAMP",
    f"select dt from {MOMENTS} union all select ts from {MOMENTS}": "incompatible types",
    f"select datetime_diff(ts, dt, second) from {MOMENTS}": "function DATETIME_DIFF",
    "select 1 as a union all select 'x'": "incompatible types: INT64, STRING",
    "select coalesce(a, '~') from (select 1 as a)": "function COALESCE",
    "select a = '1' from (select 1 as a)": "operator = for argument types: INT64, STRING",
    "select is_nan(a) from (select 'x' as a)": "function IS_NAN",
    "select case when true then 1 else 'x' end": "operator CASE",
    "select 1 as rows": "Unexpected keyword ROWS",
    "select 1 as qualify": "Unexpected keyword QUALIFY",
    "select 'a' || null": "cannot be literal NULL",
    "select a, count(*) from (select 1 as a, 2 as b) group by b": "neither grouped nor aggregated",
    "select cast(1 as int32)": "Type not found: int32",
    "select 1::int64": "Syntax error",
    "select a from t": "Table not found: t",
    "create temp table t as select 1 as a; update t set a = 2": "UPDATE must have a WHERE clause",
    "create temp table t (a int64); insert into t (a) select 'x'": "cannot be inserted",
    "select a || 'x' from (select 1 as a)": "operator || Argument types: INT64, STRING",
    # What a script adds.
    "declare x int64; set x = 'a'": "function IF",
    "set x = 1": "no variable x",
    "select 1; declare x int64": "DECLARE comes first",
    "begin transaction; select 1": "ends within its transaction",
    "commit transaction": "no transaction is open",
    "begin transaction; create table d.t (a int64); commit transaction": "DDL of a permanent table",
    "create table d.t (a int64); begin transaction; drop table d.t; commit transaction": (
        "DDL of a permanent table"
    ),
    "declare a int64; create temp table t as select 1 as A; update t set a = a where true": (
        "variable a has the name of a column"
    ),
    "if 1 then select 2; end if": "the condition is no BOOL",
    "if false then select a from t; end if": "Table not found: t",
}

#: What BigQuery answers.
ANSWERED = {
    "select cast('nan' as float64) > 1, not cast('nan' as float64) <= 1000": [(False, True)],
    "select x from unnest([1.5, cast('inf' as float64), null, cast('-inf' as float64)]) as x"
    " order by x": [(None,), (-math.inf,), (1.5,), (math.inf,)],
    "select cast(-0.0 as string), floor(-0.5), floor(2.5), 7 / 2, div(-7, 2)": [
        ("0", -1.0, 2.0, 3.5, -3)
    ],
    "select array_to_string(['a', null, ''], '|'), array_to_string([cast(null as string)], '|')": [
        ("a|", "")
    ],
    "select datetime_trunc(datetime '0001-01-01 00:00:00.5', second),"
    " datetime_diff(datetime '1969-12-31 23:59:59.5', datetime '1970-01-01 00:00:00', second)": [
        (dt.datetime(1, 1, 1), -1)
    ],
    "select datetime(timestamp '9999-12-31 23:59:59.999999+00', 'UTC')": [
        (dt.datetime(9999, 12, 31, 23, 59, 59, 999999),)
    ],
    "select timestamp '0001-01-01 00:00:00+00', date '2024-02-29'": [
        (dt.datetime(1, 1, 1), dt.date(2024, 2, 29))
    ],
    "select to_hex(md5('日本😀|~')), 1 is not distinct from null, 'B' < 'a', '日' > 'z'": [
        ("d102fc3d9a09b6fd13662465c8647672", False, True, True)
    ],
    "create temp table t as select 1 as a; insert into t (a) values (2), (3), (4);"
    " update t set a = s.b from (select 4 as b, 2 as c) as s where t.a = s.c;"
    " delete from t where a = 3; select a from t order by a": [(1,), (4,), (4,)],
    "create table d.t (a int64, b string); insert into `local.d.t` (b, a) values ('x', 1);"
    " create view d.v as select t.a + 1 as a from d.t; delete from d.t where t.a = 2;"
    " select v.a, c.b from `local`.d.v inner join local.d.t as c on c.a + 1 = v.a": [(2, "x")],
    "declare n, m int64; create temp table t as select 1 as a; insert into t (a) values (2), (3);"
    " set n = @@row_count; delete from t where a > 0; set m = @@row_count; select n, m": [(2, 3)],
    "declare a, b int64 default 2; if a = b then set a = 3; else set a = 4; end if; select a, b": [
        (3, 2)
    ],
}

#: What BigQuery refuses only when it runs it.
FAILS = {
    "select cast('1.0' as int64)": "Bad int64 value: 1.0",
    "select cast(floor(1e300) as int64)": "int64 out of range",
    "create temp table t as select 1 as a, 'x' as b;"
    " update t set b = s.b from (select 1 as a, 'y' as b union all select 1, 'z') as s"
    " where t.a = s.a": "at most one joined row",
}


@pytest.mark.parametrize(("script", "message"), REFUSED.items())
def test_refused(new_database, script, message):
    with pytest.raises(Refused, match=re.escape(message)):
        new_database().run(script)


@pytest.mark.parametrize(("script", "message"), FAILS.items())
def test_refused_when_it_is_executed(new_database, script, message):
    new_database().run(script)
    with pytest.raises(Refused, match=message):
        new_database(executes=True).run(script)


@pytest.mark.parametrize(("script", "rows"), ANSWERED.items())
def test_answered(new_database, script, rows):
    new_database().run(script)
    assert new_database(executes=True).run(script) == rows


def test_an_error_rolls_a_transaction_back(new_database):
    database = new_database(executes=True)
    database.run("create table d.t as select 1 as a")
    begun = "begin transaction; insert into d.t (a) values (2);"
    for error, end in ((Raised, "raise using message = 'no';"), (Refused, "select 1 / 0;")):
        with pytest.raises(error, match=r"^(no$|division by zero)"):
            database.run(f"{begun} {end} commit transaction")
        assert database.run("select a from d.t") == [(1,)]
    database.run(f"{begun} commit transaction")
    assert database.run("select count(*) from d.t") == [(2,)]


def test_a_refused_statement_is_named(new_database):
    with pytest.raises(Refused, match=r"\[at 1:\d+\].*\nselect b from t$"):
        new_database().run("create temp table t as select 1 as a; select a from t; select b from t")
