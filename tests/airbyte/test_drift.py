"""What a connection does when its source's schema changes, as `nonBreakingSchemaUpdatesBehavior` says."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from faults import syncs

from airbyte.server import drift, worker
from airbyte.server.store import CONNECTION, DESTINATION, SOURCE, SYNC, Store
from stack import bigquery
from stack.settings import Settings
from tests.source_database import emptied

Db = psycopg.Connection[Any]
DATASET = "drift"
ORDERS = """
create table buyers (id int primary key, name text);
create table purchases (id int primary key, item text not null, amount numeric(12, 2));
insert into buyers values (1, 'Ada'), (2, 'Bo');
insert into purchases values (1, 'cup', 1), (2, 'pot', 2);
"""
STREAMS = [{"name": name, "syncMode": "incremental_deduped_history"} for name in ("buyers", "purchases")]


@pytest.fixture
def api(airbyte_server: Settings) -> Iterator[httpx.Client]:
    with syncs.client(airbyte_server) as made:
        yield made


@pytest.fixture
def db(postgres: Settings, emulator: Settings) -> Iterator[Db]:
    """Two tables, and the pipeline's role that may read what comes."""
    emptied(postgres)
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as connection:
        connection.execute(ORDERS)
        yield connection
    emptied(postgres)
    bigquery.client(emulator).delete_dataset(DATASET, delete_contents=True, not_found_ok=True)


class Drifting:
    """A connection under one behaviour, of both tables unless other `streams` are given (None: no word of them)."""

    def __init__(
        self, api: httpx.Client, settings: Settings, behaviour: str, streams: list[dict[str, str]] | None = STREAMS
    ) -> None:
        self.api, self.settings = api, settings
        workspace = api.get("/workspaces").json()["data"][0]["workspaceId"]
        self.source = self._made(
            "sources",
            "source",
            workspace,
            {
                "sourceType": "postgres",
                "host": settings.postgres_host,
                "port": settings.postgres_port,
                "database": settings.postgres_db,
                "username": settings.source_reader_user,
                "password": settings.source_reader_password,
            },
        )
        self.destination = self._made(
            "destinations",
            "destination",
            workspace,
            {
                "destinationType": "bigquery",
                "project_id": settings.bigquery_project,
                "dataset_location": settings.bigquery_location,
                "dataset_id": DATASET,
            },
        )
        body: dict[str, Any] = {
            "name": f"drift {behaviour}",
            "sourceId": self.source,
            "destinationId": self.destination,
            "nonBreakingSchemaUpdatesBehavior": behaviour,
        }
        if streams is not None:
            body["configurations"] = {"streams": streams}
        answer = api.post("/connections", json=body)
        assert answer.status_code == 200, answer.text
        self.id = answer.json()["connectionId"]

    def _made(self, path: str, kind: str, workspace: str, configuration: dict[str, Any]) -> str:
        body = {"name": "drift", "workspaceId": workspace, "configuration": configuration}
        return str(self.api.post(f"/{path}", json=body).json()[f"{kind}Id"])

    def delete(self) -> None:
        self.api.delete(f"/connections/{self.id}")
        self.api.delete(f"/sources/{self.source}")
        self.api.delete(f"/destinations/{self.destination}")

    def sync(self, job_type: str = "sync") -> tuple[str, str]:
        """(status, log) of one job."""
        answer = self.api.post("/jobs", json={"connectionId": self.id, "jobType": job_type})
        assert answer.status_code == 200, answer.text
        job = syncs.wait(self.api, answer.json()["jobId"])
        return job["status"], self.api.get(f"/jobs/{job['jobId']}/log").text

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What landed, without Airbyte's own columns."""
        found = bigquery.query(bigquery.client(self.settings), f"select * from {DATASET}.{table} order by id")
        return [{name: v for name, v in row.items() if not name.startswith("_airbyte")} for row in found]


@pytest.fixture
def drifting(request: pytest.FixtureRequest, api: httpx.Client, airbyte_server: Settings, db: Db) -> Iterator[Drifting]:
    """A connection whose behaviour is the parameter, after its first sync."""
    made = Drifting(api, airbyte_server, request.param)
    status, log = made.sync()
    assert status == "succeeded", log
    yield made
    made.delete()


