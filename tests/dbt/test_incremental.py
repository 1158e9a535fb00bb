"""Whatever the history and wherever it was cut into runs: the incremental tables are those of a full refresh, and events and tier periods are the oracle's.

One example is `UNIVERSES` random marketplaces at once (tests/dbt/histories.py), played over six nights with a dbt run after some of them. A failure names the
universe that differs, its history and the rows; `python -m pytest` with Hypothesis' printed blob repeats it. Nothing is shrunk: a universe is small already.
"""

from __future__ import annotations

import datetime
import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from stack import bigquery
from stack.settings import ROOT, Settings
from tests.content import content, differences
from tests.dbt import histories, oracle, raw_tables
from tests.dbt.histories import SYNCS, Universe, played
from tests.dbt.invocation import failures, invoke
from tests.dbt.judgement import oracle_differences, report

UNIVERSES = 120
# `make faults` plays as many as it is asked for; the tests can afford the one in which a run dies.
HISTORIES = int(os.environ.get("FAULT_HISTORIES", "0"))
LAYERS = ("intermediate", "marts", "quarantine")
# Views are made once: only what stores rows can be behind.
STORED = ("--exclude", "config.materialized:view", "resource_type:seed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project, by a path beside which dbt may leave its files."""
    link = tmp_path_factory.mktemp("incremental") / "dbt"
    link.symlink_to(ROOT / "dbt")
    return link


@pytest.fixture(scope="module")
def warehouse(empty_warehouse: Settings, project: Path) -> Settings:
    """A warehouse with the seed and every view."""
    raw_tables.replace(bigquery.client(empty_warehouse), histories.packed([played(0, 0, until=0)], seed=0, night=0))
    assert (
        failures(
            invoke(empty_warehouse, project, "build", "--exclude", "resource_type:test", "resource_type:unit_test")
        )
        == {}
    )
    return empty_warehouse


def cuts(seed: int) -> list[int]:
    """The nights after which dbt runs: the first, the last, one between."""
    return [0, 1 + seed % (len(SYNCS) - 2), len(SYNCS) - 1]


@pytest.mark.slow
@settings(
    max_examples=max(1, HISTORIES // UNIVERSES),
    deadline=None,
    derandomize=True,
    print_blob=True,
    database=None,
    phases=[Phase.explicit, Phase.generate] if HISTORIES else [Phase.explicit],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32), was_killed=st.booleans())
@example(seed=0, was_killed=True)
def test_incremental_is_full_refresh_is_the_oracle(
    warehouse: Settings, project: Path, seed: int, was_killed: bool
) -> None:
    bq = bigquery.client(warehouse)
    universes = [Universe(seed, number) for number in range(UNIVERSES)]
    runs = cuts(seed)
    for night in range(len(SYNCS)):
        for universe in universes:
            universe.sync(night)
        if night not in runs:
            continue
        tables = histories.packed(universes, seed, night)
        raw_tables.replace(bq, tables)
        # A run that is killed after the heavy models leaves marts that are one run behind them.
        selection = ("--select", "tag:heavy") if was_killed and night == runs[1] else ()
        # The tables of the example before have nothing to do with this one.
        mode = ("--full-refresh",) if night == 0 else ()
        assert failures(invoke(warehouse, project, "run", *mode, *selection, *STORED)) == {}
    incremental = content(warehouse, LAYERS, with_landing=True)
    found = oracle_differences(
        bq,
        {
            "intermediate.int_payments_deduplicated": oracle.payment_events(tables["payments"]),
            "intermediate.int_seller_tier_scd2": oracle.tier_periods(tables["seller_tier_history"]),
        },
    )
    assert not found, report(found, universes)

    assert failures(invoke(warehouse, project, "run", "--full-refresh", *STORED)) == {}
    full = differences(incremental, content(warehouse, LAYERS, with_landing=True))
    assert not full, "left is incremental, right is the full refresh\n" + report(full, universes)


def test_the_histories_contain_everything_that_they_are_for() -> None:
    """Of seed 0, which Hypothesis tries first, and of few universes: each other seed has as many of its own."""
    seen: set[str] = set()
    for number in range(UNIVERSES):
        seen |= played(0, number).kinds
    assert histories.KINDS - seen == set()


def test_the_oracle_on_a_history_by_hand() -> None:
    """The oracle is judged, too: a replay that came late but happened first, a deleted row, an empty last tier row that ends the one before it."""
    day = [datetime.datetime(2026, 1, n, tzinfo=datetime.UTC) for n in range(1, 9)]
    common = {"order_id": "o", "payment_provider": "stripe", "amount": Decimal(1), "currency": "usd "}
    common |= {"platform_fee": None, "seller_payout": None, "event_id": "e"}
    payments = [
        common | {"id": "b", "status": "completed", "created_at": day[1], "event_timestamp": day[1]},
        common | {"id": "a", "status": "pending", "created_at": day[2], "event_timestamp": day[0]},
        common
        | {"id": "c", "status": "failed", "created_at": day[3], "event_timestamp": day[3], "_deleted_at": day[5]},
        common | {"id": "d", "status": "failed", "created_at": day[3], "event_timestamp": None, "event_id": " "},
    ]
    events = oracle.payment_events(row | {"_airbyte_extracted_at": day[4]} for row in payments)
    assert [(e["event_key"], e["payment_id"], e["status"], e["duplicate_count"]) for e in events] == [
        ("e", "a", "completed", 1),
        ("payment:d", "d", "failed", 0),
    ]
    tiers = [
        {"id": 1, "tier": "gold", "effective_from": day[0], "effective_to": day[1], "created_at": None},
        {"id": 2, "tier": "gold", "effective_from": day[1], "effective_to": None, "created_at": day[1]},
        {"id": 3, "tier": "bronze", "effective_from": day[2], "effective_to": day[2], "created_at": day[1]},
    ]
    periods = oracle.tier_periods(
        row | {"user_id": "s", "change_reason": None, "_airbyte_extracted_at": day[4]} for row in tiers
    )
    assert [(p["tier"], p["valid_from"], p["valid_to"], p["is_current"]) for p in periods] == [
        ("gold", day[0], day[2], False)
    ]
