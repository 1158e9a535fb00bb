"""The embedded services start, answer, survive a kill and stop whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pyarrow.parquet as pq
import pytest
import requests
from google.api_core.exceptions import GoogleAPIError, NotFound

from stack import bigquery, processes
from stack import emulator as emulator_service
from stack import postgres as postgres_service
from stack import settings as stack_settings
from stack.processes import Process, StackError, free_port, require_free_port
from stack.settings import Settings


def test_the_reader_role_reads_and_cannot_write(postgres: Settings) -> None:
    with psycopg.connect(postgres.admin_dsn) as owner:
        owner.execute("create table if not exists probe (id int primary key)")
    with psycopg.connect(postgres.source_dsn, autocommit=True) as reader:
        assert reader.execute("select count(*) from probe").fetchone() == (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("insert into probe values (1)")
        reader.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("insert into probe values (1)")
    with psycopg.connect(postgres.admin_dsn) as owner:
        owner.execute("drop table probe")


def test_schemas_may_create_the_uuid_extension(postgres: Settings) -> None:
    with psycopg.connect(postgres.admin_dsn) as owner:
        owner.execute('create extension if not exists "uuid-ossp"')
        assert owner.execute("select uuid_generate_v4() <> uuid_generate_v4()").fetchone() == (True,)
        owner.rollback()


def test_a_killed_postgres_starts_again_with_its_commits(postgres: Settings) -> None:
    with psycopg.connect(postgres.admin_dsn) as owner:
        owner.execute("create table survivor as select 1 as id")
    server = postgres_service.process(postgres).running()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    server.wait(10)
    assert postgres_service.start(postgres)
    with psycopg.connect(postgres.admin_dsn) as owner:
        assert owner.execute("select id from survivor").fetchone() == (1,)
        owner.execute("drop table survivor")


def test_a_query_that_a_killed_postgres_left_running_does_not_keep_it_from_starting(postgres: Settings) -> None:
    def busy() -> None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(postgres.admin_dsn) as owner:
            owner.execute("select count(*) from generate_series(1, 2000000000) as n")

    asking = threading.Thread(target=busy, daemon=True)
    asking.start()
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as owner:
        while not owner.execute("select 1 from pg_stat_activity where query like 'select count(*) from gen%'").rowcount:
            time.sleep(0.1)
    time.sleep(1)
    server = postgres_service.process(postgres).running()
    assert server is not None
    # Its sessions' processes live on: one ends only when it next waits for its client.
    server.kill()
    server.wait(10)
    assert postgres_service.start(postgres)
    # Of a server that lives, nothing is ended.
    assert not postgres_service._end_leftovers(postgres_service.home(postgres) / "data")
    with psycopg.connect(postgres.admin_dsn) as owner:
        assert owner.execute("select 1").fetchone() == (1,)
    asking.join(30)


def test_another_password_of_the_reader_holds_from_the_next_start_on(postgres: Settings) -> None:
    other = dataclasses.replace(postgres, source_reader_password="it's \\ another")
    try:
        assert not postgres_service.start(other)
        with psycopg.connect(other.source_dsn) as reader:
            assert reader.execute("show default_transaction_read_only").fetchone() == ("on",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.source_dsn)
    finally:
        postgres_service.prepare(postgres)
    psycopg.connect(postgres.source_dsn).close()


def test_who_reads_as_the_owner_keeps_the_owner_s_password(postgres: Settings) -> None:
    postgres_service.prepare(dataclasses.replace(postgres, source_reader_user=postgres.postgres_user))
    psycopg.connect(postgres.admin_dsn).close()


def test_a_merge_that_fails_in_a_transaction_says_why(emulator: Settings) -> None:
    bq = bigquery.client(emulator)
    bigquery.query(bq, "create or replace table ops.probe as select 1 as one")
    script = (
        "begin transaction; merge into ops.probe as t using (select 1 as one) as s on t.one = s.one "
        "when matched then update set one = cast(error('on purpose') as int64); commit transaction"
    )
    with pytest.raises(GoogleAPIError, match="on purpose"):
        bigquery.query(bq, script)
    assert bigquery.query(bq, "select one from ops.probe") == [{"one": 1}]


def test_the_emulator_tells_a_ctas_its_destination_as_bigquery_does(emulator: Settings) -> None:
    job = bigquery.client(emulator).query("create or replace table ops.probe as select 1 as one")
    job.result()
    assert (job.destination.dataset_id, job.destination.table_id) == ("ops", "probe")


def test_a_web_page_cannot_ask_the_emulator(emulator: Settings) -> None:
    """A form, which a browser posts without asking; and a page whose name was resolved to this machine later."""
    query = {"configuration": {"query": {"query": "create table ops.planted as select 1 as one"}}}
    parts = [
        f"--x\r\nContent-Type: {kind}\r\n\r\n{part}\r\n"
        for kind, part in (("application/json", json.dumps(query)), ("text/plain", ""))
    ]
    url = f"{emulator.bigquery_endpoint}/upload/bigquery/v2/projects/{emulator.bigquery_project}/jobs?uploadType=multipart"
    body = ("".join(parts) + "--x--\r\n").encode()
    as_form = {"Content-Type": 'multipart/form-data; boundary="x"'}
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:9050"}):
        answer = requests.post(url, body, headers=as_form | headers, timeout=60)
        assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (403, "accessDenied")
    assert "planted" not in {table.table_id for table in bigquery.client(emulator).list_tables("ops")}
    # As a client of BigQuery asks.
    assert requests.post(url, body, headers=as_form, timeout=60).status_code == 200
    bigquery.client(emulator).delete_table("ops.planted", not_found_ok=True)


def test_the_emulator_keeps_neither_results_nor_old_versions_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BIGQUERY_PORT", "BIGQUERY_GRPC_PORT"):
        monkeypatch.setenv(name, str(free_port()))
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    own = stack_settings.load()
    process = emulator_service.process(own)
    process = dataclasses.replace(process, command=[*process.command, "--result-seconds", "1"])
    process.start(lambda: emulator_service.is_healthy(own), timeout=240)
    try:
        client = bigquery.client(own)
        bigquery.create_datasets(client, own.bigquery_location)
        answer = client.query("select 1 as one")
        answer.result()
        assert client.get_table(answer.destination).num_rows == 1
        for version in range(3):
            bigquery.query(
                client,
                f"create or replace table ops.versions as select {version} as version, n from unnest(generate_array(1, 100)) as n",
            )
        # Read page by page for longer than a result is kept.
        pages = iter(client.query("select n from unnest(generate_array(1, 6)) as n").result(page_size=1))
        for expected in range(1, 7):
            assert next(pages)["n"] == expected
            time.sleep(0.4)
        with pytest.raises(NotFound):
            client.get_table(answer.destination)
        assert len(list(tmp_path.rglob("versions/*.parquet"))) == 3
        process.stop()
        # What a killed emulator was about to load.
        unfinished = tmp_path / "bigquery" / "data" / "uploads" / "unfinished"
        unfinished.parent.mkdir(exist_ok=True)
        unfinished.touch()
        process.start(lambda: emulator_service.is_healthy(own), timeout=240)
        assert not unfinished.exists()
        (left,) = tmp_path.rglob("versions/*.parquet")
        # Written as it is read quickly, which a new process still knows.
        bigquery.query(client, "create table ops.later as select generate_uuid() as id from unnest([1, 2, 3])")
        (later,) = tmp_path.rglob("later/*.parquet")
        for file in (left, later):
            found = pq.read_metadata(file)
            column = found.row_group(0).column(found.num_columns - 1)
            assert (column.compression, column.encodings[0][:5]) == ("LZ4", "DELTA"), file
        assert bigquery.query(client, "select sum(version) as versions, count(*) as n from ops.versions") == [
            {"versions": 200, "n": 100}
        ]
    finally:
        process.stop()


def test_a_taken_port_names_its_holder_and_the_variable(emulator: Settings) -> None:
    with pytest.raises(StackError, match=r"in use by \S+ \(pid \d+\): stop that, or set BIGQUERY_PORT"):
        require_free_port(emulator.bigquery_port, "bigquery-emulator", "BIGQUERY_PORT")


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(tmp_path) -> None:
    process = Process("echo", ["sh", "-c", "echo no such thing; exit 3"], tmp_path, dict(os.environ))
    with pytest.raises(StackError, match="echo ended with status 3: no such thing"):
        process.start(lambda: False, timeout=10)
    assert not process.pid_file.exists()


def test_a_program_that_dies_while_it_is_asked_is_started_again(tmp_path: Path) -> None:
    """A killed program is among the living for as long as the system needs to take its memory back."""
    process = Process("dying", ["sleep", "300"], tmp_path, dict(os.environ))
    process.start(lambda: True, timeout=10)
    dying = process.running()
    assert dying is not None

    def is_healthy() -> bool:
        if dying.is_running() and dying.status() != psutil.STATUS_ZOMBIE:
            dying.kill()
        return process.running() not in (None, dying)

    try:
        assert process.start(is_healthy, timeout=10)
    finally:
        process.stop()


def test_a_program_that_does_not_answer_is_not_left_behind(tmp_path: Path) -> None:
    process = Process("mute", ["sleep", "300"], tmp_path, dict(os.environ))
    asked: list[psutil.Process | None] = []
    with pytest.raises(StackError, match=r"mute did not answer within 0 s \(log: "):
        process.start(lambda: asked.append(process.running()) is not None, timeout=0.3)
    assert asked[0] is not None
    assert not psutil_alive(asked[0].pid)
    assert not process.pid_file.exists()


def test_who_is_interrupted_does_not_wait_for_a_program_and_leaves_none(tmp_path: Path) -> None:
    process = Process("late", ["sleep", "300"], tmp_path, dict(os.environ))
    processes.interrupted.set()
    try:
        with pytest.raises(StackError, match="interrupted while late started"):
            process.start(lambda: False, timeout=10)
    finally:
        processes.interrupted.clear()
    assert process.running() is None


def test_stop_kills_what_does_not_end_when_it_is_asked_to(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    deaf = ["sh", "-c", f"trap '' TERM; touch {ready}; sleep 300"]
    process = Process("deaf", deaf, tmp_path, dict(os.environ), stop_seconds=0.2)
    process.start(ready.exists, timeout=60)
    leader = process.running()
    assert leader is not None
    assert process.stop()
    assert not psutil_alive(leader.pid)


def test_what_a_killed_leader_left_behind_ends_before_the_program_starts_again(tmp_path: Path) -> None:
    """It would hold the port, or write beside the new one."""
    child = tmp_path / "child"
    process = Process("parent", ["sh", "-c", f"sleep 300 & echo $! > {child}; wait"], tmp_path, dict(os.environ))

    def is_healthy() -> bool:
        return child.exists() and child.read_text().strip() != ""

    process.start(is_healthy, timeout=60)
    left, leader = int(child.read_text()), process.running()
    assert leader is not None
    leader.kill()
    leader.wait(10)
    try:
        assert process.start(is_healthy, timeout=60)
        assert not psutil_alive(left)
    finally:
        process.stop()


def test_stop_waits_until_a_killed_leader_is_no_zombie_any_more(tmp_path: Path) -> None:
    """Postgres takes a zombie for the server that holds its data, and does not start."""
    process = Process("leader", ["sleep", "300"], tmp_path, dict(os.environ))
    # Its parent kills it, and reaps it by ending a second later.
    parent = (
        "import json, subprocess, time\n"
        "from stack.processes import birth\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "print(json.dumps({'pid': child.pid, 'born': birth(child.pid)}), flush=True)\n"
        "child.kill()\n"
        "time.sleep(1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        process.pid_file.write_text(started.stdout.readline())
        pid = json.loads(process.pid_file.read_text())["pid"]
        time.sleep(0.2)
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        process.stop()
        assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("program", ["sleep 300", "setsid sleep 300"], ids=["its session's", "in a session of its own"])
def test_stop_takes_the_children_along_and_nobody_else(tmp_path: Path, program: str) -> None:
    """Airflow's tasks run their programs in sessions of their own."""
    process = Process(
        "parent", ["sh", "-c", f"{program} & echo $! > child; wait"], tmp_path, dict(os.environ), cwd=tmp_path
    )
    process.start(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip() != "", timeout=60)
    child = int((tmp_path / "child").read_text())
    assert process.stop()
    assert not psutil_alive(child)
    assert not process.stop()