def behaves(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("drifting", [name], indirect=True)


@behaves("propagate_columns")
def test_a_new_column_arrives_with_what_old_rows_have_in_it_and_a_dropped_one_turns_null(
    drifting: Drifting, db: Db
) -> None:
    # Neither writes the rows: no change of them would be seen.
    db.execute(
        "alter table buyers add country text default 'NO', add note text; create table parcels (id int primary key)"
    )
    db.execute("alter table purchases drop column amount; update purchases set item = 'tea' where id = 1")
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert drifting.rows("buyers") == [
        {"id": 1, "name": "Ada", "country": "NO", "note": None},
        {"id": 2, "name": "Bo", "country": "NO", "note": None},
    ]
    assert [(r["id"], r["item"], r["amount"]) for r in drifting.rows("purchases")] == [(1, "tea", None), (2, "pot", 2)]
    assert "warning: column country, note of buyers is new" in log
    assert (
        "warning: column amount of purchases is gone at the source: rows that land from now on have null in it" in log
    )
    assert "parcels" not in log
    status, log = drifting.sync()
    assert (status, "warning" in log, "buyers: 0 records read" in log) == ("succeeded", False, True)


def test_a_connection_without_streams_syncs_every_table(api: httpx.Client, airbyte_server: Settings, db: Db) -> None:
    everything = Drifting(api, airbyte_server, "ignore", streams=None)
    status, log = everything.sync()
    assert status == "succeeded", log
    assert [row["name"] for row in everything.rows("buyers")] == ["Ada", "Bo"]
    assert len(everything.rows("purchases")) == 2
    everything.delete()


@behaves("ignore")
def test_ignored_columns_stay_out_for_good(drifting: Drifting, db: Db) -> None:
    db.execute("alter table buyers add country text default 'NO'")
    for _ in range(2):
        db.execute("insert into buyers (id, name) select max(id) + 1, 'Cy' from buyers")
        status, log = drifting.sync()
        assert status == "succeeded", log
        assert "warning: column country of buyers is new at the source and ignored" in log
    assert [set(row) for row in drifting.rows("buyers")] == [{"id", "name"}] * 4


@behaves("disable_connection")
def test_a_change_disables_the_connection_until_somebody_accepts_it(
    drifting: Drifting, db: Db, api: httpx.Client
) -> None:
    db.execute("alter table buyers add country text default 'NO'")
    status, log = drifting.sync()
    assert status == "failed"
    assert "error: the schema of buyers has changed at the source" in log
    assert api.get(f"/connections/{drifting.id}").json()["status"] == "inactive"
    refused = api.post("/jobs", json={"connectionId": drifting.id, "jobType": "sync"})
    assert (refused.status_code, "set its status to active first" in refused.text) == (409, True)
    assert api.patch(f"/connections/{drifting.id}", json={"status": "active"}).status_code == 200
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert [row["country"] for row in drifting.rows("buyers")] == ["NO", "NO"]


def test_a_change_that_names_no_stream_keeps_those_that_there_are(
    api: httpx.Client, airbyte_server: Settings, db: Db
) -> None:
    made = Drifting(api, airbyte_server, "disable_connection")
    path = f"/connections/{made.id}"
    before = api.get(path).json()["configurations"]
    db.execute("alter table buyers add country text default 'NO'")
    for nothing in ({}, {"streams": []}):
        for status in ("inactive", "active"):
            changed = api.patch(path, json={"status": status, "configurations": nothing})
            assert (changed.status_code, changed.json()["configurations"]) == (200, before)
    status, log = made.sync()
    assert status == "succeeded", log
    made.delete()


@behaves("propagate_fully")
def test_tables_come_and_go(drifting: Drifting, db: Db, api: httpx.Client) -> None:
    db.execute("create table parcels (id int primary key, weight int); insert into parcels values (1, 5)")
    db.execute("drop table purchases")
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert drifting.rows("parcels") == [{"id": 1, "weight": 5}]
    assert "warning: table purchases is gone at the source" in log
    assert len(drifting.rows("purchases")) == 2, "what has landed stays"
    streams = api.get(f"/connections/{drifting.id}").json()["configurations"]["streams"]
    assert {s["name"]: s["syncMode"] for s in streams} == {
        "buyers": "incremental_deduped_history",
        "parcels": "incremental_deduped_history",
    }


@behaves("ignore")
def test_a_job_that_is_cancelled_while_it_looks_at_the_source_leaves_no_password_behind(
    drifting: Drifting, api: httpx.Client, airbyte_server: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        changed = {"configuration": {"port": silent.getsockname()[1]}}
        assert api.patch(f"/sources/{drifting.source}", json=changed).status_code == 200
        job = api.post("/jobs", json={"connectionId": drifting.id, "jobType": "sync"}).json()["jobId"]
        caller, _ = silent.accept()
        with caller:
            command = syncs.words(syncs.processes(airbyte_server)["source"].cmdline())
            config = Path(command[command.index("--config") + 1])
            assert config.exists()
            assert api.delete(f"/jobs/{job}").json()["status"] == "cancelled"
    assert not config.exists()


@behaves("propagate_columns")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "alter table purchases alter amount type text",
            "column amount is NUMERIC in marketplace-analytics.drift.purchases and now STRING at the source: undo the change, or drop",
        ),
        (
            "alter table purchases drop constraint purchases_pkey, add primary key (id, item)",
            "stream purchases stops: the key of its table was (id) and is now (id, item): undo the change",
        ),
        (
            "drop table purchases",
            "stream purchases stops: its table is missing at the source, or may not be read: create it",
        ),
        (
            "revoke select on purchases from marketplace_reader",
            "stream purchases stops: its table is missing at the source, or may not be read",
        ),
    ],
)
def test_what_cannot_be_followed_stops_its_stream_and_no_other(
    drifting: Drifting, db: Db, change: str, said: str, api: httpx.Client
) -> None:
    db.execute(change.encode())
    db.execute("insert into buyers values (3, 'Cy')")
    status, log = drifting.sync()
    assert status == "failed"
    assert f"error: {said}" in log.replace("error: stream purchases: column", "error: column")
    assert [row["id"] for row in drifting.rows("buyers")] == [1, 2, 3]
    assert len(drifting.rows("purchases")) == 2, "the table is as it was"
    newest = api.get("/jobs", params={"connectionId": drifting.id}).json()["data"][0]["jobId"]
    counts = {s["streamName"]: s["status"] for s in api.get(f"/jobs/{newest}/streams").json()}
    assert counts == {"buyers": "complete", "purchases": "failed"}


