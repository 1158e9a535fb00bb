"""`python -m source.load`: fill an empty Postgres with the generated marketplace, or with a folder of SQL files.

Everything is loaded in one transaction, together with a record of what it is (`source_admin.load`): a killed load leaves an empty database, and a
second one of the same marketplace has nothing to do.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import RowFactory, tuple_row

from source import traps
from source.binary_copy import HEADER, TRAILER, encode
from source.generator import Marketplace
from source.tables import SERIALS, TYPES
from stack import settings
from stack.failures import one_line

# How many tables, functions, types and extensions are in schema public.
IN_PUBLIC = (
    "select count(*) from pg_depend where refclassid = 'pg_namespace'::regclass and refobjid = 'public'::regnamespace"
)
HERE = Path(__file__).resolve().parent
CHUNK_ROWS = 50_000
CONNECT_SECONDS = 10
ADMIN: LiteralString = """
create schema if not exists source_admin;
create table if not exists source_admin.load (description text not null, finished_at timestamptz not null default now());
create table if not exists source_admin.day (
    number int primary key, date date not null, note jsonb not null, finished_at timestamptz not null default now()
);
"""


class LoadError(RuntimeError):
    """The database cannot be filled; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    current = settings.for_command()
    parser = argparse.ArgumentParser(prog="python -m source.load", description=__doc__)
    parser.add_argument("--scale", type=float, help="scale factor from 0.01 (default: what the database holds, else 1)")
    parser.add_argument("--seed", type=int, default=42, help="another seed is another marketplace (default 42)")
    parser.add_argument("--sql", type=Path, help="run this folder's *.sql in name order instead of generating")
    parser.add_argument("--dsn", default=current.admin_dsn, help="the database (default: the local stack's)")
    parser.add_argument("--ledger", type=Path, default=current.local_dir / "source" / "ledger.json")
    chosen = parser.parse_args(arguments)
    try:
        _load(chosen, _description(chosen))
    except (LoadError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"error: Postgres: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def connect(dsn: str, row_factory: RowFactory[Any] = tuple_row) -> psycopg.Connection[Any]:
    """A connection to the database. Raises psycopg.OperationalError, soon where nobody answers."""
    return psycopg.connect(dsn, row_factory=row_factory, connect_timeout=CONNECT_SECONDS)


def _description(chosen: argparse.Namespace) -> str:
    """What the database will hold, in words that tell one content from another."""
    if chosen.sql:
        files = _files(chosen.sql)
        digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]
        return f"{len(files)} SQL files ({digest})"
    return f"scale {chosen.scale or 1.0:g}, seed {chosen.seed}"


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise LoadError(f"{folder} has no *.sql file")
    return files


def _load(chosen: argparse.Namespace, description: str) -> None:
    with connect(chosen.dsn) as connection:
        # Two loads at once: the second waits and finds the first one's work. The lock is the session's, as psql works outside this transaction.
        connection.execute("select pg_advisory_lock(hashtext('source.load'))")
        held = held_by(connection)
        if held is not None:
            is_asked_for = chosen.scale is not None or chosen.sql is not None
            if held != description and is_asked_for:
                raise LoadError(
                    f"the source already holds {held}, not {description}: run `make clean-data` to begin anew"
                )
            print(f"the source already holds {held}")
            if not traps.is_generated(held):
                return
            # A day that was killed before it wrote the ledger is in the database alone.
            if not chosen.ledger.exists() or traps.read(chosen.ledger)["days"] != traps.days(connection):
                traps.write(chosen.ledger, traps.of(connection, held))
            return
        if chosen.sql:
            connection.commit()
            _run_sql(chosen.dsn, chosen.sql, _record(description).as_string(connection))
            # What was planted in it, nobody knows.
            chosen.ledger.unlink(missing_ok=True)
        else:
            _generate(connection, Marketplace(chosen.scale or 1.0, chosen.seed))
            connection.execute(_record(description))
            traps.write(chosen.ledger, traps.of(connection, description))
        connection.commit()
        connection.autocommit = True
        connection.execute("analyze")


def _record(description: str) -> sql.Composed:
    """The statements that note what was loaded."""
    return sql.SQL(ADMIN + "insert into source_admin.load (description) values ({})").format(sql.Literal(description))


