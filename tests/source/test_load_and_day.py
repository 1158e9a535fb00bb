"""Loading and business days, on a real Postgres: what the ledger says is what the database holds, and what a day changed is what it noted."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from source import day, load, traps
from source.tables import TYPES
from stack import summary
from stack.settings import ROOT, Settings
from tests.source_database import emptied

Snapshot = dict[str, dict[str, str]]


@pytest.fixture
def empty(postgres: Settings) -> Iterator[Settings]:
    emptied(postgres)
    yield postgres
    emptied(postgres)


def run(settings: Settings, ledger: Path, *arguments: str) -> int:
    return load.main([*arguments, "--dsn", settings.admin_dsn, "--ledger", str(ledger)])


def snapshot(settings: Settings) -> Snapshot:
    """{table: {key: the whole row as text}}."""
    with psycopg.connect(settings.admin_dsn) as connection:
        return {
            table: dict(connection.execute(f"select id::text, t::text from {table} as t").fetchall()) for table in TYPES
        }


def count(settings: Settings, question: str) -> int:
    with psycopg.connect(settings.admin_dsn) as connection:
        return connection.execute(question).fetchone()[0]  # type: ignore[index]


def test_the_ledger_has_every_trap_and_the_database_every_row(empty: Settings, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    assert run(empty, ledger, "--scale", "0.02") == 0
    planted = {name: trap["count"] for name, trap in json.loads(ledger.read_text())["traps"].items()}
    # 20 blocks: rates as the generator's docstring states them.
    # The late transactions are the days'.
    assert [name for name, count in planted.items() if not count] == ["late_committed_orders"]
    assert planted["several_currencies_orders"] == 4
    assert planted["replayed_payments"] == 60
    assert planted["payment_events"] == 1140
    assert planted["null_event_id"] == 10
    assert (planted["fx_missing_orders"], planted["total_mismatch_orders"]) == (1, 1)
    assert (planted["future_updated_at_products"], planted["draft_products"]) == (1, 5)
    assert planted["null_shipping_country_orders"] == 25
    assert planted["out_of_order_events"] == 200
    rows = {table: len(found) for table, found in snapshot(empty).items()}
    assert rows == {**rows, "users": 200, "orders": 1000, "order_items": 2400, "payments": 1200, "event_log": 2000}
    # What COPY wrote without checks is what the constraints demand.
    with psycopg.connect(empty.admin_dsn) as connection:
        constraints = connection.execute(
            "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint "
            "where contype in ('f', 'c') and connamespace = 'public'::regnamespace"
        ).fetchall()
        assert len(constraints) > 15
        for table, name, definition in constraints:
            connection.execute(f"alter table {table} drop constraint {name}")
            connection.execute(f"alter table {table} add constraint {name} {definition}")
        connection.rollback()
    with psycopg.connect(empty.admin_dsn) as connection:
        assert connection.execute(
            "insert into categories (name, slug, level) values ('x', 'x', 1) returning id"
        ).fetchone() == (65,)
        connection.rollback()


def test_the_smallest_marketplace_has_every_trap(empty: Settings, tmp_path: Path) -> None:
    assert run(empty, tmp_path / "ledger.json", "--scale", "0.01") == 0
    with psycopg.connect(empty.admin_dsn) as connection:
        found = traps.keys(connection)
        counted = {name: trap["count"] for name, trap in traps.count(connection).items()}
    assert [name for name, keys in found.items() if not keys] == ["late_committed_orders"]
    assert counted == {name: len(keys) for name, keys in found.items()}


def test_values_survive_the_binary_format(empty: Settings, tmp_path: Path) -> None:
    run(empty, tmp_path / "ledger.json", "--scale", "0.01")
    assert (
        count(
            empty,
            "select count(*) from orders where total_amount <> subtotal_amount + coalesce(shipping_amount, 0) + tax_amount - coalesce(discount_amount, 0)",
        )
        == 1
    )
    assert count(empty, "select count(*) from products where attributes ->> 'colour' in ('red', 'blau', '緑')") == 50
    assert count(empty, "select count(*) from products where tags = array['hand made', 'x\"y']") > 0
    assert count(empty, "select count(*) from products where tags = '{}'") > 0
    assert (
        count(
            empty,
            "select count(*) from orders where confirmed_at between (created_at at time zone 'UTC') and (created_at at time zone 'UTC') + interval '3 hours'",
        )
        > 400
    )
    assert count(empty, "select count(*) from orders where shipping_city = 'São Paulo'") > 0
    assert count(empty, "select count(*) from products where description = E'Line one\\nline two'") > 0


def test_a_second_load_of_the_same_does_nothing_and_another_one_is_refused(
    empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "ledger.json"
    run(empty, ledger, "--scale", "0.01")
    before = snapshot(empty)
    assert run(empty, ledger, "--scale", "0.01") == 0
    assert run(empty, ledger) == 0, "without a scale the source stays what it is"
    assert run(empty, ledger, "--scale", "0.02") == 1
    assert (
        "error: the source already holds scale 0.01, seed 42, not scale 0.02, seed 42: run `make clean-data`"
        in capsys.readouterr().err
    )
    assert snapshot(empty) == before


@pytest.mark.parametrize("table", ["users", "orders", "order_items"])
def test_a_killed_load_leaves_an_empty_database_and_the_next_one_works(
    empty: Settings, tmp_path: Path, table: str
) -> None:
    ledger = tmp_path / "ledger.json"
    command = [sys.executable, "-m", "source.load", "--scale", "0.5", "--dsn", empty.admin_dsn, "--ledger", str(ledger)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    # What stands in the transaction when the kill comes: this table and those before it.
    assert any(line.startswith(f"{table} ") for line in process.stdout)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the load was still under way"
    assert run(empty, ledger, "--scale", "0.01") == 0
    assert count(empty, "select count(*) from orders") == 500


def test_a_folder_of_sql_files_loads_whole_or_not_at_all(
    empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "1_schema.sql").write_text(
        'create extension "uuid-ossp"; create table a (id uuid default uuid_generate_v4(), n int);'
    )
    (folder / "2_data.sql").write_text("copy a (n) from stdin;\n1\n2\n\\.\ncommit;\n")
    (folder / "3_bad.sql").write_text("insert into nowhere values (1);")
    ledger = tmp_path / "ledger.json"
    with psycopg.connect(empty.admin_dsn, autocommit=True) as connection:
        connection.execute("create role looks_on; grant usage on schema public to looks_on")
    rights = "select string_agg(acl::text, ' ' order by acl::text) from pg_namespace, unnest(nspacl) as acl where nspname = 'public'"
    before = count(empty, rights)
    assert run(empty, ledger, "--sql", str(folder)) == 1
    assert 'relation "nowhere" does not exist' in capsys.readouterr().err
    assert count(empty, "select count(*) from pg_tables where schemaname = 'public'") == 0
    assert count(empty, rights) == before
    with psycopg.connect(empty.admin_dsn, autocommit=True) as connection:
        connection.execute("revoke all on schema public from looks_on; drop role looks_on")
    (folder / "3_bad.sql").unlink()
    assert run(empty, ledger, "--sql", str(folder)) == 0
    assert count(empty, "select count(*) from a") == 2
    assert run(empty, ledger, "--sql", str(folder)) == 0
    assert count(empty, "select count(*) from a") == 2
    assert not ledger.exists()


def test_of_two_loads_at_once_the_second_finds_the_first_ones_work_and_no_command_line_has_the_password(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    # The second load finds the database empty for as long as the first one's transaction is open.
    (folder / "1.sql").write_text("create table a (n int); select pg_sleep(1); insert into a values (1);")
    commands: list[list[str]] = []
    run_program = subprocess.run

    def noting(command: list[str], **named: Any) -> Any:
        commands.append(command)
        return run_program(command, **named)

    monkeypatch.setattr(subprocess, "run", noting)
    with ThreadPoolExecutor(2) as loads:
        assert list(loads.map(lambda n: run(empty, tmp_path / f"{n}.json", "--sql", str(folder)), (1, 2))) == [0, 0]
    assert count(empty, "select count(*) from a") == 1
    assert len(commands) == 1
    assert not [word for word in commands[0] if empty.postgres_password in word]


def test_a_database_that_cannot_be_reached_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dsn = "postgresql://nobody:x@127.0.0.1:1/nowhere"
    for program in (load, day):
        assert program.main(["--dsn", dsn, "--ledger", str(tmp_path / "l.json")]) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: Postgres")


def test_a_day_notes_every_key_that_it_touched_and_nothing_else(empty: Settings, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.json"
    run(empty, ledger, "--scale", "0.02")
    for number in (1, 2, 3):
        before = snapshot(empty)
        assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(ledger)]) == 0
        after = snapshot(empty)
        noted = json.loads(ledger.read_text())["days"][-1]
        assert noted["number"] == number
        for table in TYPES:
            old, new = before[table], after[table]
            really = {
                "inserted": sorted(new.keys() - old.keys()),
                "updated": sorted(k for k in new.keys() & old.keys() if new[k] != old[k]),
                "deleted": sorted(old.keys() - new.keys()),
            }
            assert noted["touched"].get(table, {"inserted": [], "updated": [], "deleted": []}) == really, (
                number,
                table,
            )
        kinds = {(table, kind) for table, kinds in noted["touched"].items() for kind, keys in kinds.items() if keys}
        assert kinds >= {
            *(
                (table, "inserted")
                for table in ("orders", "order_items", "payments", "seller_tier_history", "event_log")
            ),
            *((table, "updated") for table in ("orders", "payments", "seller_tier_history", "users", "products")),
            *((table, "deleted") for table in ("orders", "order_items", "payments", "reviews")),
        }
    late = [k for k in after["orders"].values() if "-L0" in k]
    assert len(late) == 3, "one transaction a day commits after the others"
    planted: dict[str, Any] = json.loads(ledger.read_text())["traps"]
    assert planted["deleted_rows"]["count"] > 6
    assert planted["future_updated_at_products"]["count"] == 4
    assert planted["late_committed_orders"]["count"] == 3


@pytest.mark.parametrize("orders", [12, 500])
def test_no_day_deletes_a_row_that_a_day_has_inserted(empty: Settings, tmp_path: Path, orders: int) -> None:
    """It may never have landed: no sync comes between these days. With few orders, a replay is soon of one that is to be deleted."""
    path = tmp_path / "ledger.json"
    run(empty, path, "--scale", "0.01")
    with psycopg.connect(empty.admin_dsn) as connection:
        gone = "select id from orders order by order_number offset %s"
        items = f"select id from order_items where order_id in ({gone})"
        connection.execute(f"delete from reviews where order_item_id in ({items})", [orders])
        for table, key in (("order_items", "order_id"), ("payments", "order_id"), ("orders", "id")):
            connection.execute(f"delete from {table} where {key} in ({gone})", [orders])
    landed = {f"{table} {key}" for table, rows in snapshot(empty).items() for key in rows}
    for _ in range(7):
        assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(path)]) == 0
    book = json.loads(path.read_text())
    assert traps.deleted(book) <= landed
    assert {key.split()[0] for key in traps.deleted(book)} == {"orders", "order_items", "payments", "reviews"}


def test_a_day_that_was_killed_before_it_wrote_the_ledger_is_in_the_next_one_that_is_written(
    empty: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.json"
    run(empty, path, "--scale", "0.01")
    of_the_day = {"dsn": empty.admin_dsn, "seed": 42}
    first = day.play(**of_the_day)
    assert run(empty, path) == 0
    book = json.loads(path.read_text())
    assert book["days"] == [first]
    assert book["traps"]["deleted_rows"]["count"] == len(traps.deleted(book)) > 0
    written = path.stat()
    assert run(empty, path) == 0
    assert path.stat() == written, "every row is counted again only when a day is missing"
    second = day.play(**of_the_day)
    assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(path)]) == 0
    assert json.loads(path.read_text())["days"][:2] == [first, second]
    path.unlink()
    assert run(empty, path) == 0
    assert [noted["number"] for noted in json.loads(path.read_text())["days"]] == [1, 2, 3]


CUT_OFF = """
create function cut_off() returns trigger language plpgsql as $$ begin raise exception 'cut off'; end $$;
create constraint trigger cut_off after insert on orders deferrable initially deferred
for each row when (new.order_number like '%-L%') execute function cut_off();
"""


def test_a_late_order_that_was_cut_off_at_its_commit_comes_with_the_next_days(empty: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    run(empty, path, "--scale", "0.01")
    with psycopg.connect(empty.admin_dsn) as connection:
        connection.execute(CUT_OFF)
    # Two days in a row.
    for _ in range(2):
        with pytest.raises(psycopg.errors.RaiseException):
            day.play(empty.admin_dsn, 42)
    assert run(empty, path) == 0
    book = json.loads(path.read_text())
    assert book["traps"]["late_committed_orders"]["count"] == 0
    with psycopg.connect(empty.admin_dsn) as connection:
        noted = {key for played in book["days"] for key in played["touched"]["orders"]["inserted"]}
        assert noted <= {row[0] for row in connection.execute("select id::text from orders").fetchall()}
        connection.execute("drop function cut_off cascade")
    assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(path)]) == 0
    with psycopg.connect(empty.admin_dsn) as connection:
        orders = connection.execute("select id::text, order_number, xmin::text::bigint from orders").fetchall()
    keys = {number: key for key, number, _ in orders}
    begun = {number: transaction for _, number, transaction in orders}
    late = {date: f"ORD-{date.replace('-', '')}-L00001" for date in ("2026-10-31", "2026-11-01", "2026-11-02")}
    days = json.loads(path.read_text())["days"]
    for noted in days:
        assert keys[late[noted["date"]]] in noted["touched"]["orders"]["inserted"]
        assert set(noted["touched"]["orders"]["inserted"]) <= set(keys.values())
    third = begun[late["2026-11-02"]]
    assert {begun[number] for number in late.values()} == {third}
    assert third < min(transaction for number, transaction in begun.items() if number.startswith("ORD-20261102-0"))
    assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(path)]) == 0
    book = json.loads(path.read_text())
    assert book["days"][:3] == days
    assert book["traps"]["late_committed_orders"]["count"] == 4


def test_of_two_days_at_once_the_second_waits_for_the_first_ones_late_order(empty: Settings, tmp_path: Path) -> None:
    run(empty, tmp_path / "ledger.json", "--scale", "0.01")
    with ThreadPoolExecutor(2) as days:
        played = list(days.map(lambda _: day.play(empty.admin_dsn, 42), range(4)))
    assert sorted(noted["number"] for noted in played) == [1, 2, 3, 4]
    assert count(empty, "select count(*) from orders where order_number like 'ORD-%-L%'") == 4


def test_what_postgres_refuses_after_a_day_is_one_line(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(empty, tmp_path / "ledger.json", "--scale", "0.01")
    monkeypatch.setitem(traps.TRAPS, "refused", ("", "select id::text from orders where 1 / 0 = 1"))
    capsys.readouterr()
    assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(tmp_path / "ledger.json")]) == 1
    assert capsys.readouterr().err == "error: Postgres: division by zero\n"


def test_a_day_in_a_source_that_was_not_generated_is_noted_without_traps(empty: Settings, tmp_path: Path) -> None:
    path, folder = tmp_path / "ledger.json", tmp_path / "sql"
    folder.mkdir()
    (folder / "schema.sql").write_text((ROOT / "source" / "schema.sql").read_text())
    assert run(empty, path, "--sql", str(folder)) == 0
    for number in (1, 2):
        assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(path)]) == 0
        book = json.loads(path.read_text())
        assert [noted["number"] for noted in book["days"]] == list(range(1, number + 1))
        assert book["source"].startswith("1 SQL files (")
        assert book["traps"] == summary.planted(path) == {}
        # As the next demo does.
        assert run(empty, path) == 0
        assert summary.planted(path) == {}


def test_a_day_in_an_almost_empty_marketplace(empty: Settings, tmp_path: Path) -> None:
    with psycopg.connect(empty.admin_dsn) as connection:
        connection.execute((ROOT / "source" / "schema.sql").read_bytes())
    assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(tmp_path / "ledger.json")]) == 0
    assert count(empty, "select count(*) from orders") == 0
    assert summary.planted(tmp_path / "ledger.json") == {}, "nothing tells who filled it"


def test_orders_get_new_numbers_after_one_of_that_date_was_deleted(empty: Settings, tmp_path: Path) -> None:
    """From the sixth day on all have one date."""
    ledger = tmp_path / "ledger.json"
    assert run(empty, ledger, "--scale", "0.01") == 0
    for number in range(1, 9):
        assert day.main(["--dsn", empty.admin_dsn, "--ledger", str(ledger)]) == 0
        with psycopg.connect(empty.admin_dsn) as connection:
            # The first numbers of the date that are left, with the rows that refer to them.
            numbers = f"select id from orders where order_number like 'ORD-{day.LAST_DATE:%Y%m%d}-0%' order by order_number limit 3"
            for table in ("payments", "order_items"):
                connection.execute(f"delete from {table} where order_id in ({numbers})")
            gone = connection.execute(f"delete from orders where id in ({numbers})").rowcount
        assert gone == (3 if number >= 6 else 0)


def test_a_server_that_never_answers_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The least that libpq takes.
    monkeypatch.setattr(load, "CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        places = ("--dsn", f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d", "--ledger", str(tmp_path / "l"))
        assert load.main(places) == day.main(places) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" connection")[0] for line in said] == ["error: Postgres:", "error: Postgres:"]
    assert [line.endswith(": `make up` starts it") for line in said] == [False, True]


def test_a_server_that_answers_with_an_error_is_not_said_to_be_silent(
    empty: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("--ledger", str(tmp_path / "l"), "--dsn")
    impatient = f"{empty.admin_dsn}?options=-c%20statement_timeout%3D100"
    with psycopg.connect(empty.admin_dsn) as connection:
        connection.execute("select pg_advisory_lock(hashtext('source.day'))")
        assert day.main([*places, impatient]) == 1
    assert day.main([*places, f"{empty.admin_dsn}_that_is_not_there"]) == 1
    timeout, unknown = capsys.readouterr().err.splitlines()
    assert timeout == "error: Postgres: canceling statement due to statement timeout"
    assert "_that_is_not_there" in unknown
    assert "make up" not in unknown
