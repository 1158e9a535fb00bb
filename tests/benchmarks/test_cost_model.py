"""The cost model does what it says with its inputs, and its committed result is theirs."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import cost_model
from benchmarks.cost_model import TIB, at, cost, crossovers, inputs, landing_cost, sensitivity
from stack.settings import ROOT

DESCRIBED = json.loads(cost_model.PRICES.read_text())
GIVEN = inputs(DESCRIBED)
# A made-up measurement with round numbers.
FOUND = {
    "dbt_bytes": {1.0: TIB / 10, 100.0: 10 * TIB},
    "raw_bytes": {1.0: TIB / 10, 100.0: 10 * TIB},
    "result_bytes": {1.0: 0.0, 100.0: 0.0},
    "extracted_at_bytes": {1.0: 0.0, 100.0: 0.0},
    "compared_bytes": {1.0: TIB / 100, 100.0: TIB},
    "merged_bytes": {1.0: TIB / 10, 100.0: 10 * TIB},
    "cpu_seconds": {"spark": {1.0: 28.8, 100.0: 2880.0}, "duckdb": {1.0: 36.0, 100.0: 3600.0}},
    "spark_changed_of_full": 0.1,
    "landed_bytes_a_run": {10.0: 10**9},
}


def test_the_committed_result_is_what_the_inputs_make() -> None:
    if not cost_model.OUTPUT.exists():
        assert not cost_model.measured()["dbt_bytes"]
        return
    made = cost_model.model(DESCRIBED, cost_model.measured())
    assert json.loads(json.dumps(made)) == json.loads(cost_model.OUTPUT.read_text()), "`make plots` reckons it anew"


def test_every_price_says_where_it_is_from_and_every_assumption_why() -> None:
    for name, item in DESCRIBED["prices"].items():
        assert item["url"].startswith("https://") and item["unit"] and item["value"] > 0, name
        assert datetime.date.fromisoformat(item["read"]) <= datetime.date.today(), name
        # What the vendor's page did not show says what it rests on.
        assert item["confirmed"] or item["note"], name
    assert all(item["why"] for item in DESCRIBED["assumptions"].values())


def test_values_between_and_beyond_measured_scales() -> None:
    points = {1.0: 10.0, 10.0: 28.0, 100.0: 208.0}
    assert [at(points, scale) for scale in (1, 10, 100)] == [10, 28, 208]
    assert at(points, 5.5) == 19
    assert at(points, 1000) == 208 + 900 * 2
    assert at({10.0: 5.0}, 100) == 50
    assert at({10.0: 5.0, 100.0: 500.0}, 1) == 0


def test_bigquery_on_demand_by_hand() -> None:
    # 30 runs of a tenth of a TiB are 3, of which one is free.
    assert cost("bigquery_on_demand", "full", 1, GIVEN, FOUND) == pytest.approx(2 * 6.25)
    # After a change: the inputs, what is compared, and the merged tables twice, once with 1 % of them as its source.
    read = 30 * (0.1 + 0.01 + 2.01 * 0.1) - 1
    assert cost("bigquery_on_demand", "incremental", 1, GIVEN, FOUND) == pytest.approx(read * 6.25)


def test_slots_have_a_least_and_then_grow_with_the_work() -> None:
    assert cost("bigquery_slots", "full", 1, GIVEN, FOUND) == pytest.approx(30 * 50 * 60 / 3600 * 0.04)
    assert cost("bigquery_slots", "full", 100, GIVEN, FOUND) == pytest.approx(30 * 1 * 0.04)


def test_a_cluster_by_hand() -> None:
    # 2,880 CPU seconds at 80 % of 12 vCPUs: 300 s, after 90 s of start.
    hourly = 12 * (0.04855 + 0.01)
    assert cost("spark_dataproc", "full", 100, GIVEN, FOUND) == pytest.approx(30 * (hourly * 390 / 3600 + 10 * 1.1))
    # A tenth of the work, and 1 % of the bytes.
    changed = 30 * (hourly * 120 / 3600 + 0.1 * 1.1)
    assert cost("spark_dataproc", "incremental", 100, GIVEN, FOUND) == pytest.approx(changed)


def test_publishing_by_hand() -> None:
    published = {**FOUND, "result_bytes": {100.0: TIB}, "extracted_at_bytes": {100.0: TIB / 10}}
    # All of it: the target, and the staged rows for the MERGE and for their sums; 1 % of it: the target, its sums, and the staged rows.
    for month, billed in (("full", 0.1 + 3), ("incremental", 0.1 + 2.01)):
        beside = cost("spark_dataproc", month, 100, GIVEN, published) - cost("spark_dataproc", month, 100, GIVEN, FOUND)
        assert beside == pytest.approx((30 * billed - 1) * 6.25)


def test_what_an_incremental_model_compares_is_what_its_sql_says() -> None:
    models = ROOT / "dbt" / "models" / "intermediate"
    found = {}
    for path in models.glob("*.sql"):
        sql = path.read_text()
        if "materialized='incremental'" in sql:
            macro = re.search(r"select_changed\('\w+', '(\w+)'(?:, \[(.*?)\])?\)", sql)
            columns = re.findall(r"stored\.(\w+)", sql)
            if macro:
                columns = [macro[1], *re.findall(r"\w+", macro[2])] if macro[2] else []
            found[path.stem] = set(columns)
    assert found == {name: set(columns) for name, (columns, _, _) in cost_model.DBT_INCREMENTAL.items()}


def test_what_an_incremental_run_reads_beside_its_inputs() -> None:
    def table(names: str) -> dict[str, Any]:
        return {"columns": dict.fromkeys(names.split(), 100 * 10**6)}

    tables = {
        "payments": table("id event_id amount _airbyte_extracted_at"),
        "orders": table("id _airbyte_extracted_at"),
    }
    tables |= {"order_items": tables["orders"], "int_payments_deduplicated": table("event_key amount")}
    results = {
        "int_payments_deduplicated": table("event_key _raw_extracted_at duplicate_count amount"),
        "int_orders_usd": table("order_id _raw_extracted_at fx_rate_date fx_rate_usd amount_usd"),
        "int_order_items_usd": table("order_item_id _raw_extracted_at order_date fx_rate_date fx_rate_usd amount_usd"),
        "int_payments_usd": table("event_key amount_usd"),
    }
    # What each compares, and the live keys.
    by_model = (3 + 3, 4 + 2, 5 + 2, 2 + 1)
    assert cost_model.compared_bytes(tables, results) == sum(by_model) * 100 * 10**6


def test_landing_by_hand() -> None:
    # At scale 10 a GB a run: 30 GB, of which one is in the plan.
    assert landing_cost(10, GIVEN, FOUND) == pytest.approx(10 + 29 * 10)


@given(
    st.sampled_from(cost_model.engines(FOUND)),
    st.sampled_from(cost_model.MONTHS),
    st.floats(0.5, 5000),
    st.floats(1, 10),
)
def test_more_never_costs_less(engine: str, month: str, scale: float, more: float) -> None:
    assert cost(engine, month, scale * more, GIVEN, FOUND) >= cost(engine, month, scale, GIVEN, FOUND) * (1 - 1e-9)
    for name in DESCRIBED["prices"]:
        # An allowance is the one input of which more is cheaper.
        sign = -1 if name == "bigquery_free_tib_month" else 1
        dearer = cost(engine, month, scale, {**GIVEN, name: GIVEN[name] * more}, FOUND)
        if name != "serverless_spark_dcus":  # more of them are dearer, and sooner done
            assert sign * (dearer - cost(engine, month, scale, GIVEN, FOUND)) >= -1e-9


def test_a_crossover_is_where_the_costs_are_equal() -> None:
    found = crossovers("incremental", GIVEN, FOUND)
    assert found
    for item in found:
        mine, its = (cost(item[who], "incremental", item["scale"], GIVEN, FOUND) for who in ("engine", "beside"))
        assert mine == pytest.approx(its, rel=0.02)


def test_an_input_that_an_engine_is_not_billed_for_does_not_move_it() -> None:
    found = sensitivity("full", 100, GIVEN, FOUND)
    assert found["bigquery_slot_hour"] == {"bigquery_slots": [0.5, 1.5]}
    assert "airbyte_cloud_gb" not in found
