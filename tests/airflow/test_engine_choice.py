"""The engine decision is a pure function of volume, threshold and request, and says why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketplace.engine_choice import ENGINES, choose_engine


@pytest.mark.parametrize(
    ("pending", "engine"),
    [(0, "dbt"), (999_999, "dbt"), (1_000_000, "spark"), (1_000_001, "spark"), (None, "spark")],
)
def test_the_threshold_itself_is_spark_and_one_below_is_dbt(pending: int | None, engine: str) -> None:
    assert choose_engine(pending, 1_000_000).engine == engine


def test_the_reason_names_volume_and_threshold() -> None:
    assert choose_engine(1_200_000, 1_000_000).reason == "spark: 1,200,000 rows pending, the threshold is 1,000,000"
    assert choose_engine(7, 1_000_000).reason == "dbt: 7 rows pending, fewer than the threshold of 1,000,000"


@given(st.none() | st.integers(0, 10**12), st.integers(0, 10**12), st.sampled_from(ENGINES))
def test_a_forced_engine_beats_any_volume(pending: int | None, threshold: int, requested: str) -> None:
    decision = choose_engine(pending, threshold, requested)
    assert decision.engine == requested
    assert "asked for" in decision.reason


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_more_rows_never_turn_spark_into_dbt(pending: int, threshold: int) -> None:
    if choose_engine(pending, threshold).engine == "spark":
        assert choose_engine(pending + 1, threshold).engine == "spark"


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="engine must be one of auto, dbt, spark, not 'duckdb'"):
        choose_engine(1, 1, "duckdb")
