"""A condition on days keeps every row that stands on one, and few ranges keep few others."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_jobs.days import days, is_on, ranges

DAYS = st.sets(st.dates(date(2026, 1, 1), date(2026, 3, 1)), max_size=20)


@given(known=DAYS, most=st.integers(1, 5))
def test_ranges_hold_every_day_and_are_few(known: set[date], most: int) -> None:
    found = ranges(known, most)
    assert len(found) <= most
    assert all(any(first <= day <= last for first, last in found) for day in known)
    assert {day for pair in found for day in pair} <= known
    # Neither touching nor in disorder.
    assert all(before[1] + timedelta(days=1) < after[0] for before, after in pairwise(found))


def test_the_widest_gaps_are_left_out() -> None:
    known = {date(2026, 1, day) for day in (1, 2, 5, 20)}
    assert ranges(known, 2) == [(date(2026, 1, 1), date(2026, 1, 5)), (date(2026, 1, 20), date(2026, 1, 20))]
    assert ranges(known) == [(date(2026, 1, 1), date(2026, 1, 2)), *[(date(2026, 1, day),) * 2 for day in (5, 20)]]


@pytest.mark.parametrize("type_", ["date", "timestamp"])
def test_rows_are_found_by_their_utc_day(spark: SparkSession, type_: str) -> None:
    times = ["2026-01-01 00:00:00", "2026-01-01 23:59:59.999999", "2026-01-02 00:00:00", "9999-12-31 23:59:59", None]
    rows = spark.createDataFrame([(time,) for time in times], "text string").selectExpr(
        "text", f"cast(text as {type_}) as time"
    )
    assert days(rows, "time") == {date(2026, 1, 1), date(2026, 1, 2), date(9999, 12, 31), None}

    def kept(wanted: set[date | None]) -> list[str | None]:
        return [row["text"] for row in rows.where(is_on(rows["time"], wanted)).collect()]

    assert kept({date(2026, 1, 1)}) == times[:2]
    assert kept({date(9999, 12, 31), None}) == times[3:]
    assert kept(set()) == []
