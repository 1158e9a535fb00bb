"""The server as its clients see it: the official SDK, plain HTTP, and the jobs it runs."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from decimal import Decimal
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from faults import syncs
from psycopg import sql

from airbyte import deletion_sweep, raw_gate, source_check
from airbyte.connections import apply, find
from airbyte.connections.api import ApplyError
from airbyte.connections.description import Stream, load
from airbyte.connectors.protocol import TransientError
from airbyte.connectors.source_postgres import locks
from airbyte.deletion_sweep import SweepError, ensure_deleted_at, sweep
from airbyte.raw_gate import problems
from stack import airbyte as server
from stack import bigquery
from stack.airbyte import client_credentials
from stack.failures import FINAL
from stack.settings import Settings
from tests.dbt import raw_tables

ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture
def api(airbyte_server: Settings) -> Iterator[httpx.Client]:
    """Plain HTTP with a token."""
    credentials = client_credentials(airbyte_server)
    form = {"client_id": credentials["AIRBYTE_CLIENT_ID"], "client_secret": credentials["AIRBYTE_CLIENT_SECRET"]}
    with httpx.Client(base_url=airbyte_server.airbyte_url, timeout=60) as client:
        token = client.post("/applications/token", data=form).json()
        assert token["expires_in"] > 60
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        yield client


@pytest.fixture
def connection(marketplace: Settings, airbyte_server: Settings, api: httpx.Client) -> Iterator[str]:
    """The described connection, applied anew."""
    identity = apply.apply(airbyte_server, load())
    yield identity
    api.delete(f"/connections/{identity}")


def sync(api: httpx.Client, connection: str) -> dict[str, Any]:
    """Run a sync to its end."""
    answer = api.post("/jobs", json={"connectionId": connection, "jobType": "sync"})
    assert answer.status_code == 200, answer.text
    return wait(api, answer.json()["jobId"])


def wait(api: httpx.Client, job: int) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while (found := api.get(f"/jobs/{job}").json())["status"] not in ENDED:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return dict(found)


def rows(settings: Settings, question: str) -> list[dict[str, Any]]:
    return bigquery.query(bigquery.client(settings), question)


def test_apply_creates_once_syncs_and_changes_nothing_the_second_time(
    connection: str,
    marketplace: Settings,
    airbyte_server: Settings,
    api: httpx.Client,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert apply.apply(airbyte_server, load()) == connection
    assert capsys.readouterr().out.count("as described") == 3
    assert find.find(airbyte_server, load().name) == connection

    job = sync(api, connection)
    assert job["status"] == "succeeded"
    counts = {s.name: rows(marketplace, f"select count(*) as n from raw.{s.name}")[0]["n"] for s in load().streams}
    assert counts == {**counts, "users": 100, "orders": 500, "order_items": 1200, "payments": 600, "event_log": 1000}
    assert job["rowsSynced"] == sum(counts.values())
    assert job["bytesSynced"] > 100_000
    log = api.get(f"/jobs/{job['jobId']}/log").text
    assert "destination: orders: 500 rows committed" in log
    assert "marketplace_reader_secret" not in log

    assert sync(api, connection)["rowsSynced"] == counts["categories"]
    exact = rows(marketplace, "select sum(total_amount) as total, max(confirmed_at) as confirmed from raw.orders")[0]
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        assert source.execute("select sum(total_amount), max(confirmed_at) from orders").fetchone() == tuple(
            exact.values()
        )


def test_secrets_are_masked_and_kept_when_the_mask_comes_back(connection: str, api: httpx.Client) -> None:
    source = api.get("/sources").json()["data"][0]
    assert source["configuration"]["password"] == "**********"
    api.patch(f"/sources/{source['sourceId']}", json={"configuration": source["configuration"]})
    assert len(api.get("/streams", params={"sourceId": source["sourceId"]}).json()) == 9


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_answered_without_a_token(airbyte_server: Settings, method: str) -> None:
    for headers in ({}, {"Authorization": "Bearer 9999999999.abc"}):
        answer = httpx.request(method, f"{airbyte_server.airbyte_url}/jobs", headers=headers)
        assert answer.status_code == 401
        assert "POST /applications/token" in answer.json()["detail"]
    wrong = httpx.post(
        f"{airbyte_server.airbyte_url}/applications/token", data={"client_id": "x", "client_secret": "y"}
    )
    assert wrong.status_code == 401
    assert httpx.get(f"{airbyte_server.airbyte_url}/health").status_code == 200


def test_credentials_are_readable_by_their_owner_only(airbyte_server: Settings) -> None:
    for name in ("credentials.env", "airbyte.db"):
        assert (airbyte_server.local_dir / "airbyte" / name).stat().st_mode & 0o077 == 0


def test_what_cannot_be_is_refused_with_a_reason(connection: str, api: httpx.Client) -> None:
    for path in ("/sources/none", "/connections/none", "/jobs/987654"):
        assert api.get(path).status_code == 404
    known = api.get(f"/connections/{connection}").json()
    ends = {"sourceId": known["sourceId"], "destinationId": known["destinationId"]}
    for stream, reason in (
        ({"name": "nothing"}, "stream nothing is missing at the source"),
        ({"name": "orders", "syncMode": "full_refresh_update"}, "syncMode full_refresh_update is not supported"),
        ({"name": "orders", "primaryKey": [["nope"]]}, "stream orders has no column nope"),
    ):
        answer = api.post("/connections", json={**ends, "configurations": {"streams": [stream]}})
        assert answer.status_code == 422
        assert reason in answer.json()["detail"]
    assert api.post("/jobs", json={"connectionId": connection, "jobType": "reset"}).status_code == 422
    assert api.delete(f"/sources/{known['sourceId']}").status_code == 409


@contextmanager
def waiting_sync(api: httpx.Client, settings: Settings, connection: str, *after: str) -> Iterator[int]:
    """The job of a sync whose log has said all of `after`, and which waits at the event log until the end of the block."""
    with syncs.held_up(settings, "event_log"):
        job = api.post("/jobs", json={"connectionId": connection}).json()["jobId"]
        deadline = time.monotonic() + 300
        while not all(line in api.get(f"/jobs/{job}/log").text for line in after):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield job


def test_a_second_sync_waits_for_nobody_and_a_cancelled_one_leaves_nothing(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    # Two are committed at once: with the last two all are.
    last = ("reviews: 300 rows committed", "seller_tier_history: 200 rows committed")
    with waiting_sync(api, airbyte_server, connection, *last) as job:
        second = api.post("/jobs", json={"connectionId": connection})
        assert second.status_code == 409
        assert "already running" in second.json()["detail"]
        assert api.get(f"/jobs/{job}").json()["status"] == "running"
        group = _group(job)
        assert len(group) == 3, "worker, source, destination"
        assert api.delete(f"/jobs/{job}").json()["status"] == "cancelled"
        assert not any(process.is_running() and process.status() != "zombie" for process in group)
    assert api.get(f"/jobs/{job}").json()["status"] == "cancelled"
    tables = [table.table_id for table in bigquery.client(marketplace).list_tables("raw")]
    assert not [name for name in tables if name.startswith("_")]
    done = sync(api, connection)
    assert done["status"] == "succeeded"
    assert rows(marketplace, "select count(*) as n, count(distinct id) as k from raw.event_log")[0] == {
        "n": 1000,
        "k": 1000,
    }
    assert done["rowsSynced"] < 1200, "streams that were committed before the cancellation are not read again"


def test_a_deleted_connections_sync_is_cancelled(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    with waiting_sync(api, airbyte_server, connection, "users: 100 rows committed") as job:
        group = _group(job)
        assert api.delete(f"/connections/{connection}").status_code == 200
        assert not any(process.is_running() and process.status() != "zombie" for process in group)
    assert api.get(f"/jobs/{job}").json()["status"] == "cancelled"


def _group(job: int) -> list[psutil.Process]:
    workers = [
        p
        for p in psutil.process_iter(["cmdline"])
        if {"airbyte.server.worker", str(job)} <= {*syncs.words(p.info["cmdline"])}
    ]
    return [p for p in psutil.process_iter() if os.getpgid(p.pid) == workers[0].pid]


def test_a_killed_server_forgets_nothing_and_its_job_is_failed(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    with waiting_sync(api, airbyte_server, connection, "payments: 600 rows committed") as job:
        running = server.process(airbyte_server).running()
        assert running is not None
        for process in [*_group(job), running]:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs([running], timeout=10)
        assert server.start(airbyte_server)
    assert api.get(f"/jobs/{job}").json()["status"] == "failed"
    assert sync(api, connection)["status"] == "succeeded"
    counts = {s.name: rows(marketplace, f"select count(*) as n from raw.{s.name}")[0]["n"] for s in load().streams}
    assert counts == {**counts, "orders": 500, "order_items": 1200, "payments": 600, "event_log": 1000}


def test_a_job_says_why_it_failed_and_the_raw_gate_stops_for_a_column_that_models_need(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        source.execute("alter table reviews drop column body")
        source.execute("alter table categories rename to departments")
    job = sync(api, connection)
    assert job["status"] == "failed"
    log = api.get(f"/jobs/{job['jobId']}/log").text
    assert "error: stream categories stops: its table is missing at the source" in log
    assert "warning: column body of reviews is gone at the source" in log
    assert rows(marketplace, "select count(*) as n from raw.reviews")[0]["n"] == 300, "other streams go on"
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        source.execute("alter table departments rename to categories")
    assert sync(api, connection)["status"] == "succeeded"
    ensure_deleted_at(bigquery.client(marketplace))
    _loaded_rates(marketplace)
    assert problems(marketplace)[1] == ["the source's table reviews lacks the column body: see source/schema.sql"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("drop table reviews cascade", "the source lacks the table reviews"),
        ("alter table orders drop column currency", "the source's table orders lacks the column currency"),
        ("drop schema public cascade; create schema public", "the source has no table that may be read"),
    ],
)
def test_apply_says_what_the_source_lacks(
    marketplace: Settings, airbyte_server: Settings, change: str, reason: str
) -> None:
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        source.execute(change.encode())
    with pytest.raises(ApplyError, match=reason):
        apply.apply(airbyte_server, load())


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("mysql://a@b/c", "SOURCE_DSN must look like"),
        ("postgresql://marketplace:wrong@127.0.0.1:{port}/marketplace", "refuses the password of user marketplace"),
        ("postgresql://a:b@127.0.0.1:1/c", "does not answer"),
        (
            "postgresql://a:b@127.0.0.1:1/c?sslmode=verify-full",
            "sslmode must be one of disable, allow, prefer, require;",
        ),
    ],
)
def test_apply_says_what_is_wrong_with_source_dsn(
    marketplace: Settings, airbyte_server: Settings, monkeypatch: pytest.MonkeyPatch, dsn: str, reason: str
) -> None:
    from stack import settings

    monkeypatch.setenv("SOURCE_DSN", dsn.format(port=airbyte_server.postgres_port))
    with pytest.raises(ApplyError, match=reason):
        apply.apply(settings.load(), load())


def test_rows_deleted_at_the_source_are_marked_and_live_again_when_they_come_back(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    sync(api, connection)
    assert sum(sweep(marketplace).values()) == 0
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        gone = source.execute(
            "delete from payments where id in (select id from payments order by id limit 3) returning *"
        ).fetchall()
        source.execute("delete from event_log where id = 7")
    sync(api, connection)
    before = rows(marketplace, "select max(_airbyte_extracted_at) as at from raw.payments")[0]["at"]
    assert {table: n for table, n in sweep(marketplace).items() if n} == {"payments": 3, "event_log": 1}
    dead = rows(marketplace, "select id, _airbyte_extracted_at as at from raw.payments where _deleted_at is not null")
    assert {row["id"] for row in dead} == {str(row[0]) for row in gone}
    assert min(row["at"] for row in dead) > before
    assert sum(sweep(marketplace).values()) == 0, "nothing is marked twice"
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        source.execute(f"insert into payments values ({', '.join(['%s'] * len(gone[0]))})", gone[0])
    sync(api, connection)
    assert sum(sweep(marketplace).values()) == 0
    live = rows(
        marketplace,
        "select count(*) as n from raw.payments where _deleted_at is null or _airbyte_extracted_at > _deleted_at",
    )
    assert live[0]["n"] == 598
    _loaded_rates(marketplace)
    assert problems(marketplace)[1] == []


def test_a_row_that_lands_while_keys_are_compared_is_not_marked(
    connection: str,
    marketplace: Settings,
    api: httpx.Client,
    airbyte_server: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One row that is new, and one logged anew under the number of one that was deleted."""
    sync(api, connection)
    load_keys = deletion_sweep._load_keys
    with psycopg.connect(airbyte_server.admin_dsn, autocommit=True) as source:
        source.execute("delete from event_log where id in (7, 8)")

        def landing(bq: Any, staging: str, keys: list[str]) -> None:
            for key in (7, 5000):
                source.execute(
                    "insert into event_log (id, event_type, entity_type, entity_id, event_data, event_timestamp) "
                    "values (%s, 'late', 'order', gen_random_uuid(), '{}', now())",
                    [key],
                )
            sync(api, connection)
            load_keys(bq, staging, keys)

        monkeypatch.setattr(deletion_sweep, "_load_keys", landing)
        assert {table: n for table, n in sweep(marketplace).items() if n} == {"event_log": 1}
        monkeypatch.undo()
    live = rows(
        marketplace, f"select distinct id from raw.event_log where {deletion_sweep.LIVE} and id in (7, 8, 5000)"
    )
    assert sorted(row["id"] for row in live) == [7, 5000]
    assert sum(sweep(marketplace).values()) == 0


