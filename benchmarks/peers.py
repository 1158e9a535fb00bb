"""`python -m benchmarks.peers --scale 10 --repeat 3`: the three heavy jobs engine by engine, from the same Parquet files to the same rows.

| engine | what it is |
|---|---|
| floor | Spark, reading and writing only: what no Spark job can beat |
| spark | the jobs' own functions, through spark-submit, in the jobs' own session |
| naive | Spark, the forms that one writes first |
| duckdb | SQL by hand |
| polars | lazy frames, streaming |
| pysail | the jobs' own functions through Spark Connect, in a server in Rust |

Every run is a process of its own; the engines take turns in rotated order, so that what else the machine does falls on all of them. The input is
`source.parquet`'s (kept in --bulk), in which no row is deleted; beside it the ECB's rates and, for the conversion, the deduplicated payments. Of each run:
wall seconds of the process, seconds of the job in its session, CPU seconds and peak resident memory of all its processes, bytes it asked the system to read
and to write (spilled ones too; mapped files are not read so), bytes of its output, what Spark shuffled and spilled by its event log.

On a machine that does other work too, each run says how much of the cores' time that took (`others_share`). --calm waits before a run until the machine is
calm, so many seconds at most; a run with more than --disturbed of others is done again, twice at most, and the least disturbed one counts.

The output's rows and an order-free sum of their hashes, taken by DuckDB, must be the same for every engine but the floor: else the exit status is 1. An engine
that fails has its error as its result.

--memory-limit is DuckDB's memory_limit, Spark's driver memory (its heap; SPARK_DRIVER_MEMORY, 2g, without a limit), Sail's memory pool, and for Polars, which
has none, RLIMIT_DATA.

--skewed puts much of the work on single keys (SKEWED): one event has a fiftieth of all payment rows, one order a twentieth of all items, one seller a fifth of
all tier rows.

polars and pysail have an environment of their own, which `make bench` installs. Results: results/peers_scale_<SCALE>.json, with a limit
results/peers_scale_<SCALE>_memory_<LIMIT>.json, of the skewed input results/peers_scale_<SCALE>_skewed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from airbyte.loaders import ecb_fx_rates
from benchmarks.deployment import RESULTS, Json, PeakMemory, machine, save
from benchmarks.engines.in_duckdb import DuckDB
from benchmarks.memory import size_in_bytes
from source import parquet as source_parquet
from source.generator import Marketplace
from spark_jobs.tables import (
    DELETED_AT,
    INT_ORDER_ITEMS_USD,
    INT_ORDERS_USD,
    INT_PAYMENTS_DEDUPLICATED,
    INT_PAYMENTS_USD,
    INT_SELLER_TIER_SCD2,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    SELLER_TIER_HISTORY,
    RawTable,
    ResultTable,
    field_type,
)
from stack import settings
from stack.bootstrap import VENV, java_version
from stack.settings import ROOT, Settings

ENGINES = ("floor", "spark", "naive", "duckdb", "polars", "pysail")
IN_SPARK = ("floor", "spark", "naive")
IN_BENCH_ENVIRONMENT = ("polars", "pysail")
RAW = (PAYMENTS, ORDERS, ORDER_ITEMS, SELLER_TIER_HISTORY)
JOBS: dict[str, tuple[ResultTable, ...]] = {
    "payment_dedup": (INT_PAYMENTS_DEDUPLICATED,),
    "currency_normalization": (INT_ORDERS_USD, INT_ORDER_ITEMS_USD, INT_PAYMENTS_USD),
    "seller_tier_scd2": (INT_SELLER_TIER_SCD2,),
}
MEASURES = (
    "wall_seconds",
    "in_session_seconds",
    "cpu_seconds",
    "peak_megabytes",
    "bytes_read",
    "bytes_written",
    "output_bytes",
    "shuffle_bytes",
    "spilled_bytes",
)
# A run that takes longer is ended, and that is its result.
MOST_SECONDS = 1800
# Of the cores' time: less of it used by anybody is calm.
CALM_SHARE, CALM_SAMPLE_SECONDS = 0.15, 2.0
TRIES = 3
# With more than this of the cores' time taken by others, the seconds that a run took say more of them than of it.
MOST_OTHERS = 0.25
PASSING = ("wall_seconds", "in_session_seconds")
# How each type looks the same whoever wrote it: a decimal of any scale, a time of any zone.
NORMALIZED = {"NUMERIC": "{0}::decimal(38, 9)", "TIMESTAMP": "epoch_us({0}::timestamptz)", "INT64": "{0}::bigint"}
# Bytes that BigQuery counts a value as (https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#data_type_sizes).
LOGICAL_BYTES = {"NUMERIC": 16, "TIMESTAMP": 8, "DATE": 8, "INT64": 8, "BOOL": 1}
# Of a skewed input: by table, the column that has one value in one row of so many. The order is one of the marketplace's, that its items have a date.
SKEWED = {
    "payments": ("event_id", "'a-replayed-event'", 50),
    "order_items": ("order_id", "(select min(id) from read_parquet('{orders}/**/*.parquet'))", 20),
    "seller_tier_history": ("user_id", "'a-busy-seller'", 5),
}


def prepare(bulk: Path, inputs: Path, is_skewed: bool = False) -> None:
    """The jobs' input in `inputs`, a folder a table by the lake's names.

    raw's tables are those of `bulk`, as they are or skewed; beside them the ECB's rates, and the deduplicated payments, made by DuckDB.
    """
    shutil.rmtree(inputs, ignore_errors=True)
    for table in RAW:
        folder, source = inputs / table.lake_name, bulk.resolve() / table.name
        folder.parent.mkdir(parents=True, exist_ok=True)
        if is_skewed and table.name in SKEWED:
            column, value, every = SKEWED[table.name]
            chosen = f"case when hash(id) % {every} = 0 then {value.format(orders=bulk / 'orders')} else {column} end"
            rows = f"select * replace ({chosen} as {column}) from read_parquet('{source}/**/*.parquet')"
            with duckdb.connect() as engine:
                engine.execute(f"copy ({rows}) to '{folder}' (format parquet, per_thread_output true)")
        else:
            folder.symlink_to(source)
    rates = list(zip(*ecb_fx_rates.published(), strict=True))
    columns = {
        "rate_date": pa.array(rates[0], pa.date32()),
        "currency": pa.array(rates[1]),
        "units_per_eur": pa.array(rates[2], pa.decimal128(38, 9)),
        "_airbyte_extracted_at": pa.nulls(len(rates[0]), pa.timestamp("us", "UTC")),
    }
    folder = inputs / "raw" / "ecb_fx_rates"
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "0.parquet")
    with tempfile.TemporaryDirectory(dir=inputs) as spill, DuckDB(None, Path(spill)) as engine:
        (inputs / "intermediate").mkdir()
        engine.run("payment_dedup", inputs, inputs / "intermediate")


def checksum(folder: Path, columns: dict[str, str]) -> str:
    """Rows of a folder of Parquet files and the sum of their hashes: the same for the same rows in any order, files and widths of types.

    Args:
        folder: the Parquet files.
        columns: BigQuery's type by name; a column that is missing raises duckdb.BinderException.
    """
    values = ", ".join(NORMALIZED.get(field_type(kind), "{0}").format(f'"{name}"') for name, kind in columns.items())
    question = f"select count(*), coalesce(sum(hash({values})::hugeint), 0) from read_parquet('{folder}/**/*.parquet')"
    with duckdb.connect() as engine:
        engine.execute("set TimeZone = 'UTC'")
        found = engine.execute(question).fetchone()
    assert found is not None
    return f"{found[0]} rows, {found[1]}"


def logical_bytes(folder: Path, columns: dict[str, str]) -> Json:
    """Rows of a table, and the bytes that BigQuery would bill for reading these columns of it, by column."""
    strings = [name for name, kind in columns.items() if kind in ("STRING", "JSON")]
    sums = "".join(f', coalesce(sum(strlen("{name}") + 2), 0)' for name in strings)
    counts = "".join(f', count("{name}")' for name in columns if name not in strings)
    with duckdb.connect() as engine:
        found = engine.execute(f"select count(*){sums}{counts} from read_parquet('{folder}/**/*.parquet')").fetchone()
    assert found is not None
    names = [*strings, *(name for name in columns if name not in strings)]
    sizes = {
        name: int(value) * LOGICAL_BYTES.get(field_type(columns[name]), 1)
        for name, value in zip(names, found[1:], strict=True)
    }
    return {"rows": found[0], "logical_bytes": sum(sizes.values()), "columns": sizes}


def size(folder: Path) -> int:
    """Bytes of the Parquet files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def of_event_log(folder: Path) -> Json:
    """What Spark's tasks read, wrote, shuffled and spilled, in bytes, by the session's event log."""
    found = dict.fromkeys(("spark_input_bytes", "spark_output_bytes", "shuffle_bytes", "spilled_bytes"), 0)
    for path in (item for item in folder.rglob("*") if item.is_file() and not item.name.startswith("appstatus")):
        for line in path.read_text().splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:  # the last line of a JVM that was killed
                continue
            if event["Event"] != "SparkListenerTaskEnd" or "Task Metrics" not in event:
                continue
            task = event["Task Metrics"]
            found["spark_input_bytes"] += task["Input Metrics"]["Bytes Read"]
            found["spark_output_bytes"] += task["Output Metrics"]["Bytes Written"]
            found["shuffle_bytes"] += task["Shuffle Write Metrics"]["Shuffle Bytes Written"]
            found["spilled_bytes"] += task["Disk Bytes Spilled"]
    return found


