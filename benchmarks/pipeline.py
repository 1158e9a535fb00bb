"""`python -m benchmarks.pipeline --scale 100 --engine dbt`: time, memory and disk of every step of `make demo`, from an empty source to the summary.

The demo runs in a deployment of its own, on free ports, in a folder that goes at the end (TMPDIR says where: scale 100 needs tens of gigabytes). Its lines are
echoed and noted with their time; every few seconds are sampled the memory in use on the machine (what else runs there is in it), the resident memory of each of
the deployment's services (benchmarks/residents.py), and what its files take of the disk: the folder, with Spark's scratch files in it, and Postgres' own.

Of each step: its seconds, the moment of its end (in seconds since the first line), the peak of the memory in use while it ran, with what each service held
in that moment, the disk after it, and its share of the wall time. Steps run side by side, so each moment counts for that step under way that ends last;
what no step covers is `between_steps_share`. After a run by Spark dbt makes the heavy tables of the same raw beside, and their rows are compared; that is in no
figure but `parity`. Megabytes are 10^6 bytes. Landing's figures are those of the sync's own log.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks import residents
from benchmarks.deployment import RESULTS, Json, deployment, machine, save, verdicts
from benchmarks.repeating import Repeating
from stack import dbt, parity_audit, postgres
from stack.settings import ROOT, Settings

ENGINES = ("dbt", "spark")
SAMPLE_SECONDS = 4.0
TARGETS = {"wall_minutes": ("<=", 30.0)}

STEP = re.compile(r"  (?! )(\S.*?) +(\d+\.\d) s")
LAYER = re.compile(r"(\w+) +([\d,]+) rows")
TESTS = re.compile(r"tests +(\d+) passed, (\d+) warned, (\d+) failed")
TRAP = re.compile(r"  (\w+) +([\d,]+) +([\d,]+)(  DIFFERENT)?")
SUMMARY = "=== summary"
SYNCED = re.compile(r"succeeded: ([\d,]+) rows, ([\d,]+) bytes in ([\d.]+) s, ([\d,]+) rows/s")
CONNECTOR = re.compile(r"(source|destination): ([\d.]+) CPU seconds, (\d+) MB")


@dataclass(frozen=True)
class Line:
    """What the demo printed, and when, in seconds of any one clock."""

    at: float
    text: str


@dataclass(frozen=True)
class Sample:
    """The machine and the deployment at one moment of the same clock."""

    at: float
    memory_megabytes: int
    disk_megabytes: int
    resident_megabytes: dict[str, int]


@dataclass(frozen=True)
class Step:
    """A step of the demo, as its line tells it."""

    name: str
    seconds: float
    ends_at: float

    @property
    def starts_at(self) -> float:
        """When it began."""
        return self.ends_at - self.seconds


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def key(step: str) -> str:
    """A step's name as a key of JSON: `sync.wait` as `sync_wait`."""
    return re.sub(r"\W+", "_", step).strip("_")


