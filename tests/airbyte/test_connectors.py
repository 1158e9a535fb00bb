"""Source and destination together, on a real Postgres and the emulator: what is written is what lands, once."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import bigquery as google_bigquery
from programs import SOURCE, Connection, configured, destination_config, messages, source_config
from psycopg import errors, sql
from psycopg.errors import LockNotAvailable

from airbyte.connectors.destination_bigquery import batch, leftovers, staging
from airbyte.connectors.destination_bigquery.connector import DestinationBigQuery
from airbyte.connectors.destination_bigquery.landing import MANY_ROWS, Landing
from airbyte.connectors.destination_bigquery.parquet import Converter
from airbyte.connectors.protocol import APPEND, OVERWRITE, ConfiguredStream, Output, ReportedError, TransientError
from airbyte.connectors.source_postgres import connector, locks
from airbyte.connectors.source_postgres.connector import SourcePostgres, _received
from stack import bigquery
from stack.settings import Settings
from tests.source_database import emptied

SCHEMA = """
create table things (
    id uuid primary key, name varchar(40), code char(2), price decimal(12, 2), wide numeric, quantity int, big bigint, ratio float8,
    is_active boolean, seen_at timestamptz, wall_at timestamp, day date, attributes jsonb, tags text[]
);
create table tree (id serial primary key, name text);
create table journal (id bigserial primary key, entry jsonb, processed boolean);
"""
MODES = {
    "things": ("incremental", "append_dedup"),
    "tree": ("full_refresh", "overwrite"),
    "journal": ("incremental", "append"),
}
UTC = datetime.UTC


@pytest.fixture
def db(postgres: Settings) -> Iterator[psycopg.Connection[Any]]:
    emptied(postgres)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield connection
    emptied(postgres)


@pytest.fixture
def connection(db: psycopg.Connection[Any], emulator: Settings, tmp_path: Path) -> Iterator[Connection]:
    made = Connection(tmp_path, source_config(emulator), destination_config(emulator, "landing"), {})
    catalog, done = made.call(SOURCE, "discover", config=made.source)
    assert done.returncode == 0, catalog
    made.catalog = configured(catalog[0]["catalog"]["streams"], MODES)
    yield made
    bigquery.client(emulator).delete_dataset("landing", delete_contents=True, not_found_ok=True)


def landed(settings: Settings, table: str) -> list[dict[str, Any]]:
    return bigquery.query(bigquery.client(settings), f"select * from landing.{table} order by id")


def test_every_type_lands_exactly_or_as_null_with_the_reason(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{i}" for i in range(4)]
    db.execute(
        "insert into things values (%s, 'Ünïcode \"q\" \\\n\t\x01', 'A', 12.30, 12345678901234567890123456789.123456789, -7, 9007199254740993, 0.1, true, "
        "'2024-02-29 23:59:59.123456+02', '2024-02-29 23:59:59.123456', '2024-02-29', '{\"a\": [1, {\"b\": null}], \"s\": \"x\\ny\"}', "
        "array['a', null, 'c\"d'])",
        (ids[0],),
    )
    db.execute("insert into things (id) values (%s)", (ids[1],))
    db.execute(
        "insert into things (id, name, wide, seen_at, wall_at, ratio) values (%s, '', 'NaN', 'infinity', '0044-03-15 BC', 'NaN')",
        (ids[2],),
    )
    db.execute("insert into things (id, price, attributes) values (%s, -0.01, '[1]')", (ids[3],))
    assert connection.sync() == 4

    full, empty, bad, small = landed(emulator, "things")
    assert (full["name"], full["code"]) == ('Ünïcode "q" \\\n\t\x01', "A ")
    assert (full["price"], full["wide"]) == (Decimal("12.30"), Decimal("12345678901234567890123456789.123456789"))
    assert (full["quantity"], full["big"], full["ratio"], full["is_active"]) == (-7, 9007199254740993, 0.1, True)
    assert full["seen_at"] == datetime.datetime(2024, 2, 29, 21, 59, 59, 123456, tzinfo=UTC)
    assert full["wall_at"] == datetime.datetime(2024, 2, 29, 23, 59, 59, 123456)
    assert full["day"] == datetime.date(2024, 2, 29)
    assert full["attributes"] == {"a": [1, {"b": None}], "s": "x\ny"}
    assert full["tags"] == ["a", None, 'c"d']
    assert full["_airbyte_meta"] == {"sync_id": 7, "changes": []}
    assert full["_airbyte_generation_id"] == 1
    assert {name: v for name, v in empty.items() if v is not None and not name.startswith("_airbyte")} == {"id": ids[1]}
    assert (bad["name"], bad["wide"], bad["seen_at"], bad["wall_at"]) == ("", None, None, None)
    assert [change["field"] for change in bad["_airbyte_meta"]["changes"]] == ["wide", "seen_at", "wall_at"]
    assert (small["price"], small["attributes"]) == (Decimal("-0.01"), [1])


def test_each_mode_lands_changes_once(db: psycopg.Connection[Any], connection: Connection, emulator: Settings) -> None:
    db.execute("insert into things (id, quantity) select gen_random_uuid(), i from generate_series(1, 50) as i")
    db.execute("insert into tree (name) values ('a'), ('b')")
    db.execute("insert into journal (entry, processed) select '{}', false from generate_series(1, 10)")
    assert connection.sync() == 62
    first = landed(emulator, "things")
    assert connection.sync() == 2, "only the full refresh is read again"
    assert landed(emulator, "things") == first

    db.execute("update things set quantity = 100 where quantity = 1")
    db.execute("delete from tree where name = 'a'")
    db.execute("update journal set processed = true where id = 3")
    assert connection.sync() == 3
    things = landed(emulator, "things")
    assert sorted(row["quantity"] for row in things) == [*range(2, 51), 100]
    changed = next(row for row in things if row["quantity"] == 100)
    assert changed["_airbyte_extracted_at"] > max(row["_airbyte_extracted_at"] for row in first)
    assert [row["name"] for row in landed(emulator, "tree")] == ["b"]
    assert [row["id"] for row in landed(emulator, "journal")] == [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]


def read_whole(config: dict[str, Any], *names: str) -> tuple[dict[str, list[int]], dict[str, str]]:
    """The source in this process: {table: its ids}, {table that stopped: the kind of failure, and why}."""
    streams = [ConfiguredStream(name, "public", {"id": {}}, "full_refresh", OVERWRITE, (), 0, 1) for name in names]
    said = io.BytesIO()
    with contextlib.suppress(ReportedError):
        SourcePostgres().read(config, streams, {}, Output(said))
    ids: dict[str, list[int]] = {}
    stopped = {}
    for message in messages(said.getvalue()):
        if message["type"] == "RECORD":
            ids.setdefault(message["record"]["stream"], []).append(message["record"]["data"]["id"])
        elif message.get("trace", {}).get("type") == "ERROR":
            error = message["trace"]["error"]
            stopped[error["stream_descriptor"]["name"]] = f"{error['failure_type']}: {error['message']}"
    return ids, stopped


def test_no_table_is_written_anew_between_the_snapshot_and_its_reading(
    db: psycopg.Connection[Any], postgres: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be read as if it had no row."""
    db.execute("insert into tree (name) values ('a'), ('b'); insert into journal (entry) values ('1')")
    db.execute("set lock_timeout = 100")
    read_stream = connector._read_stream

    def after_a_try(*arguments: Any) -> None:
        for statement in ("truncate journal", "alter table tree alter name type varchar using upper(name)"):
            with pytest.raises(LockNotAvailable):
                db.execute(statement)
        db.execute("insert into tree (name) values ('c')")
        read_stream(*arguments)

    monkeypatch.setattr(connector, "_read_stream", after_a_try)
    assert read_whole(source_config(postgres), "journal", "tree") == ({"journal": [1], "tree": [1, 2]}, {})