@pytest.mark.parametrize("behaviour", [drift.IGNORE, drift.DISABLE, drift.COLUMNS, drift.FULLY])
def test_a_table_of_the_same_name_in_another_schema_takes_no_stream_over(behaviour: str) -> None:
    def table(schema: str, name: str, *columns: str) -> dict[str, Any]:
        properties = {column: {"type": "integer"} for column in columns}
        return {"namespace": schema, "name": name, "json_schema": {"properties": properties}}

    before = [table("a", "orders", "id"), table("a", "users", "id")]
    streams = [{"name": name, "syncMode": "full_refresh_overwrite", "primaryKey": []} for name in ("orders", "users")]
    connection = {
        "nonBreakingSchemaUpdatesBehavior": behaviour,
        "streams": streams,
        "catalog": drift.shape_of(before),
    }
    # New in one schema each, and of one name.
    twins = [table("a", "parcels", "id"), table("b", "parcels", "id")] if behaviour != drift.DISABLE else []
    followed = drift.follow(connection, [*before, table("b", "orders", "id"), *twins])
    assert followed.columns == {"users": ["id"]}
    assert followed.stopped.keys() == {"orders"}
    assert "more than one schema has a table of this name" in followed.stopped["orders"]
    assert (followed.streams, followed.shape) == (streams, connection["catalog"])


@pytest.mark.parametrize(
    ("mode", "own", "before", "after", "stops"),
    [
        ("incremental_deduped_history", "a", "", "a", False),
        ("incremental_deduped_history", "ab", "a", "ab", False),
        ("incremental_deduped_history", "a", "b", "", True),
        ("incremental_deduped_history", "a", "a", "", True),
        ("incremental_append", "", "", "a", True),
        ("full_refresh_append", "", "", "a", False),
        ("full_refresh_overwrite", "a", "a", "ab", False),
        # The connection names a column that is not there.
        ("full_refresh_overwrite", "c", "a", "ab", True),
    ],
)
def test_a_changed_key_stops_what_goes_by_another(mode: str, own: str, before: str, after: str, stops: bool) -> None:
    def found(key: str) -> list[dict[str, Any]]:
        return [table("t", "ab") | {"source_defined_primary_key": [[column] for column in key]}]

    streams = [{"name": "t", "syncMode": mode, "primaryKey": [[column] for column in own]}]
    followed = drift.follow({"streams": streams, "catalog": drift.shape_of(found(before))}, found(after))
    assert list(followed.stopped) == (["t"] if stops else [])
    # The next change is told by what is remembered.
    assert followed.shape == drift.shape_of(found(before if stops else after))