def test_a_table_that_is_written_anew_meanwhile_is_not_taken_for_an_empty_one(
    connection: str,
    marketplace: Settings,
    api: httpx.Client,
    airbyte_server: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its snapshot was taken, an ALTER TABLE that moves the rows would hide them all from it."""
    sync(api, connection)
    sweep_table = deletion_sweep._sweep_table
    refused: list[str] = []
    with psycopg.connect(airbyte_server.admin_dsn, autocommit=True) as source:
        source.execute("set lock_timeout = '300ms'")
        rewrite = "alter table categories alter column name type varchar(250)", "vacuum full categories"

        def sweeping(bq: Any, connected: Any, stream: Stream, *rest: Any) -> int:
            connected.execute("select 1")
            if stream.name == "categories":
                for statement in rewrite:
                    try:
                        source.execute(statement)
                    except psycopg.errors.LockNotAvailable:
                        refused.append(statement)
            return sweep_table(bq, connected, stream, *rest)

        monkeypatch.setattr(deletion_sweep, "_sweep_table", sweeping)
        assert sum(sweep(marketplace).values()) == 0
        assert refused == [*rewrite]
        # And the other way round: it waits for such a statement, and says what it waited for.
        monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.2)
        with source.transaction():
            source.execute("lock table categories in access exclusive mode")
            with pytest.raises(TransientError, match="table categories is locked at the source"):
                sweep(marketplace)


THINGS = Stream("things", "incremental_deduped_history", ("id",), ("id",), "")


@pytest.fixture
def swept(postgres: Settings, empty_raw: Settings) -> Iterator[Callable[[], int]]:
    """A sweep of nine things, of which 4, 8 and 9 are gone from the source."""
    bq = bigquery.client(empty_raw)
    bigquery.query(
        bq,
        "create table raw.things as select id, timestamp '2026-01-01 00:00:00+00' as _airbyte_extracted_at, "
        "cast(null as timestamp) as _deleted_at from unnest(generate_array(1, 9)) as id",
    )
    landed = deletion_sweep.Landed(9, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    with psycopg.connect(postgres.admin_dsn) as source:
        source.execute("create table public.things as select id from generate_series(1, 7) as id where id <> 4")
        yield lambda: deletion_sweep._sweep_table(bq, source, THINGS, landed, force=False)
        source.rollback()


def test_keys_of_more_than_one_batch_are_compared(
    swept: Callable[[], int], emulator: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_sweep, "KEYS_AT_ONCE", 2)
    assert swept() == 3
    gone = rows(emulator, "select id from raw.things where _deleted_at is not null order by id")
    assert [row["id"] for row in gone] == [4, 8, 9]
    assert [table.table_id for table in bigquery.client(emulator).list_tables("raw")] == ["things"]


def test_two_sweeps_at_once_do_not_take_each_others_keys_which_go_by_themselves_when_one_is_killed(
    swept: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_keys, marked = deletion_sweep._load_keys, []

    def meanwhile(bq: Any, staging: str, keys: Any) -> None:
        load_keys(bq, staging, keys)
        monkeypatch.setattr(deletion_sweep, "_load_keys", load_keys)
        marked.append(swept())
        lives = bq.get_table(staging).expires - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(hours=23) < lives <= datetime.timedelta(hours=24)

    monkeypatch.setattr(deletion_sweep, "_load_keys", meanwhile)
    assert [swept(), *marked] == [0, 3], "the second one has marked them"


def test_the_source_is_read_where_the_sync_reads_it_wherever_the_login_looks_first(
    connection: str, marketplace: Settings, api: httpx.Client
) -> None:
    sync(api, connection)
    _loaded_rates(marketplace)
    with psycopg.connect(marketplace.admin_dsn, autocommit=True) as source:
        reader = sql.Identifier(marketplace.source_reader_user)
        source.execute("delete from public.event_log where id = 7")
        source.execute(sql.SQL("alter role {} set search_path = pg_catalog").format(reader))
        try:
            assert source_check.problem(marketplace, load()) is None
            assert sweep(marketplace)["event_log"] == 1
            assert problems(marketplace)[1] == []
        finally:
            source.execute(sql.SQL("alter role {} reset search_path").format(reader))


def things(settings: Settings, rows: int, extracted_at: str = "2026-01-01") -> deletion_sweep.Landed:
    """raw.things with so many rows, as a sync of that moment leaves them."""
    bigquery.query(
        bigquery.client(settings),
        f"create or replace table raw.things as select id, timestamp '{extracted_at} 00:00:00+00' as _airbyte_extracted_at, "
        f"cast(null as timestamp) as _deleted_at from unnest(generate_array(1, {rows})) as id",
    )
    return deletion_sweep.Landed(rows, datetime.datetime.fromisoformat(f"{extracted_at}T00:00:00Z"))


@pytest.mark.parametrize(
    ("landed", "first", "last", "gone"),
    [
        # More than a fifth of a small table, and more than a hundred of a large one, are a day's business.
        (150, 1, 60, 90),
        (1000, 1, 800, 200),
        (1000, 1, 799, None),
        (150, 1, 49, None),
        # The source has grown meanwhile by more than it has lost.
        (150, 3, 400, 2),
    ],
)
def test_what_is_gone_is_marked_unless_it_is_suspiciously_much(
    postgres: Settings, empty_raw: Settings, landed: int, first: int, last: int, gone: int | None
) -> None:
    before = things(empty_raw, landed)
    with psycopg.connect(postgres.admin_dsn) as source:
        source.execute("create table public.things as select generate_series(%s::int, %s::int) as id", (first, last))
        with pytest.raises(SweepError, match="are gone from the source") if gone is None else nullcontext():
            assert deletion_sweep._sweep_table(bigquery.client(empty_raw), source, THINGS, before, False) == gone
        source.rollback()
    marked = rows(empty_raw, "select count(*) as n from raw.things where _deleted_at is not null")
    assert marked == [{"n": gone or 0}]


def test_a_row_that_landed_by_a_clock_that_is_ahead_is_dead_all_the_same(
    postgres: Settings, empty_raw: Settings
) -> None:
    before = things(empty_raw, 3, "2099-01-01")
    with psycopg.connect(postgres.admin_dsn) as source:
        source.execute("create table public.things as select 2 as id")
        assert deletion_sweep._sweep_table(bigquery.client(empty_raw), source, THINGS, before, False) == 2
        source.rollback()
    assert rows(empty_raw, f"select id from raw.things where {deletion_sweep.LIVE}") == [{"id": 2}]


def test_the_raw_gate_judges_each_table_by_its_live_rows(
    marketplace: Settings, postgres: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bq = bigquery.client(marketplace)
    now = datetime.datetime.now(datetime.UTC)
    with psycopg.connect(postgres.admin_dsn) as source:
        keys = {
            table: [row[0] for row in source.execute(f"select id::text from {table} order by id".encode())]
            for table in raw_tables.COLUMNS
        }
    raw_tables.replace(
        bq,
        {table: [{"id": key, "_airbyte_extracted_at": now} for key in found] for table, found in keys.items()}
        | {"ecb_fx_rates": [{"rate_date": now.date(), "currency": "USD", "units_per_eur": 1}]},
    )
    assert problems(marketplace) == (sum(map(len, keys.values())), [])
    # A log has a row a change; and some rows less are what has come since the sync.
    rows(marketplace, "insert into raw.event_log select * from raw.event_log where id <= 50")
    rows(marketplace, "update raw.event_log set _deleted_at = _airbyte_extracted_at where id > 900")
    rows(marketplace, "delete from raw.reviews where id in (select id from raw.reviews order by id limit 60)")
    assert problems(marketplace)[1] == []
    rows(marketplace, "delete from raw.categories where true")
    rows(marketplace, "update raw.payments set _deleted_at = _airbyte_extracted_at where id >= '4'")
    live = rows(marketplace, "select count(*) as n from raw.payments where _deleted_at is null")[0]["n"]
    rows(marketplace, "insert into raw.event_log (event_type) values ('a'), ('b')")
    expected = [
        f"raw.categories has 0 rows, the source {len(keys['categories'])}: sync again",
        f"raw.payments has {live} rows, the source {len(keys['payments'])}: sync again",
        "raw.event_log has 2 rows without a key",
    ]
    assert sorted(problems(marketplace)[1]) == sorted(expected)
    monkeypatch.setattr("sys.argv", ["raw_gate"])
    assert raw_gate.main() == FINAL, "another try finds the same"
    assert expected[0] in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DSN", "postgresql://reader:secret@127.0.0.1:1/shop")
    assert raw_gate.main() == 1, "the source may answer again"


def _loaded_rates(settings: Settings) -> None:
    from airbyte.loaders import ecb_fx_rates

    ecb_fx_rates.load(bigquery.client(settings))


def test_a_source_that_lost_too_much_is_not_swept(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    sync(api, connection)
    with psycopg.connect(airbyte_server.admin_dsn) as source:
        source.execute("delete from event_log where id > 300")
    with pytest.raises(SweepError, match="700 of 1,000 rows of event_log are gone from the source"):
        sweep(marketplace)
    assert sweep(marketplace, force=True)["event_log"] == 700


def test_the_raw_gate_names_what_is_missing_or_poor(
    connection: str, marketplace: Settings, api: httpx.Client, airbyte_server: Settings
) -> None:
    sync(api, connection)
    ensure_deleted_at(bigquery.client(marketplace))
    assert "ecb_fx_rates" in problems(marketplace)[1][0]
    _loaded_rates(marketplace)
    assert problems(marketplace) == (rows(marketplace, "select 4014 as n")[0]["n"], [])
    rows(marketplace, "delete from raw.orders where true")
    assert problems(marketplace)[1] == ["raw.orders has 0 rows, the source 500: sync again"]
    rows(marketplace, "insert into raw.users (id) select id from raw.users limit 2")
    rows(marketplace, "delete from raw.event_log where id > 500")
    assert problems(marketplace)[1] == [
        "raw.users has 2 rows more than keys: a key landed twice",
        "raw.orders has 0 rows, the source 500: sync again",
        "raw.event_log has 500 rows, the source 1,000: sync again",
    ]


def test_the_rates_of_the_ecb_land_once_and_a_correction_lands(emulator: Settings) -> None:
    from airbyte.loaders import ecb_fx_rates

    bq = bigquery.client(emulator)
    bigquery.create_datasets(bq, emulator.bigquery_location)
    bq.delete_table("raw.ecb_fx_rates", not_found_ok=True)
    landed = ecb_fx_rates.load(bq)
    assert landed == len(list(ecb_fx_rates.published())) > 200_000
    assert ecb_fx_rates.load(bq) == 0
    rows(emulator, "delete from raw.ecb_fx_rates where rate_date >= date '2026-10-29'")
    rows(
        emulator,
        "update raw.ecb_fx_rates set units_per_eur = 9 where currency = 'USD' and rate_date = date '2024-03-01'",
    )
    assert 50 < ecb_fx_rates.load(bq) < 100
    assert ecb_fx_rates.load(bq) == 0
    usd = rows(
        emulator,
        "select cast(units_per_eur as string) as r from raw.ecb_fx_rates where currency = 'USD' and rate_date = date '2024-03-01'",
    )
    assert usd[0]["r"].startswith("1.0")


def test_two_loads_of_the_rates_at_once_land_them_once(empty_raw: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from airbyte.loaders import ecb_fx_rates

    bq = bigquery.client(empty_raw)
    rate = (datetime.date(2026, 10, 1), "USD", Decimal("1.1"))
    load_staging, landed = ecb_fx_rates._load_staging, []

    def meanwhile(*arguments: Any) -> None:
        load_staging(*arguments)
        monkeypatch.setattr(ecb_fx_rates, "_load_staging", load_staging)
        landed.append(ecb_fx_rates.load(bq))

    monkeypatch.setattr(ecb_fx_rates, "published", lambda _: iter([rate]))
    monkeypatch.setattr(ecb_fx_rates, "_load_staging", meanwhile)
    assert [ecb_fx_rates.load(bq), *landed] == [0, 1]
    assert [table.table_id for table in bq.list_tables("raw")] == ["ecb_fx_rates"]


def test_the_ecb_parser_takes_gaps() -> None:
    from airbyte.loaders.ecb_fx_rates import parse

    found = list(parse("Date,USD,HRK,\n2024-01-02,1.0956,N/A,\n2024-01-03,1.0919,,\n"))
    assert [(str(day), currency, str(rate)) for day, currency, rate in found] == [
        ("2024-01-02", "USD", "1.0956"),
        ("2024-01-03", "USD", "1.0919"),
    ]
