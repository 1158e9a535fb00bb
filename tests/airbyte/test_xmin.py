"""Which rows are unseen on clusters past 2^31 and 2^32 transactions: by numbers written down, and on a cluster whose counter was set."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import orjson
import psycopg
import pytest
from programs import configured, source_config
from psycopg import sql

from airbyte.connectors.protocol import Json, Output, configured_streams
from airbyte.connectors.source_postgres.connector import SourcePostgres
from airbyte.connectors.source_postgres.xmin import Snapshot, XminState, to_be_listed, unseen
from stack import postgres as service
from stack.processes import free_port
from stack.settings import Settings

WRAP = 1 << 32
# The transactions of one of the server's files of outcomes, and its bytes.
OUTCOMES, OUTCOMES_BYTES = 0x100000, 1 << 18


def met(db: psycopg.Connection[Any], condition: sql.Composable, *numbers: int) -> list[int]:
    """The numbers whose rows meet the condition."""
    rows = sql.SQL(", ").join(sql.SQL("({}::xid)").format(sql.Literal(str(number % WRAP))) for number in numbers)
    question = sql.SQL("select xmin::text::bigint from (values {}) as t (xmin) where {}").format(rows, condition)
    return [row[0] for row in db.execute(question)]


def test_a_frozen_row_is_old_however_long_ago_it_was_written(postgres: Settings) -> None:
    """Seen from 2^31 + 5 transactions after it, a row's number is the one 2^31 - 5 ahead of the counter."""
    with psycopg.connect(postgres.admin_dsn) as db:
        now = Snapshot.of(db)
        bound = now.next_transaction - 10
        condition = unseen(XminState(bound, (), now.cluster, 0), now, {}, ())
        assert condition is not None
        written = {ago: (now.next_transaction - ago) % WRAP for ago in (1, 9, 10, 11, 1000, WRAP // 2 + 5, WRAP - 1000)}
        found = met(db, condition, *written.values(), 2)
        assert found == [written[ago] for ago in (1, 9, 10)]


@pytest.mark.parametrize(
    ("oldest_running", "next_transaction", "listed"),
    [
        (1000, 1000, None),
        (1000, 1010, [1000, 1009]),
        # A row of the very beginning is frozen by now.
        (3_000_000_000, 3_000_000_010, [3_000_000_000, 3_000_000_009]),
        # It has the number of a transaction that runs.
        (WRAP + 5, WRAP + 10, None),
        (WRAP - 5, WRAP + 5, None),
    ],
)
def test_no_transaction_is_listed_as_seen_that_may_still_run(
    postgres: Settings, oldest_running: int, next_transaction: int, listed: list[int] | None
) -> None:
    condition = to_be_listed(Snapshot(oldest_running, next_transaction, ""))
    if condition is None:
        assert listed is None
        return
    with psycopg.connect(postgres.admin_dsn) as db:
        rows = (2, 7, oldest_running - 1, oldest_running, next_transaction - 1)
        assert met(db, condition, *rows) == listed


@pytest.fixture
def own_cluster(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A cluster whose counter may be set."""
    own = replace(settings, local_dir=tmp_path, postgres_port=free_port())
    service.start(own)
    yield own
    service.stop(own)
    service.remove(own)


def run(settings: Settings, statement: LiteralString, database: str = "") -> None:
    dsn = psycopg.conninfo.make_conninfo(settings.admin_dsn, dbname=database or settings.postgres_db)
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(statement)


def set_counter(settings: Settings, transaction: int) -> None:
    """The next transaction is this one (64 bits), and every row there is frozen."""
    run(settings, "alter database template0 allow_connections true")
    for database in ("template0", "template1", settings.postgres_db, "postgres"):
        run(settings, "vacuum (freeze)", database)
    service.stop(settings)
    data = service.home(settings) / "data"
    owner = data.stat()
    epoch, number = divmod(transaction, WRAP)
    options = ["-f", "-D", data, "-x", number, "-e", epoch, "-u", (transaction - 100_000) % WRAP]
    command = [service.program(settings, "pg_resetwal"), *map(str, options)]
    # It refuses to run as root.
    identity: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    subprocess.run(command, cwd=data, check=True, capture_output=True, **(identity if os.geteuid() == 0 else {}))
    outcomes = data / "pg_xact" / f"{number // OUTCOMES:04X}"
    if not outcomes.exists():
        outcomes.write_bytes(bytes(OUTCOMES_BYTES))
        os.chown(outcomes, owner.st_uid, owner.st_gid)
    service.start(settings)


def read(settings: Settings, state: Json) -> tuple[list[int], Json]:
    """The ids that a sync of the table without a key reads from `state` on ({} for the first), and the state after it."""
    source, config, said = SourcePostgres(), source_config(settings), io.BytesIO()
    catalog = configured(source.discover(config), {"journal": ("incremental", "append")})
    source.read(config, configured_streams(catalog), {"journal": state}, Output(said))
    messages = [orjson.loads(line) for line in said.getvalue().splitlines()]
    ids = [message["record"]["data"]["id"] for message in messages if message["type"] == "RECORD"]
    (reached,) = [m["state"]["stream"]["stream_state"] for m in messages if m["type"] == "STATE"]
    return sorted(ids), reached


def test_nothing_is_lost_nor_read_at_every_sync_however_many_transactions_there_were(own_cluster: Settings) -> None:
    run(own_cluster, "create table journal (id int)")
    with psycopg.connect(own_cluster.admin_dsn, autocommit=True) as db:
        # Some numbers in a row: starting the server takes one or two.
        first = Snapshot.of(db).next_transaction
        for number in range(20):
            db.execute("insert into journal values (%s)", [number])
    # Steps that are shorter than what the server itself can compare.
    for transaction in (1200 * OUTCOMES, 2400 * OUTCOMES):
        set_counter(own_cluster, transaction)
    ids, state = read(own_cluster, {})
    assert ids == list(range(20))
    with psycopg.connect(own_cluster.admin_dsn) as late:
        late.execute("insert into journal values (101)")
        run(own_cluster, "insert into journal values (102)")
        ids, state = read(own_cluster, state)
        assert ids == [102]
    ids, state = read(own_cluster, state)
    assert ids == [101], "each once"

    set_counter(own_cluster, 3600 * OUTCOMES)
    ids, state = read(own_cluster, state)
    assert ids == []
    set_counter(own_cluster, WRAP + first)
    with psycopg.connect(own_cluster.admin_dsn) as late:
        late.execute("insert into journal values (103)")
        same = "select count(*) from journal where xmin::text = (select xmin::text from journal where id = 103)"
        assert late.execute(same).fetchone() == (2,), "a frozen row has the running transaction's number"
        run(own_cluster, "insert into journal values (104)")
        ids, state = read(own_cluster, state)
        assert [number for number in ids if number > 100] == [104]
    ids, state = read(own_cluster, state)
    assert [number for number in ids if number > 100] == [103, 104], "104 comes again, lest 103 be lost"
    ids, state = read(own_cluster, state)
    assert [number for number in ids if number > 100] == []