def split(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines before the summary, and the summary's. Raises ValueError when the run printed none."""
    for number, line in enumerate(lines):
        if line.text.startswith(SUMMARY):
            return list(lines[:number]), list(lines[number:])
    raise ValueError("the run printed no summary")


def steps_of(lines: Sequence[Line]) -> list[Step]:
    """The steps in the order in which they ended; lines of the programs that a step runs are indented further, and none."""
    found = ((line.at, STEP.fullmatch(line.text)) for line in lines)
    return [Step(match[1], float(match[2]), at) for at, match in found if match]


def shares(steps: Sequence[Step], begins_at: float, ends_at: float) -> list[float]:
    """The share of each step in the time between two moments: each moment is that step's which is under way then and ends last."""
    edges = sorted({begins_at, ends_at, *(s.starts_at for s in steps), *(s.ends_at for s in steps)})
    edges = [edge for edge in edges if begins_at <= edge <= ends_at]
    taken = [0.0] * len(steps)
    for low, high in itertools.pairwise(edges):
        under_way = [n for n, step in enumerate(steps) if step.starts_at <= low and high <= step.ends_at]
        if under_way:
            taken[max(under_way, key=lambda n: steps[n].ends_at)] += high - low
    return [round(seconds / (ends_at - begins_at), 4) for seconds in taken]


def peak(samples: Sequence[Sample], begins_at: float, ends_at: float) -> Sample:
    """The sample with the most memory in use between two moments; the nearest to their end when none falls between."""
    within = [sample for sample in samples if begins_at <= sample.at <= ends_at]
    if not within:
        return min(samples, key=lambda sample: abs(sample.at - ends_at))
    return max(within, key=lambda sample: sample.memory_megabytes)


def disk_after(samples: Sequence[Sample], moment: float) -> int:
    """The disk at the first sample from that moment on, else at the last one."""
    return next((sample.disk_megabytes for sample in samples if sample.at >= moment), samples[-1].disk_megabytes)


def told(summary: Sequence[Line]) -> Json:
    """What the summary says: rows of each layer, tests, and how many of the planted traps are found in other numbers."""
    texts = [line.text for line in summary]
    rows = {match[1]: _number(match[2]) for match in map(LAYER.fullmatch, texts) if match}
    tests = next((match for match in map(TESTS.fullmatch, texts) if match), None)
    if tests is None:
        raise ValueError("the summary has no line of the tests")
    traps = [match for match in map(TRAP.fullmatch, texts) if match]
    different = sum(match[4] is not None for match in traps)
    return {
        "rows": rows,
        "tests_passed": int(tests[1]),
        "tests_warned": int(tests[2]),
        "tests_failed": int(tests[3]),
        "traps_compared": len(traps),
        "traps_different": different,
        "found_equals_planted": bool(traps) and all(match[2] == match[3] for match in traps),
    }


def landed(log: str) -> Json:
    """What one sync's log says of it; empty when it did not succeed."""
    done = SYNCED.search(log)
    if not done:
        return {}
    names = ("rows", "bytes", "seconds", "rows_per_second")
    found: Json = dict(zip(names, (_number(done[1]), _number(done[2]), float(done[3]), _number(done[4])), strict=True))
    for name, seconds, memory in CONNECTOR.findall(log):
        found |= {f"{name}_cpu_seconds": float(seconds), f"{name}_megabytes": int(memory)}
    if spent := found.get("source_cpu_seconds", 0.0) + found.get("destination_cpu_seconds", 0.0):
        found["rows_per_connector_cpu_second"] = round(found["rows"] / spent)
    return found


def measured(lines: Sequence[Line], samples: Sequence[Sample], log: str) -> Json:
    """The figures of a run.

    Args:
        lines: what the demo printed; the first one is the moment from which time counts.
        samples: in the order of time, on the same clock; those after the summary do not count.
        log: the sync's.

    Raises ValueError when the run did not reach its summary, or nothing was sampled before.
    """
    before, summary = split(lines)
    begins_at, ends_at = lines[0].at, summary[0].at
    wall = ends_at - begins_at
    of_run = [sample for sample in samples if begins_at <= sample.at <= ends_at]
    if not of_run:
        raise ValueError("nothing was sampled during the run")
    steps = steps_of(before)
    parts = shares(steps, begins_at, ends_at)
    listed: list[Json] = []
    for step, share in zip(steps, parts, strict=True):
        most = peak(of_run, step.starts_at, step.ends_at)
        listed.append(
            {
                "step": step.name,
                "seconds": step.seconds,
                "ends_at": round(step.ends_at - begins_at, 1),
                "share_of_wall": share,
                "peak_memory_megabytes": most.memory_megabytes,
                "resident_megabytes": most.resident_megabytes,
                "disk_megabytes": disk_after(of_run, step.ends_at),
            }
        )
    groups = sorted({name for sample in of_run for name in sample.resident_megabytes})
    totals = {
        "wall_seconds": round(wall, 1),
        "wall_minutes": round(wall / 60, 1),
        "peak_memory_megabytes": max(sample.memory_megabytes for sample in of_run),
        "peak_resident_megabytes": {
            name: max(sample.resident_megabytes.get(name, 0) for sample in of_run) for name in groups
        },
        "disk_megabytes": of_run[-1].disk_megabytes,
        "peak_disk_megabytes": max(sample.disk_megabytes for sample in of_run),
        "between_steps_share": round(1 - sum(parts), 4),
        **told(summary),
    }
    return {
        "totals": totals,
        "targets": verdicts(totals, TARGETS),
        "landing": landed(log),
        "seconds": {key(step.name): step.seconds for step in steps},
        "steps": listed,
    }


def disk(folders: Sequence[Path]) -> int:
    """Megabytes of disk that the folders' files take; a folder that is not there takes nothing."""
    there = [str(folder) for folder in folders if folder.is_dir()]
    # Files come and go while du looks; it says so on stderr and goes on.
    listed = subprocess.run(["du", "-sk", *there], capture_output=True, text=True, check=False) if there else None
    blocks = [int(line.split()[0]) for line in listed.stdout.splitlines()] if listed else []
    return round(sum(blocks) * 1024 / 1e6)


class Sampler(Repeating):
    """A context manager that samples the machine and a deployment every few seconds, into `samples`."""

    def __init__(self, current: Settings, pid: int, began: float) -> None:
        """Of the deployment, whose demo is the process `pid`; `began` is the clock's zero."""
        super().__init__(SAMPLE_SECONDS)
        self.samples: list[Sample] = []
        self._current, self._pid, self._began = current, pid, began
        home = postgres.home(current)
        self._folders = [current.local_dir, *([] if home.is_relative_to(current.local_dir) else [home])]

    def tick(self) -> None:
        """Sample once."""
        # A process may go while it is looked at; the next sample is not far.
        with suppress(psutil.Error, OSError):
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        memory = psutil.virtual_memory()
        roots = residents.services(self._current.local_dir / "run") | {self._pid: "demo"}
        return Sample(
            at=time.monotonic() - self._began,
            memory_megabytes=round((memory.total - memory.available) / 1e6),
            disk_megabytes=disk(self._folders),
            resident_megabytes=residents.megabytes(residents.running(), roots),
        )


def parity(current: Settings) -> Json:
    """The heavy tables that Spark has published against those that dbt makes of the same raw beside them, every column, both ways. Exits when dbt fails."""
    if dbt.build_heavy_beside(current, parity_audit.PREFIX):
        sys.exit("error: dbt could not make its tables for the comparison")
    found = parity_audit.compare(current, spark_dataset="intermediate")
    return {
        "tables_compared": len(found),
        "rows_compared": sum(each.spark_rows for each in found),
        "differences": sum(each.only_dbt + each.only_spark + abs(each.dbt_rows - each.spark_rows) for each in found),
        "tables": [asdict(each) for each in found],
    }


def run(current: Settings, scale: float, engine: str) -> tuple[list[Line], list[Sample], str, Json | None]:
    """The demo once, and everything it made deleted again. Returns its lines, the samples, the sync's log and the comparison. Exits when it fails."""
    began, lines, log, compared = time.monotonic(), list[Line](), "", None
    command = [sys.executable, "-m", "stack", "demo", "--scale", f"{scale:g}", "--engine", engine]
    environment = os.environ | {"SPARK_LOCAL_DIRS": str(current.local_dir / "scratch")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        with Sampler(current, process.pid, began) as sampler:
            assert process.stdout is not None
            for text in process.stdout:
                lines.append(Line(time.monotonic() - began, text.rstrip("\n")))
                print(f"{lines[-1].at:8.1f} {lines[-1].text}", flush=True)
            status = process.wait()
        with suppress(OSError):
            log = (current.local_dir / "airbyte" / "jobs" / "1.log").read_text()
        if not status and engine == "spark":
            compared = parity(current)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        subprocess.run([sys.executable, "-m", "stack", "clean-data"], cwd=ROOT, check=False)
    if status:
        sys.exit(f"error: the demo ended with status {status}")
    return lines, sampler.samples, log, compared


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 whether or not the target is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="scale factor of the source (default 1)")
    parser.add_argument("--engine", choices=ENGINES, default="dbt", help="who does the heavy steps (default dbt)")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/pipeline_scale_<scale>_<engine>.json")
    chosen = parser.parse_args(arguments)
    about = machine()
    with deployment([]) as current:
        lines, samples, log, compared = run(current, chosen.scale, chosen.engine)
    result = {"scale": chosen.scale, "engine": chosen.engine, "landed_before": False, "machine": about}
    result |= measured(lines, samples, log)
    if compared:
        result["parity"] = compared
    save(result, chosen.output or RESULTS / f"pipeline_scale_{chosen.scale:g}_{chosen.engine}.json")
    print(json.dumps({name: result[name] for name in ("totals", "targets", "landing")}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
