"""What is called the cheaper engine, and which volumes the policy learns from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.cost_policy import by_all_prices, history, judged, really_cheaper, told
from benchmarks.deployment import RESULTS, Json, dag_module

FREE = {"dbt": (0.0, 0.0), "spark": (0.0, 0.0)}
SPARK_BY_THE_HOUR = {"dbt": (0.0, 6.25), "spark": (3.6, 0.0)}
OUT_OF_MEMORY = "out of memory"


def prices(of: dict[str, tuple[float, float]]) -> dict[str, Any]:
    return {engine: dag_module("engine_choice").Price(*price) for engine, price in of.items()}


def measured(rows: int, dbt: float, spark: float, size: int = 0, failed: str | None = None, at: str = "plain") -> Json:
    return {
        "warehouse": at,
        "rows": rows,
        "pending": {"int_payments_deduplicated": (rows, size)},
        "dbt": {"seconds": dbt, "failed": failed},
        "spark": {"seconds": spark, "failed": None},
    }


@pytest.mark.parametrize(
    ("run", "of", "cheaper"),
    [
        (measured(1, dbt=10, spark=20), FREE, "dbt"),
        (measured(1, dbt=20, spark=10), FREE, "spark"),
        # An hour at 3.60 is a tenth of a cent a second: ten seconds are a cent, and so are 1.76 GB at 6.25 a TiB.
        (measured(1, dbt=1, spark=10, size=1_600_000_000), SPARK_BY_THE_HOUR, "dbt"),
        (measured(1, dbt=1, spark=10, size=1_900_000_000), SPARK_BY_THE_HOUR, "spark"),
        (measured(1, dbt=1, spark=100, failed=OUT_OF_MEMORY), FREE, "spark"),
    ],
)
def test_the_cheaper_engine_by_hand(run: Json, of: dict[str, tuple[float, float]], cheaper: str) -> None:
    assert really_cheaper(run, prices(of)) == cheaper


def test_a_failure_is_told_by_its_reason_and_is_one_in_the_history() -> None:
    run = measured(5, dbt=1, spark=1000.4, failed=OUT_OF_MEMORY)
    assert [told(run[engine]) for engine in ("dbt", "spark")] == [OUT_OF_MEMORY, "1,000"]
    assert [(past.engine, past.rows, past.outcome) for past in history([run])] == [
        ("dbt", 5, "engine failed"),
        ("spark", 5, "success"),
    ]


def test_every_second_volume_of_a_warehouse_is_judged_by_the_others_of_it() -> None:
    millions = (1, 2, 8, 16, 20, 24)
    # Where dbt takes six seconds for a million rows; Spark two, and half a minute before.
    slow = [measured(n * 1_000_000, dbt=n * 6, spark=30 + n * 2, at="1 GB") for n in millions]
    quick = [measured(n * 1_000_000, dbt=1, spark=30 + n * 2) for n in millions]
    found = judged([*reversed(slow), *quick], prices(FREE))
    assert [(one["warehouse"], one["rows"] // 1_000_000, one["chosen"], one["is_right"]) for one in found] == [
        ("plain", 2, "dbt", True),
        ("plain", 16, "dbt", True),
        ("plain", 24, "dbt", True),
        ("1 GB", 2, "dbt", True),
        ("1 GB", 16, "spark", True),
        ("1 GB", 24, "spark", True),
    ]


def test_a_choice_that_costs_more_is_wrong() -> None:
    # What was learned at one volume does not hold at the next.
    runs = [measured(100, dbt=1, spark=30), measured(200, dbt=500, spark=30)]
    assert [(one["chosen"], one["cheaper"], one["is_right"]) for one in judged(runs, prices(FREE))] == [
        ("dbt", "spark", False)
    ]


def test_the_committed_choices_are_those_of_the_engine_choice_as_it_is() -> None:
    """Else: `python -m benchmarks.cost_policy --measured`, and `make plots`."""
    kept = json.loads((RESULTS / "cost_policy.json").read_text())
    assert by_all_prices(kept["runs"]) == kept["choices"]
