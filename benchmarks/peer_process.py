"""One run of `benchmarks.peers`, in a process of its own: one engine, one job, Parquet to Parquet. Not called by hand.

Writes what happened to REPORT as JSON: seconds until the engine could begin, seconds of the job, versions; or the error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

if not __package__:  # spark-submit runs this file by its path: imports start at the repository, not in this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

ENGINES = {
    "floor": "in_spark.Floor",
    "spark": "in_spark.Spark",
    "naive": "in_spark.Naive",
    "duckdb": "in_duckdb.DuckDB",
    "polars": "in_polars.Polars",
    "pysail": "in_pysail.PySail",
}


def main() -> int:
    """The command line. Returns the exit status: 1 when the engine failed, and then the report says why."""
    parser = argparse.ArgumentParser(prog="python benchmarks/peer_process.py", description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("job")
    for folder in ("inputs", "outputs", "spill", "report"):
        parser.add_argument(folder, type=Path)
    parser.add_argument("--memory")
    chosen = parser.parse_args()
    report: dict[str, object] = {}
    try:
        began = time.monotonic()
        module, name = ENGINES[chosen.engine].split(".")
        engine = getattr(importlib.import_module(f"benchmarks.engines.{module}"), name)
        report |= {"versions": engine.versions(), "limited_by": engine.limit if chosen.memory else None}
        with engine(chosen.memory, chosen.spill) as ready:
            started = time.monotonic()
            ready.run(chosen.job, chosen.inputs, chosen.outputs)
            report["in_session_seconds"] = round(time.monotonic() - started, 3)
        report["startup_seconds"] = round(started - began, 3)
    # Whatever an engine raises is its result.
    except BaseException as error:
        report["error"] = f"{type(error).__name__}: {error}"[:2000]
        raise
    finally:
        report["own_peak_megabytes"] = _own_peak()
        chosen.report.write_text(json.dumps(report))
    return 0


def _own_peak() -> int:
    """The most resident memory that this process has had, in megabytes; 0 where the system does not say (not Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