class Case:
    """What all runs share: where the input is, which limit holds, and a folder that goes at the end."""

    def __init__(self, current: Settings, inputs: Path, memory: str | None, folder: Path) -> None:
        """`folder` is emptied with each run."""
        self.current, self.inputs, self.memory, self.folder = current, inputs, memory, folder
        # Rows and sizes of the results, by the first run that made them.
        self.results: Json = {}

    def command(self, engine: str, job: str) -> list[str]:
        """What a user would type for one run of an engine."""
        program = [str(ROOT / "benchmarks" / "peer_process.py"), engine, job, str(self.inputs)]
        program += [str(self.folder / name) for name in ("outputs", "spill", "report.json")]
        program += ["--memory", self.memory] if self.memory else []
        if engine not in IN_SPARK:
            python = VENV / "bench" / "bin" / "python" if engine in IN_BENCH_ENVIRONMENT else Path(sys.executable)
            return [str(python), "-m", "benchmarks.peer_process", *program[1:]]
        submit = [str(Path(sys.executable).with_name("spark-submit"))]
        submit += ["--driver-memory", self.memory or self.current.spark_driver_memory]
        submit += ["--driver-java-options", self.current.spark_driver_java_options]
        log = {
            "enabled": "true",
            "dir": (self.folder / "events").as_uri(),
            "compress": "false",
            "rolling.enabled": "false",
        }
        for name, value in log.items():
            submit += ["--conf", f"spark.eventLog.{name}={value}"]
        return submit + program

    def run(self, engine: str, job: str) -> Json:
        """One run: what was measured of it, and its output's checksums; or its error."""
        for name in ("outputs", "spill", "events", "local"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir(parents=True)
        report, log = self.folder / "report.json", self.folder / "log.txt"
        report.unlink(missing_ok=True)
        status, found = self._watch(engine, job, log)
        said = json.loads(report.read_text()) if report.is_file() and report.read_text() else {}
        # The kernel's own mark sees what comes and goes between two samples, but of one process.
        found["peak_megabytes"] = max(found["peak_megabytes"], said.pop("own_peak_megabytes", 0))
        found |= said
        if engine in IN_SPARK:
            found |= of_event_log(self.folder / "events")
        if status and "error" not in found:
            is_late = found["wall_seconds"] >= MOST_SECONDS
            found["error"] = f"longer than {MOST_SECONDS} s" if is_late else _last_words(log, status)
        if "error" in found:
            found.pop("in_session_seconds", None)
            return found
        outputs = {table.name: self.folder / "outputs" / table.name for table in JOBS[job]}
        found["output_bytes"] = sum(map(size, outputs.values()))
        found["checksums"] = {table.name: checksum(outputs[table.name], table.columns) for table in JOBS[job]}
        for table in JOBS[job]:
            if engine != "floor" and table.name not in self.results:
                self.results[table.name] = logical_bytes(outputs[table.name], table.columns)
        return found

    def _watch(self, engine: str, job: str, log: Path) -> tuple[int, Json]:
        """Run the engine's process to its end: its exit status, and what the system says of it."""
        python = VENV / "bench" / "bin" / "python" if engine in IN_BENCH_ENVIRONMENT else Path(sys.executable)
        env = os.environ | {
            "PYSPARK_PYTHON": str(python),
            "SPARK_LOCAL_DIRS": str(self.folder / "spill"),
            "LOCAL_DIR": str(self.folder / "local"),
        }
        load, before, busy, began = os.getloadavg()[0], _bytes_asked(), _busy_seconds(), time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(engine, job),
                cwd=ROOT,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        late = threading.Timer(MOST_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            with PeakMemory(process.pid, every=0.2) as memory:
                _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C does not reach a session of its own
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall, after, cpu = time.monotonic() - began, _bytes_asked(), usage.ru_utime + usage.ru_stime
        others = max(0.0, _busy_seconds() - busy - cpu)
        return process.returncode, {
            "wall_seconds": round(wall, 2),
            "cpu_seconds": round(cpu, 2),
            "peak_megabytes": memory.megabytes,
            "bytes_read": after[0] - before[0],
            "bytes_written": after[1] - before[1],
            "load_average": round(load, 2),
            "others_share": round(others / wall / (os.cpu_count() or 1), 3),
        }


def _bytes_asked() -> tuple[int, int]:
    """Bytes that this process and those that it has waited for asked the system to read and to write."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:  # not Linux
        return 0, 0
    found = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return found["rchar"], found["wchar"]


def _busy_seconds() -> float:
    """CPU seconds that the machine has spent since it started, on whatever."""
    spent = psutil.cpu_times()
    return sum(getattr(spent, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))


def wait_for_calm(seconds: float) -> None:
    """Wait until hardly anything runs on the machine, or `seconds` have passed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = _busy_seconds()
        time.sleep(CALM_SAMPLE_SECONDS)
        if (_busy_seconds() - before) / CALM_SAMPLE_SECONDS / (os.cpu_count() or 1) < CALM_SHARE:
            return


def undisturbed(case: Case, engine: str, job: str, calm: float, disturbed: float) -> Json:
    """The least disturbed of as many runs as it takes, and how many it took."""
    tried: list[Json] = []
    while len(tried) < TRIES and not any(run["others_share"] <= disturbed for run in tried):
        wait_for_calm(calm)
        tried.append(case.run(engine, job))
    return min(tried, key=lambda run: float(run["others_share"])) | {"tries": len(tried)}


def _last_words(log: Path, status: int) -> str:
    """Why a process ended without a report: the first line of its output that says so by the clearest of some words, else its last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    # A JVM without memory leaves its client with another error; "memory allocation" is what a program in Rust says before it is aborted.
    telling = ("OutOfMemoryError", "memory allocation", "Error", "Exception")
    errors = [line for word in telling for line in lines if word in line]
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how}: {(errors or lines[-1:] or ['no output'])[0][:500]}"


def rotated(engines: Sequence[str], number: int) -> Iterator[str]:
    """The engines in the order of repetition `number`: each goes first once in as many repetitions."""
    first = number % len(engines)
    yield from (*engines[first:], *engines[:first])


def summarize(runs: dict[str, list[Json]]) -> Json:
    """Of one job's runs by engine: median, least and most of each measure, the errors, and ratios to Spark's, and the floor's, run of the same repetition.

    Seconds that pass are taken from calm runs only (`MOST_OTHERS`), and a ratio of them from two calm ones; how many were disturbed stands beside them. CPU
    seconds, bytes and memory are taken from all.
    """
    found: Json = {}
    for engine, of_engine in runs.items():
        good = [run for run in of_engine if "error" not in run]
        calm = [run for run in good if _is_calm(run)]
        figures: Json = {"runs": len(good), "disturbed": len(good) - len(calm)}
        for measure in MEASURES:
            pool = calm if measure in PASSING else good
            if values := [run[measure] for run in pool if measure in run]:
                figures[measure] = {
                    "median": round(statistics.median(values), 3),
                    "min": min(values),
                    "max": max(values),
                }
        for other in ("spark", "floor"):
            for measure in (*PASSING, "cpu_seconds"):
                ratios = [
                    mine[measure] / its[measure]
                    for mine, its in zip(of_engine, runs.get(other, []), strict=False)
                    if all("error" not in run and (measure not in PASSING or _is_calm(run)) for run in (mine, its))
                ]
                if ratios:
                    name = f"{measure.removesuffix('_seconds')}_over_{other}"
                    figures[name] = round(statistics.median(ratios), 3)
        if errors := sorted({run["error"] for run in of_engine if "error" in run}):
            figures["errors"] = errors
        found[engine] = figures
    return found


def _is_calm(run: Json) -> bool:
    return bool(run.get("others_share", 0.0) <= MOST_OTHERS)


def differences(job: str, runs: dict[str, list[Json]]) -> list[str]:
    """A sentence for each result of a job whose rows are not the same in every run of every engine (the floor's are no result)."""
    said = []
    for table in JOBS[job]:
        by_sum: dict[str, set[str]] = {}
        for engine, of_engine in runs.items():
            for run in of_engine:
                if engine != "floor" and "checksums" in run:
                    by_sum.setdefault(run["checksums"][table.name], set()).add(engine)
        if len(by_sum) > 1:
            who = "; ".join(f"{', '.join(sorted(engines))}: {found}" for found, engines in by_sum.items())
            said.append(f"{job}, {table.name}: the engines wrote different rows: {who}")
    return said


def measure(case: Case, chosen: argparse.Namespace, keep: Callable[[Json], None]) -> Json:
    """All runs: {job: {engine: [run, …]}}. `keep` is called with them after each one, so that what ends early has been measured all the same."""
    runs: Json = {job: {engine: [] for engine in chosen.engines} for job in chosen.jobs}
    for number in range(chosen.repeat):
        for job in chosen.jobs:
            for engine in rotated(chosen.engines, number):
                found = undisturbed(case, engine, job, chosen.calm, chosen.disturbed)
                runs[job][engine].append(found)
                print(
                    f"{number + 1} {job:24} {engine:8} {found['wall_seconds']:8.1f} s, {found.get('in_session_seconds', 0):8.1f} in session "
                    f"{found['peak_megabytes']:7,} MB, others {found['others_share']:.0%} {found.get('error', '')[:200]}",
                    flush=True,
                )
                keep(runs)
    return runs


def versions(runs: Json) -> Json:
    """What ran, of every engine that said so."""
    said = [run.get("versions", {}) for engines in runs.values() for of_engine in engines.values() for run in of_engine]
    found: Json = {"java": java_version()}
    for one in said:
        found |= one
    return found


def holds(bulk: Path, scale: float) -> bool:
    """Whether the folder has the whole marketplace of that scale already: then nothing is written to it."""
    manifest = bulk / source_parquet.MANIFEST
    if not manifest.is_file():
        return False
    found = json.loads(manifest.read_text())
    files = source_parquet.files(Marketplace(found["scale"], found["seed"]), bulk)
    return bool(found["scale"] == scale) and all(path.exists() for _, _, path in files)


def tables(inputs: Path) -> Json:
    """Rows and sizes of the tables that the jobs read: of their Parquet files, and as BigQuery counts the columns that are read."""
    read: list[RawTable | ResultTable] = [*RAW, INT_PAYMENTS_DEDUPLICATED]
    found = {}
    for table in read:
        columns = {name: kind for name, kind in table.columns.items() if name != DELETED_AT}
        folder = inputs / table.lake_name
        found[table.name] = logical_bytes(folder, columns) | {"parquet_bytes": size(folder.resolve())}
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when two engines' rows differ, or a program is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="scale factor (default 1; 100 is 40 million rows)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each engine does each job (default 3)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--jobs", nargs="+", choices=tuple(JOBS), default=list(JOBS))
    parser.add_argument("--memory-limit", help="such as 1g or 512m (default: none, but Spark's driver memory)")
    parser.add_argument("--skewed", action="store_true", help="much of the input has single keys")
    parser.add_argument("--calm", type=float, default=0, metavar="SECONDS", help="wait so long for a calm machine")
    parser.add_argument(
        "--disturbed", type=float, default=1, metavar="SHARE", help="do a run again when others took more"
    )
    parser.add_argument("--bulk", type=Path, help="the input's folder (default: .local/bulk/scale-<scale>)")
    parser.add_argument("--output", type=Path, help="the result (default: by scale and limit in benchmarks/results)")
    chosen = parser.parse_args(arguments)
    current = settings.for_command()
    if set(chosen.engines) & set(IN_BENCH_ENVIRONMENT) and not (VENV / "bench" / "bin" / "python").exists():
        print("error: polars and pysail need the environment that `make bench` installs", file=sys.stderr)
        return 1
    try:
        size_in_bytes(chosen.memory_limit or "1g")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    bulk = (chosen.bulk or ROOT / ".local" / "bulk" / f"scale-{chosen.scale:g}").resolve()
    if not holds(bulk, chosen.scale) and source_parquet.main([str(bulk), "--scale", str(chosen.scale)]):
        return 1
    suffix = f"_memory_{chosen.memory_limit}" if chosen.memory_limit else ""
    suffix += "_skewed" if chosen.skewed else ""
    output = chosen.output or RESULTS / f"peers_scale_{chosen.scale:g}{suffix}.json"
    about = machine()
    current.local_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peers-", dir=current.local_dir) as name:
        folder = Path(name)
        prepare(bulk, folder / "inputs", chosen.skewed)
        read = tables(folder / "inputs")
        case = Case(current, folder / "inputs", chosen.memory_limit, folder / "run")
        faults: list[str] = []

        def keep(runs: Json) -> None:
            faults[:] = [sentence for job in runs for sentence in differences(job, runs[job])]
            save(
                {
                    "scale": chosen.scale,
                    "memory_limit": chosen.memory_limit,
                    "skewed": chosen.skewed,
                    "machine": about | versions(runs),
                    "spark": {
                        "driver_memory": chosen.memory_limit or current.spark_driver_memory,
                        "driver_java_options": current.spark_driver_java_options,
                    },
                    "tables": read,
                    "results": case.results,
                    "differences": list(faults),
                    "figures": {job: summarize(runs[job]) for job in runs},
                    "runs": runs,
                },
                output,
            )

        measure(case, chosen, keep)
    for sentence in faults:
        print(f"error: {sentence}", file=sys.stderr)
    print(f"{output} written", flush=True)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