@behaves("propagate_columns")
def test_a_table_that_is_gone_at_the_destination_is_not_filled_with_a_part_of_its_rows(
    drifting: Drifting, db: Db, emulator: Settings
) -> None:
    bigquery.client(emulator).delete_table(f"{DATASET}.purchases")
    db.execute("insert into purchases values (3, 'cup', 1)")
    status, log = drifting.sync()
    assert status == "failed"
    assert "purchases is gone, and this sync brings only what changed since the last one: run a refresh" in log
    status, log = drifting.sync("refresh")
    assert status == "succeeded", log
    assert [row["id"] for row in drifting.rows("purchases")] == [1, 2, 3]
    assert len(drifting.rows("buyers")) == 2


@behaves("propagate_columns")
def test_rows_that_come_without_being_written_are_read(drifting: Drifting, db: Db) -> None:
    """A column made anew under its old name, and a table put in another's place: no row carries a new transaction."""
    db.execute("create table stock (id int primary key, name text); insert into stock values (1, 'Eve'), (7, 'Flo')")
    drifting.sync()
    db.execute("alter table purchases drop item; alter table purchases add item text default 'unknown'")
    db.execute("alter table buyers rename to old_buyers; alter table stock rename to buyers")
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert [row["item"] for row in drifting.rows("purchases")] == ["unknown", "unknown"]
    assert [(row["id"], row["name"]) for row in drifting.rows("buyers")] == [(1, "Eve"), (2, "Bo"), (7, "Flo")]


@pytest.mark.parametrize(
    "drifting", [drift.IGNORE, drift.DISABLE, drift.COLUMNS, drift.FULLY], indirect=True, ids=lambda name: name
)
def test_a_changed_key_is_not_accepted_with_the_rest_of_a_schema(
    drifting: Drifting, db: Db, api: httpx.Client, emulator: Settings
) -> None:
    """Rows that differ in a column that is new to the key would collapse."""
    db.execute("alter table purchases drop constraint purchases_pkey, add primary key (id, item)")
    db.execute("insert into purchases values (1, 'mug', 3), (2, 'pan', 4)")
    connection = f"/connections/{drifting.id}"

    def stops() -> None:
        db.execute("insert into buyers select max(id) + 1, 'Cy' from buyers")
        status, log = drifting.sync()
        assert "error: stream purchases stops: the key of its table was (id) and is now (id, item)" in log
        assert (status, api.get(connection).json()["status"]) == ("failed", "active")
        assert [row["item"] for row in drifting.rows("purchases")] == ["cup", "pot"]

    stops()
    for status in ("inactive", "active"):
        assert api.patch(connection, json={"status": status}).status_code == 200
    stops()
    old = [stream | {"primaryKey": [["id"]]} for stream in STREAMS]
    assert api.patch(connection, json={"configurations": {"streams": old}}).status_code == 200
    stops()
    assert [row["id"] for row in drifting.rows("buyers")] == [1, 2, 3, 4, 5]
    new = [old[0], STREAMS[1] | {"primaryKey": [["id"], ["item"]]}]
    assert api.patch(connection, json={"configurations": {"streams": new}}).status_code == 200
    bigquery.client(emulator).delete_table(f"{DATASET}.purchases")
    status, log = drifting.sync("refresh")
    assert status == "succeeded", log
    assert sorted(row["item"] for row in drifting.rows("purchases")) == ["cup", "mug", "pan", "pot"]


@behaves("propagate_columns")
def test_a_column_that_comes_back_holds_nothing_of_what_it_held(drifting: Drifting, db: Db) -> None:
    db.execute("alter table purchases alter item drop not null")
    drifting.sync()
    db.execute("alter table purchases drop item")
    for _ in range(2):
        status, log = drifting.sync()
        assert status == "succeeded", log
    assert [row["item"] for row in drifting.rows("purchases")] == ["cup", "pot"]
    db.execute("alter table purchases add item text")
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert [row["item"] for row in drifting.rows("purchases")] == [None, None]


@behaves("propagate_columns")
def test_what_changes_the_values_of_rows_without_writing_one_is_read(drifting: Drifting, db: Db) -> None:
    db.execute("create type size as enum ('s', 'l'); create domain short as size")
    db.execute(
        "alter table buyers add size size default 's', add sizes size[] default '{l,s}', add short short default 'l'"
    )
    db.execute("alter table buyers add loud text generated always as (upper(name)) virtual")
    drifting.sync()
    db.execute("alter type size add value 'm' before 'l'")
    status, log = drifting.sync()
    assert "buyers: 0 records read" in log
    db.execute("alter type size rename value 's' to 'small'")
    status, log = drifting.sync()
    assert status == "succeeded", log
    assert "buyers: 2 records read" in log
    (ada, _) = drifting.rows("buyers")
    assert (ada["size"], ada["sizes"], ada["short"], ada["loud"]) == ("small", ["l", "small"], "l", "ADA")
    db.execute("alter table buyers alter loud set expression as (name || '!')")
    drifting.sync()
    assert [row["loud"] for row in drifting.rows("buyers")] == ["Ada!", "Bo!"]
    status, log = drifting.sync()
    assert "buyers: 0 records read" in log