@pytest.mark.parametrize(
    "boot", [None, "another boot"], ids=["its number was given anew", "after a restart of the machine"]
)
def test_stop_leaves_a_session_alone_that_got_the_number_of_an_old_one(tmp_path: Path, boot: str | None) -> None:
    process = Process("old", ["sleep", "300"], tmp_path, dict(os.environ))
    with subprocess.Popen(
        ["sh", "-c", "sleep 300 & echo $!; exec >&-; wait"], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as other:
        assert other.stdout
        child = int(other.stdout.readline())
        try:
            record = {
                "pid": other.pid,
                "born": str(psutil.Process(other.pid).create_time() - 3600),
                "boot": processes._boot(),
            }
            if boot:
                record["boot"] = boot
                # Of the session that has the number now, the leader is gone as well.
                other.kill()
                other.wait()
            process.pid_file.write_text(json.dumps(record))
            assert not process.stop()
            assert psutil_alive(child)
            assert boot or psutil_alive(other.pid)
        finally:
            os.killpg(other.pid, signal.SIGKILL)


def test_a_clock_that_is_set_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of creation that psutil tells is reckoned from the time of day, and moves with it."""
    process = Process("sleeper", ["sleep", "300"], tmp_path, dict(os.environ))
    process.start(lambda: True, timeout=10)
    born = json.loads(process.pid_file.read_text())["born"]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(psutil._pslinux, "boot_time", lambda: 1.0)
            found = process.running()
            assert found is not None
            assert not process.start(lambda: True, timeout=10)
        assert processes.living(found.pid, f"{born}0") is None
        assert processes.living(found.pid, born.replace(born[:8], "ffffffff")) is None, "of another boot"
        # On a system that tells no more than the time of creation.
        created = psutil.Process(found.pid).create_time()
        assert processes.living(found.pid, str(created)) == found
        assert processes.living(found.pid, str(created - 60)) is None
        assert processes.living(found.pid, None) is None
    finally:
        process.stop()


@pytest.mark.parametrize(
    "script",
    ["sleep 300 & echo $! > child; wait", "(setsid sleep 300 & echo $! > child; wait) & wait"],
    ids=["its session's", "in a session of its own"],
)
def test_stop_takes_along_what_a_killed_leader_left_behind(tmp_path: Path, script: str) -> None:
    """A task's program goes on to write, beside the next try, when what started it is all that is stopped."""
    process = Process("parent", ["sh", "-c", script], tmp_path, dict(os.environ), cwd=tmp_path)
    process.start(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip() != "", timeout=60)
    child, leader = int((tmp_path / "child").read_text()), process.running()
    assert leader is not None
    leader.kill()
    leader.wait(10)
    assert process.stop()
    assert not psutil_alive(child)


def psutil_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
