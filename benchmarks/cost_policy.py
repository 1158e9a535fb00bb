"""`python -m benchmarks.cost_policy`: does the cost policy, once it has seen some runs, name the engine that really is cheaper?

Two warehouses: the embedded one with the machine's memory, and one with 1 GB. For each volume, in a deployment of its own: a marketplace in raw by load jobs,
the rates, staging, then the heavy step by both engines, everything new, in an order that alternates: dbt, and spark-submit as the DAG's task has it. Seconds
are those of the program, start included; where an engine fails for a reason of its own, as out of memory, the other one is the cheaper.

Then, for each warehouse and price profile, `choose_engine` gets every second volume's runs as the deployment's history and says for the volumes between them
which engine it would take; what the measured seconds and the prices say is the truth. Beside the project's price profiles stand such as make an hour of dbt
cost some hours of Spark: with some of them Spark is the cheaper one, and with one it is close. The choice is asked for without hysteresis, which exists to
stay with the dearer engine where the difference is small, and with it. `--measured` judges the result's runs anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.deployment import (
    RESULTS,
    Json,
    dag_module,
    deployment,
    machine,
    report,
    run,
    save,
    stage_marketplace,
    verdicts,
)
from benchmarks.spark_jobs import heavy_steps_command
from stack import emulator, failures, volume
from stack.settings import ROOT, Settings

SCALES = (0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
ENGINES = ("dbt", "spark")
# The emulator's memory; empty is its default, a share of the machine's.
WAREHOUSES = {"plain": "", "1 GB": "1GB"}
# How many hours of Spark an hour of dbt costs.
HOURS = (2, 4, 6, 8, 12)
TARGETS = {"right_share": (">=", 0.9)}


def timed(current: Settings, engine: str) -> Json:
    """One heavy step, everything new: its wall seconds, and why it failed if the engine could not do it. Exits when something else is wrong."""
    commands = {
        "dbt": [sys.executable, "-m", "stack.dbt", "heavy", "--full-refresh"],
        "spark": [*heavy_steps_command(current), "--full-refresh"],
    }
    began = time.monotonic()
    done = subprocess.run(
        commands[engine],
        cwd=ROOT,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    found: Json = {"seconds": round(time.monotonic() - began, 1), "failed": None}
    if done.returncode:
        output = f"{done.stdout}{done.stderr}"
        found["failed"] = failures.own_failure(f"{output}exit code {done.returncode}")
        if not found["failed"]:
            sys.exit(f"error: {engine} failed:\n{output[-3000:]}")
    return found


def measure_all(scales: Sequence[float]) -> list[Json]:
    """Both engines at each volume in each warehouse."""
    runs = []
    for number, scale in enumerate(sorted(scales)):
        with tempfile.TemporaryDirectory() as folder:
            run("source.parquet", folder, "--scale", str(scale))
            order = ENGINES if number % 2 else ENGINES[::-1]
            runs += [measure(warehouse, scale, Path(folder), order) for warehouse in WAREHOUSES]
    return runs


def told(step: Json) -> str:
    """A step's seconds, or why the engine could not do it."""
    return step["failed"] or f"{step['seconds']:,.0f}"


def measure(warehouse: str, scale: float, parquet: Path, order: tuple[str, ...]) -> Json:
    """Both engines' heavy steps at one volume, and what waits for them by table as (rows, bytes)."""
    os.environ["BIGQUERY_EMULATOR_MEMORY"] = WAREHOUSES[warehouse]
    with deployment([emulator]) as current:
        stage_marketplace(parquet)
        waiting = volume.pending(current, is_full_refresh=True)
        if waiting is None:
            sys.exit("error: the pending volume cannot be read")
        took = {engine: timed(current, engine) for engine in order}
    rows = sum(rows for rows, _ in waiting.values())
    print(
        f"{warehouse:6} scale {scale:5g} {rows:10,} rows  "
        + "  ".join(f"{engine} {told(took[engine])}" for engine in ENGINES),
        flush=True,
    )
    return {"warehouse": warehouse, "scale": scale, "rows": rows, "pending": waiting} | took


