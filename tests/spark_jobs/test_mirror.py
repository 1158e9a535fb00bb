"""The lake's mirror of raw is raw, whatever becomes visible there in which order, and costs nothing when nothing did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs import mirror_raw, payment_dedup
from spark_jobs.errors import JobError
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake, TableState
from spark_jobs.progress import Progress
from spark_jobs.tables import PAYMENTS, RawTable
from spark_jobs.warehouse import Warehouse
from stack import bigquery
from stack.failures import own_failure
from stack.settings import Settings
from tests.dbt import raw_tables

pytestmark = pytest.mark.slow

BEFORE, SYNC, SWEEP, NEXT_SYNC = (f"2026-10-{time}:00Z" for time in ("28T03:00", "29T03:00", "29T03:05", "30T03:00"))


def payment(id_: str, status: str, landed: str, **columns: Any) -> raw_tables.Row:
    names = {"id": id_, "order_id": "o", "status": status, "amount": "1", "currency": "EUR", "created_at": BEFORE}
    return names | {"_airbyte_raw_id": f"{id_}-{landed}", "_airbyte_extracted_at": landed} | columns


class Deployment:
    """A warehouse and a lake of their own, with raw.payments alone."""

    def __init__(self, settings: Settings, spark: SparkSession, lake: Path) -> None:
        """Nothing is landed yet."""
        self._settings, self._spark, self._uri = settings, spark, lake.as_uri()

    def land(self, *payments: raw_tables.Row) -> None:
        raw_tables.replace(bigquery.client(self._settings), {"payments": payments})

    def run(self) -> TableState:
        """Spark's job. Returns what it remembers of the mirror."""
        with Lake(self._spark, self._uri) as lake:
            Run(lake, Warehouse(self._settings), Progress()).carry_out([payment_dedup.update])
            return lake.state("payment_dedup")[PAYMENTS.lake_name]

    def published(self) -> dict[str, str]:
        sql = "select payment_id, status from intermediate.int_payments_deduplicated"
        return {row["payment_id"]: row["status"] for row in bigquery.query(bigquery.client(self._settings), sql)}


@pytest.fixture
def deployment(empty_warehouse: Settings, spark: SparkSession, tmp_path: Path) -> Deployment:
    """An empty one; the tests' tables replace each other's."""
    bigquery.client(empty_warehouse).delete_table("intermediate.int_payments_deduplicated", not_found_ok=True)
    return Deployment(empty_warehouse, spark, tmp_path)


SWEPT = payment("swept", "completed", SWEEP, _deleted_at=SWEEP)


@pytest.mark.parametrize("fresh", [(), (payment("new", "pending", NEXT_SYNC),)], ids=["alone", "beside what is new"])
def test_what_a_sync_commits_after_a_sweep_that_began_later_is_read(
    deployment: Deployment, fresh: tuple[raw_tables.Row, ...]
) -> None:
    """The sync had begun when the sweep stamped its deletion, which the job has read by then: the row lands below its watermark."""
    deployment.land(payment("late", "pending", BEFORE), SWEPT)
    deployment.run()
    deployment.land(payment("late", "completed", SYNC), SWEPT, *fresh)
    deployment.run()
    assert deployment.published() == {"late": "completed"} | {str(row["id"]): str(row["status"]) for row in fresh}


def test_a_merge_keeps_the_checksum_without_a_look_at_the_table(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.land(payment("stays", "pending", BEFORE), payment("moves", "pending", BEFORE))
    deployment.run()
    inspect = Lake.inspect

    def looked(lake: Lake, name: str) -> TableState:
        assert name != PAYMENTS.lake_name
        return inspect(lake, name)

    monkeypatch.setattr(Lake, "inspect", looked)
    deployment.land(
        payment("stays", "pending", BEFORE), payment("moves", "completed", SYNC), payment("new", "failed", SYNC)
    )
    merged = deployment.run()
    assert merged.rows == 3
    assert deployment.run() == merged
    assert deployment.published() == {"stays": "pending", "moves": "completed", "new": "failed"}


def test_a_log_that_says_the_same_twice_is_mirrored_row_for_row(
    empty_warehouse: Settings, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows have no key: one that is set back to what it was lands with the id that it had then."""
    assert mirror_raw.keys()["event_log"] == ()
    warehouse = Warehouse(empty_warehouse)

    def event(raw_id: str, landed: str, **columns: Any) -> raw_tables.Row:
        return {"id": 1, "event_data": "{}", "_airbyte_raw_id": raw_id, "_airbyte_extracted_at": landed} | columns

    def is_made_anew(*events: raw_tables.Row) -> bool:
        """Mirror what has landed; returns whether that took all of it."""
        raw_tables.replace(bigquery.client(empty_warehouse), {"event_log": events})
        log = RawTable("event_log", (), warehouse.raw_columns("event_log"))

        def refresh(run: Run) -> None:
            job = run.job("mirror_raw")
            job.refresh(log)
            job.complete()

        with Lake(spark, tmp_path.as_uri()) as lake:
            Run(lake, warehouse, Progress()).carry_out([refresh])
            at = F.date_format("_airbyte_extracted_at", "yyyy-MM-dd'T'HH:mm:ssX")
            found = lake.read(log.lake_name).select("_airbyte_raw_id", at, "event_data").collect()
        names = ("_airbyte_raw_id", "_airbyte_extracted_at", "event_data")
        assert sorted(map(str, map(tuple, found))) == sorted(str(tuple(map(one.get, names))) for one in events)
        return "made anew" in capsys.readouterr().err

    once, changed, back = event("a", BEFORE), event("b", SYNC), event("a", NEXT_SYNC)
    assert [is_made_anew(once), is_made_anew(once, changed), is_made_anew(once, changed, back)] == [False] * 3
    # Purged at the source: the sweep stamps every version at one moment.
    swept = [dict(one, _airbyte_extracted_at="2026-10-31T03:05:00Z") for one in (once, changed, back)]
    assert is_made_anew(*swept)
    # Forgotten: older versions are emptied and keep their landing.
    emptied = [dict(one, event_data=None) for one in (once, changed)]
    assert is_made_anew(once, changed)
    assert is_made_anew(emptied[0], dict(emptied[1], _airbyte_extracted_at="2026-10-31T03:10:00Z"))


def test_a_state_saved_before_there_were_checksums_is_taken_up(deployment: Deployment, tmp_path: Path) -> None:
    deployment.land(payment("one", "pending", BEFORE))
    known = deployment.run()
    saved = tmp_path / "_state" / "payment_dedup.json"
    old = {
        name: {k: v for k, v in table.items() if k != "checksum"}
        for name, table in json.loads(saved.read_text()).items()
    }
    saved.write_text(json.dumps(old))
    assert deployment.run() == known


def test_an_amount_that_the_lake_cannot_hold_is_an_error_that_names_it(deployment: Deployment, tmp_path: Path) -> None:
    deployment.land(payment("fits", "pending", BEFORE), payment("does not", "pending", BEFORE, amount="1.005"))
    with pytest.raises(JobError, match=r"raw\.payments\.amount has a value") as failed:
        deployment.run()
    # dbt can do it, and the DAG lets it.
    assert own_failure(str(failed.value))
    assert not list((tmp_path / PAYMENTS.lake_name).glob("landed-*"))
    deployment.land(payment("fits", "pending", BEFORE), payment("does not", "pending", SYNC, amount="1.01"))
    deployment.run()
    assert set(deployment.published()) == {"fits", "does not"}