def test_a_table_that_is_being_written_anew_is_waited_for_and_seen_as_it_is_then(
    db: psycopg.Connection[Any], postgres: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_MILLISECONDS", 100)
    db.execute("insert into tree (name) values ('a'); insert into journal (entry) values ('1')")
    with psycopg.connect(postgres.admin_dsn) as other, ThreadPoolExecutor(1) as reader:
        other.execute("alter table tree alter name type varchar using upper(name)")
        found = reader.submit(read_whole, source_config(postgres), "journal", "tree")
        time.sleep(0.5)
        assert not found.done()
        # Nothing is held while one is waited for: this transaction must not be part of a deadlock.
        other.execute("set lock_timeout = 1000; truncate journal; insert into tree (name) values ('b')")
        other.commit()
        assert found.result() == ({"tree": [1, 2]}, {})


def test_a_table_that_cannot_be_locked_stops_no_other(
    db: psycopg.Connection[Any], postgres: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by who may do nothing but read: tables, parts of them, what knows no locks, has no data yet or is gone, and what another has to itself."""
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(locks, "WAIT_MILLISECONDS", 50)
    db.execute(
        "insert into tree (name) values ('a'); insert into journal (entry) values ('1'); "
        "create materialized view seen as select id from tree; create materialized view unseen as select id from tree with no data; "
        "create table parts (id int) partition by range (id); create table low partition of parts for values from (0) to (9); "
        "insert into parts values (5); create table heirs (id int); create table heir (id int) inherits (heirs); insert into heir values (6)"
    )
    config = source_config(postgres, username=postgres.source_reader_user, password=postgres.source_reader_password)
    names = ("unseen", "seen", "gone", "tree", "parts", "heirs", "journal")
    everything = {"seen": [1], "tree": [1], "parts": [5], "heirs": [6], "journal": [1]}
    ids, stopped = read_whole(config, *names)
    assert (ids, stopped.keys()) == (everything, {"unseen", "gone"})
    for locked in ("tree", "parts", "heirs"):
        with psycopg.connect(postgres.admin_dsn) as other:
            other.execute(
                sql.SQL("lock table {}").format(sql.Identifier({"parts": "low", "heirs": "heir"}.get(locked, locked)))
            )
            for asked in (names, ("journal", locked)):
                ids, stopped = read_whole(config, *asked)
                assert ids == {name: found for name, found in everything.items() if name in asked and name != locked}
                assert f"table {locked} is locked at the source by a transaction" in stopped[locked]
    assert read_whole(config, *names)[0] == everything


@pytest.mark.parametrize(
    ("module", "step", "error", "said"),
    [
        (connector, "_read_stream", errors.ProgramLimitExceeded, "config_error: table tree cannot be read"),
        (connector, "_read_stream", errors.DiskFull, "transient_error: table tree cannot be read"),
        (connector, "_read_stream", errors.QueryCanceled, "transient_error: table tree cannot be read"),
        # Without its lock it might be read as empty.
        (locks, "_lock", errors.OutOfMemory, "transient_error: table tree cannot be locked"),
    ],
)
def test_what_the_server_refuses_of_one_table_stops_no_other(
    db: psycopg.Connection[Any],
    postgres: Settings,
    monkeypatch: pytest.MonkeyPatch,
    module: types.ModuleType,
    step: str,
    error: type[psycopg.Error],
    said: str,
) -> None:
    """What psycopg calls an OperationalError though the connection lives."""
    db.execute("insert into tree (name) values ('a'); insert into journal (entry) values ('1')")
    taken = getattr(module, step)

    def refused(*arguments: Any) -> None:
        if "'tree'" in repr(arguments):
            raise error("the server refuses")
        taken(*arguments)

    monkeypatch.setattr(module, step, refused)
    ids, stopped = read_whole(source_config(postgres), "tree", "journal")
    assert ids == {"journal": [1]}
    assert stopped == {"tree": f"{said}: the server refuses"}


@pytest.mark.parametrize(("module", "step"), [(connector, "_read_stream"), (locks, "_lock")])
def test_a_connection_that_is_gone_ends_the_whole_read(
    db: psycopg.Connection[Any],
    postgres: Settings,
    monkeypatch: pytest.MonkeyPatch,
    module: types.ModuleType,
    step: str,
) -> None:
    taken = getattr(module, step)

    def without_connection(*arguments: Any) -> None:
        db.execute("select pg_terminate_backend(%s, 10000)", [arguments[0].info.backend_pid])
        taken(*arguments)

    monkeypatch.setattr(module, step, without_connection)
    with pytest.raises(TransientError, match="terminating connection"):
        read_whole(source_config(postgres), "tree", "journal")


@pytest.mark.parametrize("rows", [0, 1, 100_000])
def test_every_line_of_a_copy_is_received_and_the_connection_can_go_on(db: psycopg.Connection[Any], rows: int) -> None:
    with db.cursor() as cursor, cursor.copy(f"copy (select i from generate_series(1, {rows}) as i) to stdout") as copy:
        assert [int(line) for line in _received(copy, db.pgconn)] == [*range(1, rows + 1)]
    assert db.execute("select 1").fetchone() == (1,)


def test_a_copy_that_fails_in_its_middle_or_whose_server_goes_raises(
    db: psycopg.Connection[Any], postgres: Settings
) -> None:
    def lines(connection: psycopg.Connection[Any], query: LiteralString) -> Iterator[bytes]:
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            yield from _received(copy, connection.pgconn)

    failing = lines(db, "copy (select 1 / (9000 - i) from generate_series(1, 10000) as i) to stdout")
    with pytest.raises(psycopg.errors.DivisionByZero):
        assert len(list(failing)) < 9000
    assert db.execute("select 1").fetchone() == (1,)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as other:
        going = lines(other, "copy (select i, repeat('x', 1000) from generate_series(1, 100000) as i) to stdout")
        next(going)
        db.execute("select pg_terminate_backend(%s)", [other.info.backend_pid])
        with pytest.raises(psycopg.OperationalError):
            list(going)


def test_streams_with_few_rows_share_a_load_job_and_one_that_cannot_be_converted_fails_alone(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("insert into things (id, quantity) values (gen_random_uuid(), 1)")
    db.execute("insert into tree (name) values ('a'), ('b')")
    db.execute("insert into journal (entry) values ('{}')")
    lines, _ = connection.read()
    bq = bigquery.client(emulator)
    since = datetime.datetime.now(UTC)
    said, status = connection.write(lines.replace(b'"name":"b"', b'"name":b'))
    assert status == 1
    assert [m["trace"]["error"]["stream_descriptor"]["name"] for m in said if m["type"] == "TRACE"][:1] == ["tree"]
    assert connection.state.keys() == {"things", "journal"}
    assert [row["quantity"] for row in landed(emulator, "things")] == [1]
    assert [row["entry"] for row in landed(emulator, "journal")] == [{}]
    assert connection.sync() == 2
    loads = [job for job in bq.list_jobs(min_creation_time=since) if job.job_type == "load"]
    assert len(loads) == 2, "one a sync"
    assert {table.table_id for table in bq.list_tables("landing")} == MODES.keys()


@pytest.mark.parametrize(
    ("columns", "bad", "good", "column"),
    [
        # A column that the key's index only carries along may be null.
        ("code numeric, note text, primary key (code) include (note)", "(1.0000000001)", "(1.5)", "code"),
        ("id int, until date, primary key (id, until)", "(1, 'infinity')", "(2, '2026-01-01')", "until"),
        ("id int unique", "(null)", "(1)", "id"),
    ],
)
@pytest.mark.parametrize("write", ["append_dedup", "append"])
def test_a_row_without_a_key_stops_its_stream(
    db: psycopg.Connection[Any],
    connection: Connection,
    emulator: Settings,
    columns: str,
    bad: str,
    good: str,
    column: str,
    write: str,
) -> None:
    """Nothing would find it again: each change of it would land beside it, and rows whose keys BigQuery cannot hold would be one."""
    db.execute(f"create table keyed ({columns}); insert into keyed values {bad}".encode())
    db.execute("insert into tree (name) values ('a')")
    catalog, _ = connection.call(SOURCE, "discover", config=connection.source)
    modes = {"tree": MODES["tree"], "keyed": ("incremental", write)}
    connection.catalog = configured(catalog[0]["catalog"]["streams"], modes)
    (keyed,) = (item for item in connection.catalog["streams"] if item["stream"]["name"] == "keyed")
    keyed["primary_key"] = keyed["primary_key"] or [["id"]]
    said, status = connection.write(connection.read()[0])
    assert status == 1
    error = next(m["trace"]["error"] for m in said if m["type"] == "TRACE" and m["trace"]["type"] == "ERROR")
    assert (
        f"stream keyed: a record cannot be converted: Invalid Input Error: its {column} is null, or" in error["message"]
    )
    assert connection.state.keys() == {"tree"}
    assert len(landed(emulator, "tree")) == 1
    db.execute(f"truncate keyed; insert into keyed values {good}".encode())
    assert connection.sync() == 2


def test_many_changed_rows_with_json_land_exactly(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    rows = MANY_ROWS + 1
    db.execute(
        "insert into things (id, quantity, attributes) select gen_random_uuid(), i, jsonb_build_object('n', i) "
        f"from generate_series(1, {rows}) as i"
    )
    assert connection.sync() == rows
    # One number that a double cannot hold, and one row that is new.
    db.execute("update things set attributes = jsonb_build_object('n', quantity + 1, 's', E'\\n\"ü')")
    db.execute("update things set attributes = '{\"n\": 12345678901234567}' where quantity = 1")
    db.execute("insert into things (id, quantity, attributes) values (gen_random_uuid(), 0, '[]')")
    assert connection.sync() == rows + 1
    bq = bigquery.client(emulator)
    things = bigquery.query(bq, "select quantity, to_json_string(attributes) as attributes from landing.things")
    expected = {number: {"n": number + 1, "s": '\n"ü'} for number in range(2, rows + 1)}
    assert {row["quantity"]: json.loads(row["attributes"]) for row in things} == {
        0: [],
        1: {"n": 12345678901234567},
    } | expected
    assert len(things) == rows + 1
    assert {table.table_id for table in bq.list_tables("landing")} == MODES.keys()


def test_a_commit_later_than_the_sync_that_began_after_it_is_not_lost_and_nothing_is_read_twice(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings, postgres: Settings
) -> None:
    db.execute("insert into journal (entry) values ('1')")
    with psycopg.connect(postgres.admin_dsn) as late:
        late.execute("insert into journal (entry) values ('2')")
        with late.transaction():
            late.execute("insert into journal (entry) values ('3')")
        db.execute("insert into journal (entry) values ('4')")
        assert connection.sync() == 2
        db.execute("insert into journal (entry) values ('5')")
        assert connection.sync() == 1, "the row after the open transaction was seen, and is not read again"
        late.commit()
    assert connection.sync() == 2
    assert connection.sync() == 0
    assert sorted(row["entry"] for row in landed(emulator, "journal")) == [1, 2, 3, 4, 5]


def test_a_sync_repeated_because_its_state_was_lost_lands_nothing_twice(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("insert into things (id) select gen_random_uuid() from generate_series(1, 20)")
    db.execute("insert into journal (entry) select '{}' from generate_series(1, 10)")
    connection.sync()
    connection.state.clear()
    assert connection.sync() == 30
    assert len(landed(emulator, "things")) == 20
    assert len(landed(emulator, "journal")) == 10


def test_an_appended_row_that_changes_back_lands_again(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("insert into journal (entry, processed) values ('1', false)")
    connection.sync()
    for processed in (True, False):
        db.execute("update journal set processed = %s", [processed])
        connection.sync()
    newest_last = bigquery.query(
        bigquery.client(emulator), "select processed from landing.journal order by _airbyte_extracted_at"
    )
    assert [row["processed"] for row in newest_last] == [False, True, False]


def test_of_a_key_that_is_sent_twice_the_last_version_lands(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    from airbyte.connectors.destination_bigquery.landing import MANY_ROWS

    db.execute(
        "insert into things (id, quantity) select gen_random_uuid(), i from generate_series(1, %s) as i",
        [MANY_ROWS + 1],
    )
    db.execute("insert into things (id, quantity) values ('00000000-0000-4000-8000-000000000001', -1)")
    lines, _ = connection.read()
    again = next(line for line in lines.split(b"\n") if b'"quantity":-1' in line)
    time = int(again.rsplit(b":", 1)[1].strip(b"}"))
    later = again.replace(b'"quantity":-1', b'"quantity":-2').replace(b"%d" % time, b"%d" % (time + 1))
    _, status = connection.write(lines.replace(again + b"\n", again + b"\n" + later + b"\n"))
    assert status == 0
    counted = bigquery.query(bigquery.client(emulator), "select count(*) as n, min(quantity) as q from landing.things")
    assert counted == [{"n": MANY_ROWS + 2, "q": -2}]


def test_equal_rows_of_a_table_without_a_key_all_land(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("create table clicks (page text); insert into clicks values ('home'), ('home')")
    catalog, _ = connection.call(SOURCE, "discover", config=connection.source)
    connection.catalog = configured(catalog[0]["catalog"]["streams"], {"clicks": ("incremental", "append")})
    connection.sync()
    db.execute("insert into clicks values ('home')")
    assert connection.sync() == 1
    counted = bigquery.query(bigquery.client(emulator), "select page, count(*) as n from landing.clicks group by page")
    assert counted == [{"page": "home", "n": 3}]


def test_of_a_row_with_several_large_values_the_largest_become_null(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    """In JSON a control character takes six bytes, a byte of bytea two."""
    columns = {"a": "text", "b": "jsonb", "c": "text", "d": "bytea", "e": "text[]", "f": "text", "g": "text"}
    db.execute(
        f"create table big (id int primary key, {', '.join(f'{n} {kind}' for n, kind in columns.items())})".encode()
    )
    db.execute("insert into big (id, a, g) values (1, 'x', null)")
    db.execute(
        "insert into big select 2, repeat('y', 5000000), to_jsonb(repeat('y', 5000000)), 'x', (repeat('y', 1000000))::bytea, "
        r"array[repeat('y', 5000000)], repeat(E'\x01', 5200000), repeat('y', 5000001)"
    )
    db.execute(r"insert into big (id, a, c) values (3, repeat(E'\x01', 5242880), repeat('y', 5242881))")
    db.execute(
        "insert into big select 4, r, to_jsonb(left(r, 5000000)), r, left(r, 2600000)::bytea, null, r, r from (select repeat('y', 5242880) as r) as r"
    )
    catalog, _ = connection.call(SOURCE, "discover", config=connection.source)
    connection.catalog = configured(catalog[0]["catalog"]["streams"], {"big": ("incremental", "append_dedup")})
    assert connection.sync() == 4
    found = bigquery.query(
        bigquery.client(emulator),
        "select id, length(a) as a, if(b is null, null, length(to_json_string(b))) as b, length(c) as c, length(d) as d, "
        "if(e is null, null, length(to_json_string(e))) as e, "
        "length(f) as f, length(g) as g, to_json_string(_airbyte_meta.changes) as changes from landing.big order by id",
    )
    kept = [{name: found[i][name] for name in columns if found[i][name] is not None} for i in range(4)]
    nulled = [{c["field"]: c["reason"] for c in json.loads(row["changes"])} for row in found]
    assert kept == [
        {"a": 1},
        {"a": 5000000, "b": 5000002, "c": 1, "d": 2000002},
        {},
        {"b": 5000002, "d": 5200002},
    ]
    assert [sorted(one) for one in nulled] == [[], ["e", "f", "g"], ["a", "c"], ["a", "c", "f", "g"]]
    assert {reason for one in nulled for reason in one.values()} == {"SOURCE_FIELD_SIZE_LIMITATION"}


def test_columns_with_the_names_that_the_query_uses_are_read(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    """Without values that need to be checked, and with such."""
    db.execute("create table plain (x int primary key, y int, t int); insert into plain values (1, 2, 3)")
    db.execute(
        "create table checked (y int primary key, x jsonb, t text); insert into checked values (1, '{\"a\": 2}', 'b')"
    )
    catalog, _ = connection.call(SOURCE, "discover", config=connection.source)
    modes = {"plain": ("incremental", "append_dedup"), "checked": ("incremental", "append_dedup")}
    connection.catalog = configured(catalog[0]["catalog"]["streams"], modes)
    assert connection.sync() == 2
    bq = bigquery.client(emulator)
    assert bigquery.query(bq, "select x, y, t from landing.plain") == [{"x": 1, "y": 2, "t": 3}]
    assert bigquery.query(bq, "select x, y, t from landing.checked") == [{"x": {"a": 2}, "y": 1, "t": "b"}]


def stream_of(name: str, mode: str, kind: str = "integer") -> ConfiguredStream:
    """A stream without a key, of one column."""
    return ConfiguredStream(name, None, {"id": {"type": kind}}, "incremental", mode, (), 0, 1)


def messages_of(name: str, *data: dict[str, Any]) -> bytes:
    """A stream's records, its state, and that it is complete."""
    descriptor = {"name": name, "namespace": None}
    status = {"stream_descriptor": descriptor, "status": "COMPLETE"}
    state = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {}}}
    said = [{"type": "RECORD", "record": {"stream": name, "data": one, "emitted_at": 0}} for one in data] + [
        {"type": "STATE", "state": state},
        {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "stream_status": status}},
    ]
    return b"".join(json.dumps(message).encode() + b"\n" for message in said)


