"""dbt's target `spark` makes of the same raw what its target `bigquery` makes: same tables and views, same rows, same tests passed.

The rounds share one warehouse, one lake and one session and build on each other, so the file runs as a whole, in its order.
"""

from __future__ import annotations

import os
from unittest import mock

import pytest
from pyspark.sql import SparkSession

from spark_jobs.databases import folder
from spark_jobs.lake import Lake
from stack import bigquery, dbt
from stack.settings import Settings
from tests.content import Content, content, content_on_spark, differences
from tests.dbt import raw_tables, scenario

pytestmark = pytest.mark.slow

LAYERS = ("intermediate", "marts", "quarantine")


def build_on_bigquery(settings: Settings, full_refresh: bool = False) -> Content:
    """Build and test everything in the warehouse; returns its content."""
    with mock.patch.dict(os.environ):
        assert dbt.run(settings, "build", full_refresh) == 0, "dbt failed on BigQuery: see its output"
    return content(settings, LAYERS, with_landing=True, with_views=True)


def build_on_spark(settings: Settings, spark: SparkSession, full_refresh: bool = False) -> Content:
    """Mirror raw, build and test everything in the lake; returns its content."""
    with mock.patch.dict(os.environ):
        assert dbt.run_on_spark(settings, spark, full_refresh) == 0, "dbt failed on Spark: see its output"
    return content_on_spark(spark, LAYERS)


def versions(settings: Settings, spark: SparkSession, database: str) -> dict[str, int]:
    """{table: its newest version in the lake}."""
    with Lake(spark, settings.lake_uri) as lake:
        places = {name: f"{folder(database)}/{name}" for name in lake.names(folder(database))}
        return {name: lake.position(place).version for name, place in places.items()}


@pytest.fixture(scope="module")
def first(emulator: Settings) -> Content:
    raw_tables.replace(bigquery.client(emulator), scenario.first_sync())
    return build_on_bigquery(emulator, full_refresh=True)


@pytest.fixture(scope="module")
def second(emulator: Settings, first: Content) -> Content:
    raw_tables.replace(bigquery.client(emulator), scenario.second_sync())
    return build_on_bigquery(emulator)


def test_the_first_sync(emulator: Settings, spark: SparkSession, first: Content) -> None:
    assert differences(first, build_on_spark(emulator, spark)) == {}


def test_the_same_again_reads_no_raw_row_and_changes_nothing(
    emulator: Settings, spark: SparkSession, first: Content
) -> None:
    before = versions(emulator, spark, "raw")
    assert differences(first, build_on_spark(emulator, spark)) == {}
    assert versions(emulator, spark, "raw") == before


def test_the_second_sync(emulator: Settings, spark: SparkSession, second: Content) -> None:
    assert differences(second, build_on_spark(emulator, spark)) == {}


def test_a_full_refresh(emulator: Settings, spark: SparkSession, second: Content) -> None:
    assert differences(second, build_on_spark(emulator, spark, full_refresh=True)) == {}


def test_a_marketplace_without_a_row(emulator: Settings, spark: SparkSession) -> None:
    raw_tables.replace(bigquery.client(emulator), scenario.nothing())
    expected = build_on_bigquery(emulator)
    assert {table for table, rows in expected.items() if rows} == {"intermediate.int_fx_rates_daily"}
    assert differences(expected, build_on_spark(emulator, spark)) == {}
