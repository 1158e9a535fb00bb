"""Whoever runs, misses its turn or dies half-way, night after night: the heavy tables are the oracle's, and those of the other engine's full refresh.

An example is a set of random marketplaces at once (tests/dbt/histories.py), each with a history of its own over six nights. Each night has its own happening:
one engine, none, both at once, an engine that dies on either side of any of its commits, or a whole process killed -9. The last night's run, by either engine,
ends well; whatever happened before must have left nothing that it cannot make good.

`make faults` plays FAULT_HISTORIES of them, and kills processes; here one example with a fixed seed and fewer runs is what the tests can afford.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from spark_jobs.heavy_steps import STEPS
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.warehouse import Warehouse
from stack import bigquery
from stack.parity_audit import HEAVY_TABLES
from stack.settings import ROOT, Settings
from tests.content import Content, content, differences
from tests.dbt import histories, raw_tables
from tests.dbt.histories import SYNCS, Universe, played
from tests.dbt.invocation import failures, invoke
from tests.dbt.judgement import oracle_differences, report
from tests.spark_jobs import marketplace
from tests.spark_jobs.nights import by_night

UNIVERSES = 120
HISTORIES = int(os.environ.get("FAULT_HISTORIES", "120"))
# Everything that a Spark job commits, one atomic step each.
COMMITS = (
    (Lake, "overwrite"),
    (Lake, "_commit_files"),
    (Lake, "merge"),
    (Lake, "save_state"),
    (Warehouse, "create"),
    (Warehouse, "merge"),
)
ENGINES = ("dbt", "spark")
HAPPENINGS = (*ENGINES, *ENGINES, "nobody", "dbt dies", "spark dies", "spark dies", "both at once")


class Death(BaseException):
    """The process ends here; nothing may catch it."""


class Pipeline:
    """The heavy steps on one warehouse and one lake, by either engine, with everything that can go wrong."""

    def __init__(self, warehouse: Settings, spark: SparkSession, lake: Path, project: Path) -> None:
        """`project` is the dbt project, by a path beside which dbt may leave its files."""
        self._settings, self._spark, self._lake, self._project = warehouse, spark, lake, project

    def happen(self, happening: str, chance: random.Random) -> None:
        """One night."""
        happenings: dict[str, Callable[[random.Random], None]] = {
            "dbt dies": self._dbt_dies,
            "spark dies": self._spark_dies,
            "spark is killed": self._spark_is_killed,
            "both at once": self._both_at_once,
        }
        if happening in ENGINES:
            self.run(happening)
        else:
            happenings[happening](chance)

    def run(self, engine: str, full_refresh: bool = False) -> None:
        """A run that ends well."""
        if engine == "dbt":
            mode = ("--full-refresh",) if full_refresh else ()
            assert failures(invoke(self._settings, self._project, "run", "--selector", "heavy", *mode)) == {}
            return
        with Lake(self._spark, self._lake.as_uri()) as lake:
            Run(lake, Warehouse(self._settings), Progress(), full_refresh).carry_out(STEPS)

    def content(self) -> Content:
        """The heavy tables, landing columns included."""
        found = content(self._settings, ("intermediate",), with_landing=True)
        return {f"intermediate.{name}": found[f"intermediate.{name}"] for name in HEAVY_TABLES}

    def _dbt_dies(self, chance: random.Random) -> None:
        """dbt replaces or merges a table by one statement, so a killed run is one that made some of them."""
        made = chance.sample(HEAVY_TABLES, chance.randint(1, len(HEAVY_TABLES) - 1))
        invoke(self._settings, self._project, "run", "--select", *made)

    def _spark_dies(self, chance: random.Random) -> None:
        with dying_at(chance.randint(0, 24), before=chance.random() < 0.5), suppress(Death):
            self.run("spark")

    def _spark_is_killed(self, chance: random.Random) -> None:
        """kill -9 of the process and its JVM, after some line of its progress."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "spark_jobs" / "heavy_steps.py"), "--lake-uri", self._lake.as_uri()],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=os.environ | self._settings.environment(),
        )
        assert process.stderr is not None
        lines = chance.randint(1, 15)
        for line in process.stderr:
            lines -= " rows " in line
            if not lines:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def _both_at_once(self, _chance: random.Random) -> None:
        """Either may fail when the other one is in its way; the next run has to make it good."""
        dbt = subprocess.Popen(
            [sys.executable, "-m", "stack.dbt", "heavy"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | self._settings.environment(),
        )
        try:
            self.run("spark")
        except Exception as error:
            print(f"spark beside dbt: {error}")
        dbt.wait()


@contextmanager
def dying_at(number: int, before: bool) -> Iterator[None]:
    """Die at the commit of this number (from 0), just before or just after it; of fewer commits, not at all."""
    commits = 0

    def mortal(commit: Callable[..., Any]) -> Callable[..., Any]:
        def committing(*arguments: Any, **named: Any) -> Any:
            nonlocal commits
            is_last, commits = commits == number, commits + 1
            if is_last and before:
                raise Death
            answer = commit(*arguments, **named)
            if is_last:
                raise Death
            return answer

        return committing

    patches = [mock.patch.object(owner, name, mortal(getattr(owner, name))) for owner, name in COMMITS]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def opinions(tables: histories.Tables) -> dict[str, list[histories.Row]]:
    """What the heavy tables must hold, in plain Python."""
    rates = tables["ecb_fx_rates"]
    return {
        "intermediate.int_payments_deduplicated": marketplace.deduplicated(rows_of(tables, "payments")),
        "intermediate.int_orders_usd": marketplace.orders_usd(rows_of(tables, "orders"), rates),
        "intermediate.int_order_items_usd": marketplace.order_items_usd(
            rows_of(tables, "order_items"), rows_of(tables, "orders"), rates
        ),
        "intermediate.int_payments_usd": marketplace.payments_usd(rows_of(tables, "payments"), rates),
        "intermediate.int_seller_tier_scd2": marketplace.tier_periods(rows_of(tables, "seller_tier_history")),
    }


def rows_of(tables: histories.Tables, table: str) -> list[histories.Row]:
    """A raw table's rows with every column."""
    return [dict.fromkeys(raw_tables.SCHEMAS[table]) | row for row in tables[table]]


@pytest.fixture(scope="module")
def warehouse(empty_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A warehouse with the seed and the staging views, and the dbt project."""
    bq = bigquery.client(empty_warehouse)
    project = tmp_path_factory.mktemp("interleavings") / "dbt"
    project.symlink_to(ROOT / "dbt")
    raw_tables.replace(bq, histories.packed([played(0, 0, 0)], seed=0, night=0))
    built = invoke(empty_warehouse, project, "run", "--select", "path:models/staging", "int_fx_rates_daily")
    seeded = invoke(empty_warehouse, project, "seed")
    assert failures(seeded) == failures(built) == {}
    return empty_warehouse, project


@pytest.fixture
def pipeline(warehouse: tuple[Settings, Path], spark: SparkSession, tmp_path: Path) -> Pipeline:
    """Nothing is built, and the lake is empty."""
    settings, project = warehouse
    for name in HEAVY_TABLES:
        bigquery.client(settings).delete_table(f"intermediate.{name}", not_found_ok=True)
    return Pipeline(settings, spark, tmp_path / "lake", project)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_the_other_engine_made_of_a_state_that_is_gone_again_goes(
    warehouse: tuple[Settings, Path], pipeline: Pipeline
) -> None:
    """Neither a rate nor an order's date leaves a landing in the rows that it touches, nor are there more or fewer of them."""
    settings, project = warehouse
    bq = bigquery.client(settings)
    for night, engine in enumerate(("spark", "dbt", "spark")):
        tables = by_night(night)
        raw_tables.replace(bq, tables)
        assert failures(invoke(settings, project, "run", "--select", "int_fx_rates_daily")) == {}
        pipeline.run(engine)
        assert not oracle_differences(bq, opinions(tables)), (night, engine)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@examples(
    max_examples=max(1, HISTORIES // UNIVERSES),
    deadline=None,
    derandomize=True,
    print_blob=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32))
def test_any_interleaving_ends_in_the_same_tables(
    warehouse: tuple[Settings, Path],
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    settings, project = warehouse
    bq, chance = bigquery.client(settings), random.Random(seed)
    pipeline = Pipeline(settings, spark, tmp_path_factory.mktemp("lake"), project)
    universes = [Universe(seed, number) for number in range(min(UNIVERSES, HISTORIES))]
    for name in HEAVY_TABLES:
        bq.delete_table(f"intermediate.{name}", not_found_ok=True)
    nights = [chance.choice(HAPPENINGS) for _ in SYNCS[:-1]] + [chance.choice(ENGINES)]
    if "FAULT_HISTORIES" in os.environ:
        nights[chance.randrange(len(SYNCS) - 1)] = "spark is killed"
    else:
        # Three runs, and nights to catch up with in between.
        nights[1] = nights[2] = nights[3] = "nobody"
    print(f"seed {seed}: {', '.join(nights)}", flush=True)
    for night, happening in enumerate(nights):
        for universe in universes:
            universe.sync(night)
        if happening == "nobody":
            continue
        tables = histories.packed(universes, seed, night)
        raw_tables.replace(bq, tables)
        # Part of the step before, whichever engine's turn it is.
        assert failures(invoke(settings, project, "run", "--select", "int_fx_rates_daily")) == {}
        pipeline.happen(happening, chance)

    found = oracle_differences(bq, opinions(tables))
    assert not found, f"{nights}\n{report(found, universes)}"
    last = pipeline.content()
    other = ENGINES[ENGINES.index(nights[-1]) - 1]
    pipeline.run(other, full_refresh=True)
    full = differences(last, pipeline.content())
    assert not full, f"{nights}, right is {other}'s full refresh\n{report(full, universes)}"
