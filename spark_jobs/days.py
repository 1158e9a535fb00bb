"""The days on which rows stand, and the condition on them that lets Delta skip every file of other days.

A marketplace's rows come in the order of time, and the lake keeps them in it: a file holds few days, and Delta knows each file's first and last one. So where a
change is looked for on its days only, most of a large table is not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from functools import reduce
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

# A condition of more ranges takes longer to plan than the files between them to read.
MOST_RANGES = 50

Days = set[date | None]


def days(rows: DataFrame, time: str) -> Days:
    """The UTC days of `rows` by their column `time`, a DATE or a TIMESTAMP; None is that of rows without a time."""
    return {row["day"] for row in rows.select(F.to_date(time).alias("day")).distinct().collect()}


def ranges(known: Iterable[date], most: int = MOST_RANGES) -> list[tuple[date, date]]:
    """The first and last days of at most so many ranges that hold all `known` days, with the widest gaps left out."""
    ordered = sorted(known)
    gaps = [(after - before, number) for number, (before, after) in enumerate(pairwise(ordered))]
    kept = sorted(number for gap, number in sorted(gaps, reverse=True)[: most - 1] if gap > timedelta(days=1))
    firsts = [0, *(number + 1 for number in kept)]
    lasts = [*kept, len(ordered) - 1]
    return [(ordered[first], ordered[last]) for first, last in zip(firsts, lasts, strict=True)] if ordered else []


def is_on(time: Column, wanted: Days) -> Column:
    """Whether a row stands on one of `wanted` days, or on one between two of them; never false for a row that does."""
    parts = [
        (time >= F.lit(first)) & (time < F.date_add(F.lit(last), 1))
        for first, last in ranges(day for day in wanted if day is not None)
    ]
    if None in wanted:
        parts.append(time.isNull())
    return reduce(Column.__or__, parts, F.lit(False))
