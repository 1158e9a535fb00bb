"""Bad input ends in one clear line and a status that is not zero, with nothing half done."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.settings import ROOT, Settings
from tests.e2e.deployment import Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def error(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of why."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def nothing_runs(deployment: Deployment) -> bool:
    return not any(deployment.local_dir.rglob("*.pid"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "duckdb"], "error: ENGINE=duckdb: it must be one of auto, dbt, spark"),
        (["--scale", "none"], "error: SCALE=none: it must be a number from 0.01 on, such as 0.1, 1, 10 or 100"),
        (["--scale", "0"], "error: SCALE=0: it must be a number from 0.01 on, such as 0.1, 1, 10 or 100"),
        (["--scale", "nan"], "error: SCALE=nan: it must be a number from 0.01 on, such as 0.1, 1, 10 or 100"),
        (["--source-sql", "/nowhere"], "error: SOURCE_SQL=/nowhere: no *.sql file there"),
    ],
)
def test_an_unknown_option_starts_nothing(deployment: Deployment, arguments: list[str], message: str) -> None:
    assert error(deployment.run("stack", "demo", *arguments)) == message
    assert nothing_runs(deployment)


def test_two_sources_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    made = Deployment(tmp_path / "local", {"SOURCE_DSN": "postgresql://nobody@127.0.0.1:1/x"})
    assert "give only one of them" in error(made.run("stack", "demo", "--source-sql", str(tmp_path)))


def test_a_port_that_is_no_number(deployment: Deployment) -> None:
    deployment.variables["AIRFLOW_PORT"] = "http"
    assert error(deployment.run("stack", "demo")) == "error: AIRFLOW_PORT must be a whole number, not 'http'"


def test_a_port_in_use_names_the_holder(deployment: Deployment) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(deployment.variables["BIGQUERY_PORT"])))
        taken.listen()
        line = error(deployment.run("stack", "demo"))
    assert f"port {deployment.variables['BIGQUERY_PORT']}, which bigquery-emulator needs, is in use by" in line
    assert f"(pid {os.getpid()}): stop that, or set BIGQUERY_PORT to a free port" in line
    deployment.run("stack", "clean-data")


def test_a_full_disk_is_said_before_anything_starts(deployment: Deployment) -> None:
    assert "GB free, this run needs about" in error(deployment.run("stack", "demo", "--scale", "10000"))
    assert nothing_runs(deployment)


@pytest.fixture
def database(postgres: Settings) -> Iterator[str]:
    """The DSN of a database of its own with the marketplace's tables, all empty."""
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as owner:
        owner.execute("create database foreign_source")
    dsn = psycopg.conninfo.conninfo_to_dict(postgres.admin_dsn)
    address = "postgresql://{user}:{password}@{host}:{port}/foreign_source".format(**dsn)
    with psycopg.connect(address) as owner:
        owner.execute((ROOT / "source" / "schema.sql").read_bytes())
    yield address
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as owner:
        owner.execute("drop database foreign_source with (force)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("select 1", "error: the source is empty: none of its tables has a row"),
        ("drop table reviews", "error: the source lacks the table reviews, or it may not be read"),
        ("alter table orders drop column currency", "error: the source's table orders lacks the column currency"),
        ("drop schema public cascade; create schema public", "error: the source has no table that may be read"),
    ],
)
def test_a_source_that_cannot_be_used_starts_nothing(tmp_path: Path, database: str, change: str, message: str) -> None:
    with psycopg.connect(database) as owner:
        owner.execute(change.encode())
    made = Deployment(tmp_path, {"SOURCE_DSN": database})
    assert error(made.run("stack", "demo")).startswith(message)
    assert nothing_runs(made)


def test_a_source_that_does_not_answer_or_refuses_starts_nothing(tmp_path: Path, postgres: Settings) -> None:
    address = f"127.0.0.1:{postgres.postgres_port}"
    for dsn, said in {
        "postgresql://reader:x@127.0.0.1:1/marketplace": "127.0.0.1:1/marketplace does not answer: ",
        f"postgresql://reader:x@{address}/marketplace": f"{address}/marketplace refuses the password of user reader",
        "mysql://reader:x@127.0.0.1/marketplace": "SOURCE_DSN must look like postgresql://user:password@host",
    }.items():
        made = Deployment(tmp_path, {"SOURCE_DSN": dsn})
        assert said in error(made.run("stack", "demo"))
        assert nothing_runs(made)


@pytest.mark.parametrize(
    ("java", "message"),
    [
        (None, "error: java: Java not found"),
        ('openjdk version "11.0.2" 2019-01-15', "error: java: Java 11 at"),
        ('openjdk version "1.8.0_402"', "error: java: Java 8 at"),
    ],
)
def test_no_java_or_the_wrong_one(tmp_path: Path, java: str | None, message: str) -> None:
    home = tmp_path / "jdk" / "bin"
    home.mkdir(parents=True)
    if java:
        (home / "java").write_text(f"#!/bin/sh\necho '{java}' >&2\n")
        (home / "java").chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / "stack" / "bootstrap.py"],
        env=os.environ | {"JAVA_HOME": str(home.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert error(done).startswith(message)
    assert "Spark needs Java 17" in error(done)
