"""`python -m benchmarks.daily_cycles --cycles 20 --scale 0.1`: does anything grow but the data, from day to day?

In a deployment of its own: a demo, then so many business days, each played in the source and carried to the marts by a run of the DAG, by dbt and Spark in
turn; the maintenance DAG after every seventh. After each day: wall seconds of the run and of its heavy step, resident memory of each service with its children,
files of each Delta table, megabytes of the warehouse and the lake. At the end the parity audit compares both engines.

Files of older versions of a Delta table are counted by themselves: maintenance keeps them until they are 90 days old, which no file gets here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import psutil

from benchmarks.deployment import RESULTS, Json, deployment, machine, report, run, save, verdicts
from stack import airflow, bigquery, ledger
from stack.__main__ import SERVICES
from stack.settings import Settings

ENGINES = ("dbt", "spark")
MAINTENANCE_EVERY = 7
# Medians of the last days over those of the first ones.
TARGETS = {
    "dbt_seconds_growth": ("<=", 1.15),
    "spark_seconds_growth": ("<=", 1.15),
    "memory_growth": ("<=", 1.15),
    "files_after_maintenance": ("<=", 1.0),
    "differences_between_engines": ("<=", 0.0),
}


def trigger(dag: str, **conf: object) -> float:
    """Run a DAG to its end. Returns wall seconds."""
    began = time.monotonic()
    run("stack.airflow", "trigger", dag, "--conf", json.dumps(conf))
    return round(time.monotonic() - began, 1)


def memory(current: Settings) -> dict[str, int]:
    """Resident megabytes of each service with its children."""
    found = {}
    for name, service in SERVICES.items():
        process = service.process(current).running()
        if process is not None:
            family = [process, *process.children(recursive=True)]
            found[name] = sum(member.memory_info().rss for member in family if psutil.pid_exists(member.pid)) >> 20
    return found


def files(lake: Path) -> dict[str, int]:
    """Data files of each Delta table's newest version. From its commits, all of which are younger than the year that Delta keeps them."""
    found = {}
    for log in sorted(lake.rglob("_delta_log")):
        paths: set[str] = set()
        for commit in sorted(log.glob("*.json")):
            actions = [json.loads(line) for line in commit.read_text().splitlines()]
            # In this order: a file whose rows are marked as deleted is removed and added in one commit.
            paths -= {action["remove"]["path"] for action in actions if "remove" in action}
            paths |= {action["add"]["path"] for action in actions if "add" in action}
        found[str(log.parent.relative_to(lake))] = len(paths)
    return found


def size(folder: Path) -> int:
    """Megabytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) >> 20


def heavy_seconds(current: Settings) -> float:
    """The newest heavy step's, from the ledger."""
    return round(float(str(ledger.heavy_runs(current)[-1]["seconds"])), 1)


def measure(current: Settings, cycles: int, scale: float) -> list[Json]:
    """A figure set a day."""
    run("stack", "demo", "--scale", str(scale), "--engine", "spark")
    days = []
    lake = current.local_dir / "lake"
    for day in range(cycles):
        engine = ENGINES[day % len(ENGINES)]
        run("source.day", "--ledger", str(current.local_dir / "source" / "ledger.json"))
        seconds = trigger(airflow.DAG_ID, engine=engine)
        found: Json = {"day": day + 1, "engine": engine, "seconds": seconds, "heavy_seconds": heavy_seconds(current)}
        if (day + 1) % MAINTENANCE_EVERY == 0:
            found["maintenance_seconds"] = trigger("marketplace_maintenance")
        found |= {
            "memory_megabytes": memory(current),
            "files": (newest := files(lake)),
            "files_of_older_versions": sum(1 for _ in lake.rglob("*.parquet")) - sum(newest.values()),
            "warehouse_megabytes": size(current.local_dir / "bigquery"),
            "lake_megabytes": size(lake),
        }
        days.append(found)
        total = sum(found["memory_megabytes"].values())
        print(
            f"day {day + 1:3} {engine:6} {seconds:6.1f} s, heavy {found['heavy_seconds']:5.1f} s, {total:,} MB resident, "
            f"{sum(newest.values()):,} Delta files and {found['files_of_older_versions']:,} older, warehouse {found['warehouse_megabytes']:,} MB",
            flush=True,
        )
    return days


def figures(days: list[Json]) -> Json:
    """Growth as the median of the last third over the first third; files as the newest count after maintenance over the first one."""
    made: Json = {}

    def growth(values: list[float]) -> float:
        third = max(len(values) // 3, 1)
        return round(statistics.median(values[-third:]) / statistics.median(values[:third]), 2)

    for engine in ENGINES:
        made[f"{engine}_seconds_growth"] = growth([day["seconds"] for day in days if day["engine"] == engine])
    made["memory_growth"] = growth([sum(day["memory_megabytes"].values()) for day in days])
    if tidied := [sum(day["files"].values()) for day in days if "maintenance_seconds" in day]:
        made["files_after_maintenance"] = round(tidied[-1] / tidied[0], 2)
    made["most_files_of_a_table"] = max(max(day["files"].values()) for day in days)
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.daily_cycles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cycles", type=int, default=20, help="business days (default 20)")
    parser.add_argument("--scale", type=float, default=0.1, help="scale factor of the source (default 0.1)")
    chosen = parser.parse_args(arguments)
    with deployment(list(SERVICES.values())) as current:
        days = measure(current, chosen.cycles, chosen.scale)
        trigger("marketplace_parity_audit")
        audited = bigquery.query(
            bigquery.client(current), "select sum(only_dbt + only_spark) as n, count(*) as tables from ops.parity_audit"
        )[0]
    measured = figures(days) | {
        "differences_between_engines": int(audited["n"]),
        "tables_audited": int(audited["tables"]),
    }
    targets = verdicts(measured, TARGETS)
    save(
        {"scale": chosen.scale, "machine": machine(), "figures": measured, "targets": targets, "days": days},
        RESULTS / f"daily_cycles_scale_{chosen.scale:g}.json",
    )
    report(measured, targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
