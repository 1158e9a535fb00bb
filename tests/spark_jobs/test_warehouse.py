"""What a job's use of the warehouse leaves behind, and what it says when the warehouse fails it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud.bigquery.job import LoadJob
from pyarrow import fs

from spark_jobs.tables import ECB_FX_RATES, INT_SELLER_TIER_SCD2
from spark_jobs.warehouse import Staged, Warehouse
from stack import bigquery
from stack.bigquery import JOB_SECONDS
from stack.settings import Settings
from tests.dbt import raw_tables, scenario


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """A row of a seller without a tier."""
    pq.write_table(pa.table({"seller_id": ["s"]}), tmp_path / "a.parquet")
    return Staged(tmp_path.as_uri(), fs.LocalFileSystem(), str(tmp_path), ["a.parquet"], {"seller_id"}, 1)


def test_the_channel_to_the_read_api_is_closed(
    empty_warehouse: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_tables.replace(bigquery.client(empty_warehouse), scenario.first_sync())
    made = []

    def noted(*arguments: Any, make: Callable[..., Any] = bigquery.storage_client) -> Any:
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(bigquery, "storage_client", noted)
    warehouse = Warehouse(empty_warehouse)
    state = warehouse.raw_state(ECB_FX_RATES, None)
    assert warehouse.read(ECB_FX_RATES, state, None, fs.LocalFileSystem(), str(tmp_path)) == state.rows > 0
    with pytest.raises(ValueError, match="closed channel"):
        made[0].create_read_session(parent="projects/p", timeout=5)


def test_a_load_is_waited_for_within_a_bound_and_its_error_is_not_hidden_by_the_tidying(
    empty_warehouse: Settings, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []

    def failing(_: LoadJob, retry: object = None, timeout: float | None = None) -> None:
        bounds.append(timeout)
        raise TimeoutError("Operation did not complete within the designated timeout of 1800 seconds.")

    def gone(*_: object, **__: object) -> None:
        raise ServiceUnavailable("gone")

    warehouse = Warehouse(empty_warehouse)
    monkeypatch.setattr(LoadJob, "result", failing)
    monkeypatch.setattr(warehouse._client, "delete_table", gone)
    with pytest.raises(TimeoutError, match="did not complete"):
        warehouse.create(INT_SELLER_TIER_SCD2, staged)
    assert bounds == [JOB_SECONDS]


def test_results_in_a_dataset_of_their_own_touch_no_other(
    empty_warehouse: Settings, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    bq = bigquery.client(empty_warehouse)
    bigquery.create_dataset(bq, "beside", empty_warehouse.bigquery_location)
    warehouse = Warehouse(empty_warehouse, "beside")
    # Not even for a moment, as the rows to be published are.
    made = []
    create = warehouse._client.create_table
    monkeypatch.setattr(warehouse._client, "create_table", lambda t, **w: made.append(t.dataset_id) or create(t, **w))
    assert not warehouse.holds(INT_SELLER_TIER_SCD2)
    warehouse.create(INT_SELLER_TIER_SCD2, staged)
    warehouse.merge(INT_SELLER_TIER_SCD2, staged, datetime.datetime.now(datetime.UTC), is_whole=True)
    assert warehouse.holds(INT_SELLER_TIER_SCD2)
    assert warehouse.content(INT_SELLER_TIER_SCD2).rows > 0
    assert set(made) == {"beside"}
    assert [table.table_id for table in bq.list_tables("beside")] == [INT_SELLER_TIER_SCD2.name]
    assert not Warehouse(empty_warehouse).holds(INT_SELLER_TIER_SCD2)
    bq.delete_dataset("beside", delete_contents=True)