def really_cheaper(measured: Json, prices: dict[str, Any]) -> str:
    """The engine whose measured seconds and bytes cost less, or that took less time where both cost the same; never one that failed."""
    size = sum(size for _, size in measured["pending"].values())

    def cost(engine: str) -> tuple[bool, float, float]:
        price, took = prices[engine], measured[engine]
        money = took["seconds"] / 3600 * price.per_hour + size / 2**40 * price.per_tib
        return took["failed"] is not None, money, took["seconds"]

    return min(ENGINES, key=cost)


def history(runs: list[Json]) -> list[Any]:
    """Both engines' steps as the ledger would tell them."""
    choice = dag_module("engine_choice")

    def past(run: Json, engine: str) -> Any:
        outcome = choice.ENGINE_FAILED if run[engine]["failed"] else choice.SUCCESS
        return choice.PastRun(engine, run["rows"], run[engine]["seconds"], outcome)

    return [past(run, engine) for run in runs for engine in ENGINES]


def judge(run: Json, seen: list[Any], prices: dict[str, Any]) -> Json:
    """What is chosen at a volume after the runs `seen`, beside the truth."""
    choice = dag_module("engine_choice")
    pending = {table: choice.Pending(*waiting) for table, waiting in run["pending"].items()}
    seed = dag_module("decision").seed()

    def chosen(**hysteresis: float) -> Any:
        return choice.choose_engine(pending, choice.Parameters(0, policy="cost", **hysteresis), seen, prices, seed)

    cheaper, decision = really_cheaper(run, prices), chosen(hysteresis=0.0)
    return {
        "warehouse": run["warehouse"],
        "rows": run["rows"],
        "measured": {engine: told(run[engine]) for engine in ENGINES},
        "predicted_seconds": {engine: made.seconds for engine, made in decision.predictions.items()},
        "cheaper": cheaper,
        "chosen": decision.engine,
        "is_right": decision.engine == cheaper,
        "is_right_with_hysteresis": chosen().engine == cheaper,
    }


def price_profiles() -> dict[str, Any]:
    """{profile: prices by engine}: the project's, and those by HOURS."""
    decision, choice = dag_module("decision"), dag_module("engine_choice")
    own = json.loads((decision.HERE / "price_profiles.json").read_text())
    by_hours = {
        f"dbt {hours} times Spark's, an hour": {"dbt": choice.Price(per_hour=hours), "spark": choice.Price(per_hour=1)}
        for hours in HOURS
    }
    return {profile: decision.prices(profile) for profile in own} | by_hours


def judged(runs: list[Json], prices: dict[str, Any]) -> list[Json]:
    """What is chosen for every second volume of each warehouse, after the runs at the volumes between."""
    found = []
    for warehouse in WAREHOUSES:
        own = sorted((run for run in runs if run["warehouse"] == warehouse), key=lambda run: run["rows"])
        found += [judge(run, history(own[::2]), prices) for run in own[1::2]]
    return found


def by_all_prices(runs: list[Json]) -> list[Json]:
    """`judged` by each price profile."""
    return [
        {"prices": profile} | judgement
        for profile, prices in price_profiles().items()
        for judgement in judged(runs, prices)
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 whether or not the target is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost_policy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES, help="default: ten from 0.1 to 10")
    parser.add_argument("--measured", action="store_true", help="run nothing, and judge anew what the result holds")
    chosen = parser.parse_args(arguments)
    path = RESULTS / "cost_policy.json"
    if chosen.measured:
        kept = json.loads(path.read_text())
        runs, about = kept["runs"], kept["machine"]
    else:
        runs, about = measure_all(chosen.scales), machine()
    choices = by_all_prices(runs)
    measured = {
        name: round(sum(choice[key] for choice in choices) / len(choices), 3)
        for name, key in (("right_share", "is_right"), ("right_share_with_hysteresis", "is_right_with_hysteresis"))
    }
    targets = verdicts(measured, TARGETS)
    save({"machine": about, "figures": measured, "targets": targets, "choices": choices, "runs": runs}, path)
    for choice in choices:
        if not choice["is_right"]:
            print(f"wrong: {choice['chosen']} at {choice['rows']:,} rows, {choice['warehouse']}, {choice['prices']}")
    report(measured, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
