"""dbt's target `spark` makes of the same raw what its target `bigquery` makes: same tables and views, same rows, same tests passed.

The rounds share one warehouse, one lake and one session and build on each other, so the file runs as a whole, in its order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from unittest import mock

import pytest
from pyspark.sql import SparkSession

from stack import bigquery, dbt
from stack.settings import Settings
from tests.content import Content, content, content_on_spark, differences
from tests.dbt import raw_tables, scenario

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# `make faults` also runs dbt's unit tests on Spark, and a marketplace without a row; in the tests, both run on BigQuery only.
IN_FULL = "FAULT_HISTORIES" in os.environ
# What the second round builds upon: tables that it changes, and what these are made of. All else it makes anew.
FIRST = () if IN_FULL else ("+config.materialized:incremental", "+resource_type:snapshot")
LAYERS = ("intermediate", "marts", "quarantine")
HISTORY = "marts.dim_product_history"


def build_on_bigquery(settings: Settings, step: str, select: Sequence[str] = ()) -> Content:
    """Run a step in the warehouse; returns its content."""
    with mock.patch.dict(os.environ):
        assert dbt.run(settings, step, select=select) == 0, "dbt failed on BigQuery: see its output"
    return content(settings, LAYERS, with_landing=True, with_views=True)


def build_on_spark(
    settings: Settings, spark: SparkSession, *steps: str, full_refresh: bool = False, select: Sequence[str] = ()
) -> Content:
    """Mirror raw and run the steps in the lake; returns its content."""
    with mock.patch.dict(os.environ):
        assert dbt.run_on_spark(settings, spark, steps, full_refresh, select) == 0, (
            "dbt failed on Spark: see its output"
        )
    return content_on_spark(spark, LAYERS)


@pytest.fixture(scope="module", autouse=True)
def settings_of_the_session(spark: SparkSession) -> Iterator[None]:
    """dbt sets some on each statement; the jobs' tests go on with theirs."""
    names = ("spark.sql.ansi.enabled", "spark.sql.decimalOperations.allowPrecisionLoss")
    before = {name: spark.conf.get(name) for name in names}
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="module")
def first_on_spark(empty_warehouse: Settings, spark: SparkSession) -> Content:
    """Models alone: the second round judges what it builds upon these."""
    raw_tables.replace(bigquery.client(empty_warehouse), scenario.first_sync())
    return build_on_spark(empty_warehouse, spark, "models", select=FIRST)


def test_the_first_sync(empty_warehouse: Settings, first_on_spark: Content) -> None:
    assert differences(build_on_bigquery(empty_warehouse, "models", FIRST), first_on_spark) == {}


@pytest.mark.usefixtures("first_on_spark")
def test_a_second_sync_on_top_of_the_first(emulator: Settings, spark: SparkSession) -> None:
    raw_tables.replace(bigquery.client(emulator), scenario.second_sync())
    found = build_on_spark(emulator, spark, "build", *(["unit-tests"] if IN_FULL else []))
    # What dbt's tests say of the same rows on BigQuery is part of test_marts.py.
    assert differences(build_on_bigquery(emulator, "models"), found) == {}


if IN_FULL:

    def test_a_full_refresh_of_a_marketplace_without_a_row(emulator: Settings, spark: SparkSession) -> None:
        raw_tables.replace(bigquery.client(emulator), scenario.nothing())
        expected = build_on_bigquery(emulator, "models")
        found = build_on_spark(emulator, spark, "build", full_refresh=True)
        # The snapshot keeps the products of before, each closed at the time of the run that missed it.
        assert len(expected.pop(HISTORY)) == len(found.pop(HISTORY)) > 0
        assert {table for table, rows in expected.items() if rows} == {"intermediate.int_fx_rates_daily"}
        assert differences(expected, found) == {}