def held_by(connection: psycopg.Connection[Any]) -> str | None:
    """What the database holds, in words; None when it is empty."""
    if _scalar(connection, "select to_regclass('source_admin.load')"):
        description = _scalar(connection, "select description from source_admin.load order by finished_at desc limit 1")
        if description:
            return str(description)
    tables = _scalar(connection, "select count(*) from pg_tables where schemaname = 'public'")
    return f"{tables} tables that were not loaded here" if tables else None


def _scalar(connection: psycopg.Connection[Any], question: str) -> Any:
    row = connection.execute(question.encode()).fetchone()
    return row[0] if row else None


def _generate(connection: psycopg.Connection[Any], marketplace: Marketplace) -> None:
    connection.execute((HERE / "schema.sql").read_bytes())
    if _scalar(connection, "select current_setting('is_superuser')") == "on":
        # The generator's keys are right by construction (tests/source checks every one); checking each of 40 million rows is not free.
        connection.execute("set local session_replication_role = replica")
    with concurrent.futures.ThreadPoolExecutor(1) as worker:
        for table, types in TYPES.items():
            started = time.monotonic()
            copy_statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, types))
            )
            with connection.cursor().copy(copy_statement) as copy:
                copy.write(HEADER)
                for data in _ahead(worker, marketplace, table):
                    copy.write(data)
                copy.write(TRAILER)
            rows = marketplace.rows[table]
            print(f"{table:20} {rows:>12,} rows {time.monotonic() - started:6.1f} s", flush=True)
    for table in SERIALS:
        connection.execute(
            sql.SQL("select setval(pg_get_serial_sequence({}, 'id'), (select max(id) from {}))").format(
                sql.Literal(table), sql.Identifier(table)
            )
        )


def _ahead(worker: concurrent.futures.Executor, marketplace: Marketplace, table: str) -> Iterator[bytes]:
    """The table's rows as COPY data, the next chunk made while the last one is sent."""

    def make(start: int) -> bytes:
        return encode(marketplace.table(table, start, start + CHUNK_ROWS), TYPES[table])

    pending = None
    for start in range(0, marketplace.rows[table], CHUNK_ROWS):
        following = worker.submit(make, start)
        if pending is not None:
            yield pending.result()
        pending = following
    if pending is not None:
        yield pending.result()


def _make_public_anew(connection: psycopg.Connection[Any]) -> None:
    (owner,) = connection.execute(
        "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'public'"
    ).fetchone() or ("",)
    rights = connection.execute(
        "select privilege_type, pg_get_userbyid(grantee), grantee = 0 from pg_namespace, aclexplode(nspacl) where nspname = 'public'"
    ).fetchall()
    connection.execute("drop schema public cascade; create schema public")
    connection.execute(sql.SQL("alter schema public owner to {}").format(sql.Identifier(owner)))
    for privilege, role, is_public in rights:
        to = sql.SQL("public") if is_public else sql.Identifier(role)
        connection.execute(sql.SQL("grant {} on schema public to {}").format(sql.SQL(privilege), to))


def _run_sql(dsn: str, folder: Path, record: str) -> None:
    """Run the files by psql, in one transaction, so that dumps with COPY work.

    A file with a COMMIT of its own may leave something behind when another one fails: then schema public is made anew, with the rights that were given on it.
    """
    from stack.postgres import program

    # The password goes by the environment: a command line is there for everybody to read.
    address = conninfo_to_dict(dsn)
    password = address.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    psql = program(settings.load(), "psql")
    options = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--single-transaction", "--output", os.devnull]
    for path in _files(folder):
        options += ["--file", str(path)]
        print(path.name, flush=True)
    options += ["--command", record]
    command = [psql, *options, make_conninfo("", **address)]
    with connect(dsn) as connection:
        before = _scalar(connection, IN_PUBLIC)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        with connect(dsn) as connection:
            if _scalar(connection, IN_PUBLIC) != before:
                _make_public_anew(connection)
            connection.execute("drop schema if exists source_admin cascade")
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
        raise LoadError((lines or done.stderr.splitlines() or ["psql failed"])[0])


if __name__ == "__main__":
    sys.exit(main())