def write(settings: Settings, streams: list[ConfiguredStream], lines: bytes, said: io.BytesIO) -> None:
    """The destination in this process, into raw."""
    reader, writer = os.pipe()
    os.write(writer, lines)
    os.close(writer)
    with os.fdopen(reader, "rb") as taken:
        DestinationBigQuery().write(destination_config(settings), streams, taken, Output(said))


def landing_of_one_record(
    bq: google_bigquery.Client, name: str, folder: Path, converter: Converter, loader: ThreadPoolExecutor
) -> Landing:
    """A stream's landing in raw that has taken one record."""
    stream = ConfiguredStream(name, None, {"id": {"type": "integer"}}, "full_refresh", OVERWRITE, (), 0, 1)
    landing = Landing(bq, "raw", stream, folder, converter, loader)
    record = {"stream": name, "data": {"id": 1}, "emitted_at": 0}
    landing.add(json.dumps({"type": "RECORD", "record": record}).encode() + b"\n", 1)
    return landing


def test_no_table_is_made_in_the_thread_that_a_cancellation_strikes(
    empty_raw: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it could be made, and nobody know of it to drop it."""
    bq = bigquery.client(empty_raw)
    make, makers = bq.create_table, []

    def noting(*arguments: Any, **named: Any) -> Any:
        makers.append(threading.current_thread())
        return make(*arguments, **named)

    monkeypatch.setattr(bq, "create_table", noting)
    with Converter() as converter, ThreadPoolExecutor(1) as loader, ThreadPoolExecutor(1) as committer:
        landing = landing_of_one_record(bq, "things", tmp_path, converter, loader)
        landing.finish()
        assert committer.submit(landing.commit).result() == 1
    assert len(makers) == 2
    assert threading.main_thread() not in makers
    assert [table.table_id for table in bq.list_tables("raw")] == ["things"]


def test_streams_gather_while_the_batch_before_them_is_being_loaded(
    empty_raw: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bq = bigquery.client(empty_raw)
    is_sent = threading.Event()
    load = staging.Staging.load

    def waiting(*arguments: Any) -> None:
        assert is_sent.wait(30)
        load(*arguments)

    monkeypatch.setattr(staging.Staging, "load", waiting)
    monkeypatch.setattr(batch, "LINGER_SECONDS", 0.0)
    with Converter() as converter, ThreadPoolExecutor(1) as loader:
        batches: list[batch.Batch] = []
        landings = []
        for name in ("things", "others"):
            landing = landing_of_one_record(bq, name, tmp_path, converter, loader)
            earlier = batches[-1] if batches else None
            batches.append(batch.Batch(bq, "raw", tmp_path, converter, loader, earlier))
            batches[-1].add(landing)
            landings.append(landing)
        assert [each.is_due(waiting=0) for each in batches] == [True, False]
        batches[0].load()
        assert not batches[1].is_due(waiting=0)
        is_sent.set()
        assert landings[0].commit() == 1
        # Others that are loaded come first.
        assert [batches[1].is_due(waiting) for waiting in (-2, 1, 2)] == [True, True, False]
        batches[1].load()
        assert landings[1].commit() == 1
    assert {table.table_id for table in bq.list_tables("raw")} == {"things", "others"}
    assert not list(tmp_path.iterdir())


def test_what_killed_syncs_left_is_dropped_by_the_streams_next_sync(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    bq = bigquery.client(emulator)
    connection.sync()
    names = ["_airbyte_tmp_tree_3_0123abcd", "_airbyte_tmp_tree_house_3_0123abcd", "_airbyte_tmp_tree_3_mine"]
    for name in names:
        bq.create_table(bigquery_table(bq, name))
    connection.sync()
    assert {t.table_id for t in bq.list_tables("landing")} == {"things", "tree", "journal", *names[1:]}


def test_a_job_that_begins_to_run_while_leftover_jobs_are_listed_is_ended() -> None:
    job = types.SimpleNamespace(job_id=f"{leftovers.job_prefix('raw', 'orders')}1", location="US", state="PENDING")

    class Client:
        """BigQuery in which a slot comes free after the first question."""

        project = "p"

        def list_jobs(self, state_filter: str, **_: Any) -> list[Any]:
            found = [job] if job.state.lower() == state_filter else []
            job.state = "RUNNING" if job.state == "PENDING" else job.state
            return found

        def cancel_job(self, *_: Any, **__: Any) -> None:
            job.state = "DONE"

        def get_job(self, *_: Any, **__: Any) -> Any:
            return job

        def list_tables(self, *_: Any, **__: Any) -> list[Any]:
            return []

    leftovers.clear(Client(), "raw", {"orders"})  # type: ignore[arg-type]
    assert job.state == "DONE"


def test_a_commit_counts_though_the_temporary_table_cannot_be_dropped(
    empty_raw: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its state is not saved, and the next sync appends the same rows once more."""
    drop = google_bigquery.Client.delete_table

    def refusing(client: google_bigquery.Client, table: Any, **named: Any) -> None:
        if "_airbyte_tmp_" in str(table):
            raise ServiceUnavailable("no backend")
        drop(client, table, **named)

    said = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(google_bigquery.Client, "delete_table", refusing)
        write(empty_raw, [stream_of("log", APPEND)], messages_of("log", {"id": 1}), said)
    assert b'"STATE"' in said.getvalue()
    bq = bigquery.client(empty_raw)
    assert bigquery.query(bq, "select id from raw.log") == [{"id": 1}]
    assert len(list(bq.list_tables("raw"))) == 2
    write(empty_raw, [stream_of("log", APPEND)], messages_of("log", {"id": 2}), said)
    assert [table.table_id for table in bq.list_tables("raw")] == ["log"], "the next sync sweeps it"


@pytest.mark.parametrize("name", ["a.b", "a/b", "a:b", "a`b", "a\nb", "é" * 500])
def test_a_stream_whose_name_no_table_can_have_fails_alone(empty_raw: Settings, name: str) -> None:
    said = io.BytesIO()
    lines = messages_of(name, {"id": 1}) + messages_of("good", {"id": 1})
    with pytest.raises(ReportedError):
        write(empty_raw, [stream_of(name, APPEND), stream_of("good", APPEND)], lines, said)
    (error,) = [m["trace"]["error"] for m in messages(said.getvalue()) if m["type"] == "TRACE"]
    assert error["stream_descriptor"] == {"name": name}
    assert "rename the table at the source, or leave the stream out" in error["message"]
    bq = bigquery.client(empty_raw)
    assert bigquery.query(bq, "select id from raw.good") == [{"id": 1}]
    assert [table.table_id for table in bq.list_tables("raw")] == ["good"]


def test_a_name_with_every_kind_of_letter_that_a_table_may_have_is_taken(empty_raw: Settings) -> None:
    name = "Ünï-cöde 名 _1"
    write(empty_raw, [stream_of(name, APPEND)], messages_of(name, {"id": 1}), io.BytesIO())
    bq = bigquery.client(empty_raw)
    assert bigquery.query(bq, f"select id from raw.`{name}`") == [{"id": 1}]


def bigquery_table(bq: Any, name: str) -> Any:
    from google.cloud.bigquery import SchemaField, Table

    return Table(f"{bq.project}.landing.{name}", schema=[SchemaField("id", "INT64")])


def test_another_cluster_or_a_clock_set_back_is_read_anew(db: psycopg.Connection[Any], connection: Connection) -> None:
    db.execute("insert into things (id) values (gen_random_uuid())")
    connection.sync()
    kept = connection.state["things"]["stream"]["stream_state"]
    for change in ({"cluster": "another"}, {"oldest_running": kept["oldest_running"] + 1_000_000}):
        connection.state["things"]["stream"]["stream_state"] = kept | change
        assert connection.sync() == 1
        assert connection.sync() == 0


def test_a_source_that_dies_lands_nothing_of_the_stream_it_was_in(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("insert into things (id) select gen_random_uuid() from generate_series(1, 20)")
    lines, _ = connection.read()
    cut = lines[: lines.index(b'"type":"STATE"') - 200]
    said, status = connection.write(cut)
    assert status == 1
    assert "ended before things, tree, journal was complete" in said[-1]["trace"]["error"]["message"]
    assert connection.state == {}
    tables = [t.table_id for t in bigquery.client(emulator).list_tables("landing")]
    assert tables == []


def test_a_new_column_widens_the_table_and_a_lost_one_is_an_error(
    db: psycopg.Connection[Any], connection: Connection, emulator: Settings
) -> None:
    db.execute("insert into tree (name) values ('a')")
    connection.sync()
    db.execute("alter table things add color text; insert into things (id, color) values (gen_random_uuid(), 'red')")
    catalog, _ = connection.call(SOURCE, "discover", config=connection.source)
    connection.catalog = configured(catalog[0]["catalog"]["streams"], MODES)
    connection.sync()
    assert [row["color"] for row in landed(emulator, "things")] == ["red"]
    db.execute("alter table things drop color")
    found, done = connection.call(SOURCE, "read", config=connection.source, catalog=connection.catalog)
    assert done.returncode == 1
    error = next(m["trace"]["error"] for m in found if m["type"] == "TRACE" and m["trace"]["type"] == "ERROR")
    assert error["failure_type"] == "config_error"
    assert error["stream_descriptor"]["name"] == "things"
    statuses = [m["trace"]["stream_status"] for m in found if m.get("trace", {}).get("type") == "STREAM_STATUS"]
    ended = {s["stream_descriptor"]["name"]: s["status"] for s in statuses}
    assert ended == {"things": "INCOMPLETE", "tree": "COMPLETE", "journal": "COMPLETE"}, "the other streams go on"
    assert error["message"].startswith("table public.things has no column color any more")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong"}, "refuses the password of user marketplace"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"port": 1}, "does not answer"),
        ({"replication_method": {"method": "CDC"}}, "replication_method 'CDC' is not supported"),
        ({"schemas": ["empty"]}, "can read no table in schema empty"),
        ({"host": ""}, "the configuration lacks host"),
    ],
)
def test_check_says_what_is_wrong(connection: Connection, change: dict[str, Any], message: str) -> None:
    found, done = connection.call(SOURCE, "check", config=connection.source | change)
    assert done.returncode == 0
    status = found[-1]["connectionStatus"]
    assert status["status"] == "FAILED"
    assert message in status["message"]


def test_spec_and_check_of_both(connection: Connection) -> None:
    for module, config in (
        (SOURCE, connection.source),
        ("airbyte.connectors.destination_bigquery", connection.destination),
    ):
        spec, _ = connection.call(module, "spec")
        assert spec[0]["type"] == "SPEC"
        status, _ = connection.call(module, "check", config=config)
        assert status[-1]["connectionStatus"]["status"] == "SUCCEEDED"
    assert messages(b"") == []
