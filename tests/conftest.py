"""Fixtures that every room's tests share: a real Postgres, a real BigQuery emulator and a Spark session, on ports and folders of their own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stack import bigquery, bootstrap
from stack import emulator as emulator_service
from stack import postgres as postgres_service
from stack import settings as stack_settings
from stack.processes import free_port
from stack.settings import DATASETS, Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """A deployment of the tests' own: free ports, a folder that goes with the session. Also exported to the environment for subprocesses."""
    local = Path(tempfile.mkdtemp(prefix="marketplace-elt-test-"))
    names = ("POSTGRES_PORT", "BIGQUERY_PORT", "BIGQUERY_GRPC_PORT", "AIRBYTE_PORT", "AIRFLOW_PORT")
    chosen = {"LOCAL_DIR": str(local)} | {name: str(free_port()) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        # Whatever a user has set for a deployment of theirs, in .env too: the tests write to no warehouse but their own.
        for name in stack_settings.VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in chosen.items():
            patch.setenv(name, value)
        # Subprocesses run the same interpreter, from any folder.
        patch.setenv("PYTHONPATH", str(stack_settings.ROOT))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        loaded = stack_settings.load()
        yield loaded
        postgres_service.remove(loaded)
        shutil.rmtree(local, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(settings: Settings) -> Iterator[Settings]:
    """A running, empty source database."""
    postgres_service.start(settings)
    yield settings
    postgres_service.stop(settings)


@pytest.fixture(scope="session")
def emulator(settings: Settings) -> Iterator[Settings]:
    """A running, empty BigQuery emulator with the project's datasets."""
    emulator_service.start(settings)
    yield settings
    emulator_service.stop(settings)


@pytest.fixture(scope="module")
def empty_warehouse(emulator: Settings) -> Settings:
    """The session's warehouse with nothing left of the file of tests before: a snapshot, a heavy table, a memory would be part of the story."""
    bq = bigquery.client(emulator)
    for name in DATASETS:
        bq.delete_dataset(name, delete_contents=True, not_found_ok=True)
    bigquery.create_datasets(bq, emulator.bigquery_location)
    return emulator


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """One small Spark session for all tests: a second one would be the first."""
    from spark_jobs.session import open_session

    session = open_session(settings, "tests", shuffle_partitions=2)
    yield session
    session.stop()


# The files that take longest, longest first: the last worker to end is then not the one that began with the longest at the end.
LONGEST = (
    "e2e/test_pipeline.py",
    "spark_jobs/test_interleavings.py",
    "airbyte/faults/test_faults.py",
    "dbt/test_incremental.py",
    "dbt/test_spark.py",
    "dbt/test_marts.py",
    "e2e/test_foreign_source.py",
    "e2e/test_bad_input.py",
    "spark_jobs/test_cluster.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all else keeps its order. xdist hands out whole files in this order (`--no-loadscope-reorder`)."""
    tests = Path(__file__).parent
    order = {tests / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_report_header() -> list[str]:
    """The machine, for whoever reads a log; also what is not tested on it."""
    try:
        browser = bootstrap.browser()
    except bootstrap.Missing as missing:
        browser = str(missing)
    return [f"cores: {os.cpu_count()}", f"browser: {browser}"]