def table(name: str, columns: Iterable[str] = ("id",)) -> dict[str, Any]:
    """A table as its source tells it."""
    properties = {column: {"type": "integer"} for column in columns}
    return {"name": name, "json_schema": {"properties": properties}, "source_defined_primary_key": [["id"]]}


def stream(name: str) -> dict[str, Any]:
    return {"name": name, "syncMode": "incremental_deduped_history", "primaryKey": [["id"]]}


def synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, known: str, found: str, meanwhile: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(job, connection) after a sync of stream a, while which the connection was changed: of a source that had the tables `known` and has those `found`."""
    store = Store(tmp_path)
    (tmp_path / "jobs").mkdir()
    place = {"host": "h", "port": 1, "database": "d", "project_id": "p", "dataset_id": "d"}
    source = store.create(SOURCE, {"sourceType": "postgres", "configuration": place})
    destination = store.create(DESTINATION, {"destinationType": "bigquery", "configuration": place})
    ends = {"sourceId": source, "destinationId": destination, "nonBreakingSchemaUpdatesBehavior": behaviour}
    before = {
        "name": "c",
        "status": "active",
        "streams": [stream("a")],
        "catalog": drift.shape_of([table(name) for name in known]),
    }
    connection = store.create(CONNECTION, ends | before)

    def discover(*_: object) -> list[dict[str, Any]]:
        changes = dict(meanwhile)
        if "catalog" in changes:
            changes["catalog"] = drift.shape_of([table(name) for name in changes["catalog"]])
        store.update(CONNECTION, connection, changes)
        return [table(name) for name in found]

    monkeypatch.setattr(worker.programs, "discover", discover)
    monkeypatch.setattr(worker.Job, "_pipe", lambda *_: None)
    job = store.create_job(connection, SYNC)
    worker.Job(store, job, tmp_path / "jobs").run()
    done, now = store.job(job), store.get(CONNECTION, connection)
    assert done
    assert now
    return done, now


@pytest.mark.parametrize(
    ("behaviour", "known", "found", "meanwhile", "streams", "catalog"),
    [
        ("ignore", "ab", "ab", {"streams": [stream("a"), stream("b")], "name": "renamed"}, "ab", "ab"),
        ("propagate_fully", "a", "ac", {"streams": [stream("a"), stream("b")], "catalog": "ab"}, "ab", "ab"),
        ("propagate_fully", "ab", "b", {"streams": [stream("a"), stream("b")]}, "ab", "ab"),
        ("propagate_fully", "a", "ac", {"name": "renamed"}, "ac", "ac"),
        # Somebody has set its status to active, which accepts the source as it is.
        ("propagate_fully", "a", "abc", {"catalog": "ab"}, "abc", "abc"),
        ("propagate_fully", "ab", "b", {"catalog": "abd"}, "", "abd"),
    ],
    ids=[
        "streams",
        "streams and a new table",
        "streams and a dropped table",
        "a name",
        "accepted",
        "accepted, dropped",
    ],
)
def test_a_change_of_the_connection_while_its_sync_looks_at_the_source_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
    known: str,
    found: str,
    meanwhile: dict[str, Any],
    streams: str,
    catalog: str,
) -> None:
    done, now = synced(tmp_path, monkeypatch, behaviour, known, found, meanwhile)
    assert done["status"] == "succeeded", done["message"]
    assert [s["name"] for s in now["streams"]] == list(streams)
    assert sorted(now["catalog"]) == list(catalog)
    assert now["name"] == meanwhile.get("name", "c")


@pytest.mark.parametrize(
    ("meanwhile", "status"),
    [({"name": "renamed"}, "inactive"), ({"catalog": "ab", "status": "active"}, "active")],
    ids=["renamed", "accepted"],
)
def test_a_source_that_is_accepted_while_the_sync_looks_at_it_disables_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: dict[str, Any], status: str
) -> None:
    done, now = synced(tmp_path, monkeypatch, "disable_connection", "a", "ab", meanwhile)
    assert done["status"] == "failed"
    assert now["status"] == status
