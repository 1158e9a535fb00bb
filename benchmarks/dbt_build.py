"""`python -m benchmarks.dbt_build SCALE`: what dbt's build costs beside its own statements, and what an incremental build costs beside a full one.

Needs the stack with that scale's data landed (`make demo SCALE=…`). In one run, in this order:

1. `full`: `python -m stack.dbt build --full-refresh`, a fresh process, every model and every test.
2. `statements`: the statements that this build compiled (dbt's target/run: each model's, each test's), sent one after the other to the warehouse.
3. `unchanged`: the same build again, incrementally, with nothing new in raw.
4. with --day: a business day is played in the source and landed; `after_a_day` is the incremental build then.

Wall seconds. Prints the ten slowest nodes of the full build and writes results/dbt_build_scale_<SCALE>.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from benchmarks.deployment import RESULTS, Json, machine, run, save
from stack import bigquery, settings
from stack.settings import Settings

# What is aimed at, printed beside what was measured: a full build over its statements, an incremental one over a full one.
MOST_OVER_STATEMENTS, MOST_OF_FULL = 2.5, 0.30


def timed(*arguments: str) -> float:
    """Run a module of the project as a user does; returns wall seconds. Exits with its output when it fails."""
    started = time.monotonic()
    run(*arguments)
    seconds = time.monotonic() - started
    print(f"  {' '.join(arguments):48} {seconds:7.1f} s", flush=True)
    return seconds


def built(current: Settings) -> list[tuple[str, float, str]]:
    """The last build's nodes in the order in which they ended: name, seconds, statement (empty: seeds and what has none)."""
    target = current.local_dir / "dbt" / "target"
    manifest = json.loads((target / "manifest.json").read_text())["nodes"]
    found = []
    for result in json.loads((target / "run_results.json").read_text())["results"]:
        node = manifest.get(result["unique_id"])
        if node is None:
            continue
        path = target / "run" / node["package_name"] / node["original_file_path"]
        # A test that stands in a model's YAML has a file of its own in a folder of the YAML's name.
        path = path if path.suffix == ".sql" else path / node["path"]
        statement = path.read_text() if path.is_file() else ""
        found.append((node["name"], float(result["execution_time"]), statement))
    return found


def send(current: Settings, statements: list[str]) -> float:
    """Send the statements one after the other; returns wall seconds."""
    bq = bigquery.client(current)
    started = time.monotonic()
    for statement in statements:
        bigquery.query(bq, statement)
    seconds = time.monotonic() - started
    print(f"  {f'{len(statements)} statements alone':48} {seconds:7.1f} s", flush=True)
    return seconds


def measure(current: Settings, with_day: bool) -> Json:
    """All figures of one run."""
    seconds = {"full": timed("stack.dbt", "build", "--full-refresh")}
    nodes = built(current)
    seconds["statements"] = send(current, [statement for _, _, statement in nodes if statement])
    seconds["unchanged"] = timed("stack.dbt", "build")
    if with_day:
        timed("source.day")
        timed("airbyte.connections.jobs", "sync")
        timed("airbyte.deletion_sweep")
        seconds["after_a_day"] = timed("stack.dbt", "build")
    return {
        "seconds": {step: round(value, 1) for step, value in seconds.items()},
        "full_over_statements": round(seconds["full"] / seconds["statements"], 2),
        "incremental_of_full": {
            step: round(seconds[step] / seconds["full"], 2) for step in ("unchanged", "after_a_day") if step in seconds
        },
        "nodes": len(nodes),
        "slowest": {name: round(value, 1) for name, value, _ in sorted(nodes, key=lambda node: -node[1])[:10]},
    }


def main() -> int:
    """The command line. Returns the exit status: 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dbt_build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scale", help="the scale of what has landed; it only names the result")
    parser.add_argument("--day", action="store_true", help="play a business day and measure the build after it")
    chosen = parser.parse_args()
    result = measure(settings.for_command(), chosen.day)
    result = {"scale": chosen.scale, "machine": machine()} | result
    print(f"full build over its statements   {result['full_over_statements']:5.2f}   (at most {MOST_OVER_STATEMENTS})")
    for step, share in result["incremental_of_full"].items():
        print(f"{step + ' of a full build':32} {share:5.2f}   (at most {MOST_OF_FULL})")
    print("slowest nodes of the full build:")
    for name, value in result["slowest"].items():
        print(f"  {name:60} {value:6.1f} s")
    save(result, RESULTS / f"dbt_build_scale_{chosen.scale}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
