"""Nothing is lost and nothing comes twice: under concurrent writers, and when anything that takes part is killed at any moment.

In full by `make faults`; here with a fixed seed, in a length that every run of the tests can afford. FAULT_SYNCS, FAULT_KILLS and FAULT_SEED change that.
"""

from __future__ import annotations

import os
import random
import time

import httpx
import psutil
import psycopg
import pytest
from faults import syncs
from faults.truth import differences
from faults.writers import Application

from airbyte.connections import apply
from airbyte.connections.description import load
from airbyte.deletion_sweep import sweep
from stack import airbyte as server
from stack import bigquery
from stack import emulator as emulator_service
from stack.settings import Settings

SYNCS = int(os.environ.get("FAULT_SYNCS", "2"))
KILLS = int(os.environ.get("FAULT_KILLS", "5"))
SEED = int(os.environ.get("FAULT_SEED", "20261124"))
VICTIMS = ("source", "destination", "emulator", "server", "worker")
# 24,000 rows.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.parametrize("marketplace", ["0.06"], indirect=True),
]


def rest(settings: Settings, moment: str) -> None:
    """Both rest: deletions are swept, and raw must be the source."""
    sweep(settings, force=True)
    assert differences(settings) == {}, moment
    tables = [t.table_id for t in bigquery.client(settings).list_tables("raw")]
    assert not [name for name in tables if name.startswith("_")], moment


def test_raw_equals_the_source_after_every_sync_under_concurrent_writers(
    marketplace: Settings, airbyte_server: Settings
) -> None:
    connection = apply.apply(airbyte_server, load())
    application = Application(airbyte_server.admin_dsn, SEED)
    with syncs.client(airbyte_server) as api:
        rows = syncs.succeed(api, connection)["rowsSynced"]
        assert rows >= 20_000
        for number in range(SYNCS):
            # Each third sync ends before the transaction that began before it commits.
            with application.writing(hold=number % 3 != 1):
                rows += syncs.succeed(api, connection)["rowsSynced"]
            rows += syncs.succeed(api, connection)["rowsSynced"]
            rest(airbyte_server, f"after sync {number}, seed {SEED}")
        api.delete(f"/connections/{connection}")
    print(
        f"{rows:,} rows in {2 * SYNCS + 1} syncs; {application.committed:,} commits, {application.rolled_back:,} rollbacks"
    )
    assert application.committed
    assert application.rolled_back


def test_raw_equals_the_source_after_the_sync_that_follows_a_kill(
    marketplace: Settings, airbyte_server: Settings
) -> None:
    chance = random.Random(SEED)
    connection = apply.apply(airbyte_server, load())
    application = Application(airbyte_server.admin_dsn, SEED)
    outcomes: dict[str, list[str]] = {victim: [] for victim in VICTIMS}
    with syncs.client(airbyte_server) as api:
        started = time.monotonic()
        # The first kills meet the first load.
        length = 6.0
        for number in range(KILLS):
            victim = VICTIMS[number % len(VICTIMS)]
            with application.writing(hold=False):
                time.sleep(0.3)
            if victim == "source":
                moment, job = kill_the_source(airbyte_server, api, connection, chance)
            else:
                began = time.monotonic()
                job = syncs.start(api, connection)
                delay = length * chance.random()
                time.sleep(delay)
                kill(airbyte_server, victim, began + length + 5)
                moment = f"{delay:.1f} s"
            outcomes[victim].append(f"{moment}: {syncs.wait(api, job)['status']}")
            began = time.monotonic()
            syncs.succeed(api, connection)
            length = time.monotonic() - began
            rest(airbyte_server, f"after kill {number} ({victim}, {moment}), seed {SEED}")
        api.delete(f"/connections/{connection}")
    print(f"{KILLS} kills in {time.monotonic() - started:.0f} s: {outcomes}")
    ended = [outcome for of_victim in outcomes.values() for outcome in of_victim if outcome.endswith("failed")]
    assert ended, f"no kill met a running sync: {outcomes}"
    waiting = [outcome for outcome in outcomes["source"] if outcome.startswith("before")]
    assert all(outcome.endswith("failed") for outcome in waiting), waiting


def kill_the_source(settings: Settings, api: httpx.Client, connection: str, chance: random.Random) -> tuple[str, int]:
    """Start a sync and kill -9 its source, which reads for a moment only: while a table keeps it waiting, or just after. Returns when, and the job."""
    table = chance.choice(load().streams).name
    delay = chance.choice((None, chance.random() / 20))
    waits = "select exists (select from pg_stat_activity where application_name = 'airbyte source_postgres' and wait_event_type = 'Lock')"
    with syncs.held_up(settings, table) as let_go, psycopg.connect(settings.admin_dsn, autocommit=True) as watch:
        job = syncs.start(api, connection)
        deadline = time.monotonic() + 60
        while watch.execute(waits).fetchone() != (True,):
            assert time.monotonic() < deadline, api.get(f"/jobs/{job}/log").text
            time.sleep(0.02)
        source = syncs.processes(settings)["source"]
        if delay is not None:
            let_go()
            time.sleep(delay)
        end(source)
    return f"{'before' if delay is None else f'{delay * 1000:.0f} ms into'} {table}", job


def kill(settings: Settings, victim: str, deadline: float) -> None:
    """kill -9, then start again what does not start by itself. A victim that has not begun is waited for until `deadline`."""
    if victim == "emulator":
        process = emulator_service.process(settings).running()
        assert process is not None
        end(process)
        emulator_service.start(settings)
        return
    while (process := syncs.processes(settings).get(victim)) is None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)
    end(process)
    if victim == "server":
        server.start(settings)


def end(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(10)
    except psutil.NoSuchProcess:
        pass


def test_a_cancelled_sync_ends_with_its_whole_process_group_and_leaves_no_temporary_table(
    marketplace: Settings, airbyte_server: Settings
) -> None:
    chance = random.Random(SEED)
    connection = apply.apply(airbyte_server, load())
    with syncs.client(airbyte_server) as api:
        for _ in range(max(3, KILLS // 5)):
            # The table is read after others have begun to land.
            with syncs.held_up(airbyte_server, "reviews"):
                job = syncs.start(api, connection)
                while "payments: " not in api.get(f"/jobs/{job}/log").text:
                    time.sleep(0.1)
                time.sleep(chance.random())
                running = syncs.processes(airbyte_server)
                assert {"worker", "source", "destination"} <= running.keys()
                assert api.delete(f"/jobs/{job}").json()["status"] == "cancelled"
                left = [p for name, p in running.items() if name != "server" and p.is_running()]
                assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
            tables = [t.table_id for t in bigquery.client(airbyte_server).list_tables("raw")]
            assert not [name for name in tables if name.startswith("_")]
        syncs.succeed(api, connection)
        rest(airbyte_server, "after a cancelled sync")
        api.delete(f"/connections/{connection}")
