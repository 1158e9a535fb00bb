"""`python -m benchmarks.page`: the numbers of docs/benchmarks.md, written between its markers from benchmarks/results and benchmarks/prices.json.

The page's prose is written by hand and has no measured number in it; whatever is measured stands in a block `<!-- from: NAME -->` … `<!-- end -->`, which is
made here and links to the file that it is from. --check writes nothing and fails when a block is not what would be written; `make test` does the same.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.memory import size_in_bytes
from benchmarks.plots import ENGINES, JOBS, RESULTS

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
NOTHING = "Not measured yet."
BLOCK = re.compile(r"(<!-- from: ([a-z_ ]+) -->\n)(.*?)(<!-- end -->)", re.S)
# The engines that do the jobs; the floor does not.
MEASURED = ("spark", "naive", "duckdb", "polars", "pysail")
OTHERS = MEASURED[2:]
# Steps that are less of a run's wall time stand in one line.
SHORT_STEP = 0.01


def _load(pattern: str, without: str = "$^") -> dict[str, Json]:
    return {
        path.name: json.loads(path.read_text())
        for path in sorted(RESULTS.glob(pattern))
        if not re.search(without, path.name)
    }


def peers() -> list[tuple[str, Json]]:
    """The runs without a limit, of an input as it comes, by scale, with their file's name."""
    return sorted(_load("peers_scale_*.json", plots.SPECIAL).items(), key=lambda item: item[1]["scale"])


def limited() -> list[tuple[str, Json]]:
    """The runs with a limit, by scale and limit."""
    found = _load("peers_scale_*_memory_*.json", "_skewed").items()
    return sorted(found, key=lambda item: (item[1]["scale"], size_in_bytes(item[1]["memory_limit"])))


def on_skewed_input() -> list[tuple[str, Json]]:
    """The runs of a skewed input, by scale."""
    return sorted(_load("peers_scale_*_skewed.json").items(), key=lambda item: item[1]["scale"])


def link(*names: str) -> str:
    """A link to each result file."""
    return ", ".join(f"[{name}](../benchmarks/results/{name})" for name in names)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def per_result(pattern: str, columns: dict[str, Callable[[Json], str]]) -> str:
    """A row for each result file, with a link to it; `columns` say by heading what stands in the row."""
    rows = [[*(text(result) for text in columns.values()), link(name)] for name, result in _load(pattern).items()]
    return table([*columns, "result"], rows) if rows else NOTHING


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _spread(measure: Json) -> str:
    low, middle, high = (_number(measure[name]) for name in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _times(result: Json, other: str, measure: str = "wall_seconds") -> dict[str, float]:
    """By job: Spark's median over another engine's."""
    found = {}
    for job in JOBS:
        engines = result["figures"].get(job, {})
        if all(measure in engines.get(engine, {}) for engine in ("spark", other)):
            found[job] = engines["spark"][measure]["median"] / engines[other][measure]["median"]
    return found


def _wins(result: Json) -> list[str]:
    """The jobs that Spark does in less wall time than another engine."""
    return [
        f"{JOBS[job].lower()} against {ENGINES[other][0]}"
        for other in OTHERS
        for job, ratio in _times(result, other).items()
        if ratio < 1
    ]


def _instead(found: Json | None) -> str:
    """What stands where there is no time."""
    if not found:
        return "-"
    return "failed" if _failed(found) else f"disturbed ({found['disturbed']} of {found['runs']})"


def _failed(found: Json) -> bool:
    return bool(found.get("errors")) and not found["runs"]


def verdict() -> str:
    """Where Spark loses on one machine, and where it wins, as measured."""
    runs = peers()
    # The largest scale of which there are calm runs of all jobs; CPU seconds are of the largest.
    timed = [item for item in runs if len(_times(item[1], "duckdb")) == len(JOBS)]
    if not timed:
        return NOTHING
    (name, last), (largest_name, largest) = timed[-1], runs[-1]
    wins = [f"{win} at scale {result['scale']:g}" for _, result in runs for win in _wins(result)]
    scales = [result["scale"] for _, result in timed]
    is_one = len(scales) == 1
    everywhere = "at the only scale measured" if is_one else "at every scale measured"
    if wins:
        everywhere = (
            f"nearly everywhere at scale {scales[0]:g}, the only one measured" if is_one else "nearly everywhere"
        )
    nowhere = (
        "None of the jobs is faster in Spark there; whether another volume turns it was not measured."
        if is_one
        else f"None of the jobs is faster in Spark at a volume measured, from scale {scales[0]:g} to {scales[-1]:g}."
    )
    wall = _listed([f"{ratio:.1f} times ({JOBS[job].lower()})" for job, ratio in _times(last, "duckdb").items()])
    session = _listed([f"{ratio:.1f}" for ratio in _times(last, "duckdb", "in_session_seconds").values()])
    work = _listed([f"{ratio:.1f}" for ratio in _times(largest, "duckdb", "cpu_seconds").values()])
    said = [
        f"**On one machine of {last['machine']['cores']} cores Spark loses, {everywhere}:** at scale "
        f"{last['scale']:g} its jobs take {wall} the wall time of DuckDB, from the same Parquet files to the same rows; without its start {session} times "
        f"({link(name)}). At scale {largest['scale']:g} they take {work} times the CPU seconds, in the same order ({link(largest_name)}).",
        f"Where it is faster: {'; '.join(wins)}." if wins else nowhere,
        _when_nothing_is_new(),
        _under_limits(),
        _when_skewed(),
        "A cluster was not measured: two workers on the same two cores would not show one. What Spark is for here is what one machine does not have: the "
        "memory and the disks of several, and a lake that others read.",
    ]
    return "\n\n".join(part for part in said if part)


def _under_limits() -> str:
    """Which jobs each engine did under each limit, and what those that Spark and DuckDB both did took."""
    rows: list[list[str]] = []
    ratios: list[float] = []
    for name, result in limited():
        figures = result["figures"]
        row = [f"[{result['memory_limit']}](../benchmarks/results/{name})"]
        for engine in ("spark", *OTHERS):
            done = [JOBS[job].lower() for job in JOBS if figures.get(job, {}).get(engine, {"runs": 0})["runs"]]
            row.append("all" if len(done) == len(JOBS) else _listed(done) if done else "none")
        rows.append(row)
        ratios += _times(result, "duckdb", "cpu_seconds").values()
    if not rows:
        return ""
    names = [ENGINES[engine][0].split(",")[0] for engine in ("spark", *OTHERS)]
    scale = limited()[-1][1]["scale"]
    said = (
        f"Under a memory limit at scale {scale:g}, an engine did of the three jobs:\n\n{table(['limit', *names], rows)}"
    )
    if ratios:
        said += f"\n\nWhere both did a job, Spark took {min(ratios):.1f} to {max(ratios):.1f} times the CPU seconds of DuckDB."
    return said


def _when_nothing_is_new() -> str:
    """The whole heavy stage where there is no new row: Spark remembers what it has read."""
    return "".join(
        f"The whole heavy stage is, where nothing is new at scale {result['scale']:g}: {figures['nothing_new_seconds']:.1f} s by Spark, "
        f"{figures['dbt_nothing_new_seconds']:.1f} s by dbt ({link(name)})."
        for name, result in _load("spark_jobs_scale_*.json").items()
        if "dbt_nothing_new_seconds" in (figures := result["figures"])
        and figures["nothing_new_seconds"] < figures["dbt_nothing_new_seconds"]
    )


def _when_skewed() -> str:
    if not on_skewed_input():
        return ""
    name, result = on_skewed_input()[-1]
    times = _listed([f"{ratio:.1f}" for ratio in _times(result, "duckdb").values()])
    wins = _wins(result)
    faster = f"It is faster at {_listed(wins)}." if wins else "None is faster in Spark."
    return f"Of a skewed input at scale {result['scale']:g} Spark's jobs take {times} times DuckDB's wall time ({link(name)}). {faster}"


def machine() -> str:
    """What was run, on what."""
    rows = []
    for name, result in (*peers(), *limited(), *on_skewed_input()):
        about = result["machine"]
        versions = ", ".join(
            f"{key} {about[key]}" for key in ("pyspark", "duckdb", "polars", "pysail", "java") if key in about
        )
        runs = max(figures["runs"] for job in result["figures"].values() for figures in job.values())
        all_runs = [run for job in result["runs"].values() for engine in job.values() for run in engine]
        shares = sorted(run["others_share"] for run in all_runs)
        limit = result["memory_limit"] or "none"
        cores = f"{about['cores']} cores, {about['memory_gigabytes']} GB"
        rows.append(
            [
                f"{result['scale']:g}",
                limit,
                str(runs),
                about["measured_at"][:10],
                cores,
                f"{shares[len(shares) // 2]:.0%}, at most {shares[-1]:.0%}",
                versions,
                link(name),
            ]
        )
    head = [
        "scale",
        "memory limit",
        "repetitions",
        "date",
        "machine",
        "other work on the machine, share of its cores' time (median, most)",
        "versions",
        "result",
    ]
    return table(head, rows) if rows else NOTHING


def time() -> str:
    """Wall and in-session seconds by scale, job and engine."""
    rows = []
    for name, result in peers():
        for job, label in JOBS.items():
            for measure, what in (("wall_seconds", "wall"), ("in_session_seconds", "in session")):
                engines = result["figures"].get(job, {})
                values = [
                    _spread(engines[engine][measure])
                    if measure in engines.get(engine, {})
                    else _instead(engines.get(engine))
                    for engine in ("floor", *MEASURED)
                ]
                rows.append([f"[{result['scale']:g}](../benchmarks/results/{name})", label, what, *values])
    head = ["scale", "job", "seconds", *(ENGINES[engine][0] for engine in ("floor", *MEASURED))]
    return table(head, rows) if rows else NOTHING


def resources() -> str:
    """CPU, memory and bytes at the largest scale."""
    if not peers():
        return NOTHING
    name, result = peers()[-1]
    rows = []
    for job, label in JOBS.items():
        for engine in ("floor", *MEASURED):
            found = result["figures"].get(job, {}).get(engine, {})
            if "wall_seconds" not in found:
                continue
            gigabytes = [
                f"{found[measure]['median'] / 1e9:.2f}" for measure in ("bytes_read", "bytes_written", "output_bytes")
            ]
            spark = [
                f"{found[m]['median'] / 1e6:,.0f}" if m in found else "-" for m in ("shuffle_bytes", "spilled_bytes")
            ]
            rows.append(
                [
                    label,
                    ENGINES[engine][0],
                    _spread(found["cpu_seconds"]),
                    _number(found["peak_megabytes"]["median"]),
                    *gigabytes,
                    *spark,
                ]
            )
    head = [
        "job",
        "engine",
        "CPU seconds",
        "peak memory, MB",
        "read, GB",
        "written, GB",
        "of it output, GB",
        "shuffled, MB",
        "spilled, MB",
    ]
    return f"Scale {result['scale']:g}, medians, {link(name)}.\n\n{table(head, rows)}"


def floor() -> str:
    """Seconds in session, and CPU seconds, over the floor's, by scale."""
    rows = []
    for name, result in peers():
        for job, label in JOBS.items():
            engines = result["figures"].get(job, {})
            for measure, what in (("in_session_over_floor", "seconds in session"), ("cpu_over_floor", "CPU seconds")):
                values = [
                    f"{engines[engine][measure]:.2f}" if measure in engines.get(engine, {}) else "-"
                    for engine in MEASURED
                ]
                rows.append([f"[{result['scale']:g}](../benchmarks/results/{name})", label, what, *values])
    return table(["scale", "job", "of", *(ENGINES[engine][0] for engine in MEASURED)], rows) if rows else NOTHING


def growth() -> str:
    """How Spark's work grows from the smallest scale to the largest."""
    runs = peers()
    if len(runs) < 2:
        return NOTHING
    (low_name, low), (high_name, high) = runs[0], runs[-1]
    times, rows = high["scale"] / low["scale"], []
    for engine in MEASURED:
        values = []
        for measure in ("in_session_seconds", "cpu_seconds", "peak_megabytes"):
            both = [[run["figures"].get(job, {}).get(engine, {}).get(measure) for job in JOBS] for run in (low, high)]
            if not all(map(all, both)):
                values.append("-")
                continue
            pick = max if measure == "peak_megabytes" else sum
            first, second = (pick(item["median"] for item in of_run) for of_run in both)
            values.append(f"{second / first:.1f}")
        rows.append([ENGINES[engine][0], *values])
    head = ["engine", "seconds in session, sum of the jobs", "CPU seconds, sum of the jobs", "peak memory, largest job"]
    said = f"Times as much at scale {high['scale']:g} as at scale {low['scale']:g} ({times:g} times the rows; {link(low_name, high_name)})."
    return f"{said}\n\n{table(head, rows)}"


def memory() -> str:
    """Seconds, peak memory or the error under each limit."""
    rows = []
    for name, result in limited():
        for job, label in JOBS.items():
            for engine, found in result["figures"].get(job, {}).items():
                if engine == "floor":
                    continue
                spilled = f"{found['spilled_bytes']['median'] / 1e6:,.0f}" if "spilled_bytes" in found else "-"
                limited_by = next(
                    (run["limited_by"] for run in result["runs"][job][engine] if run.get("limited_by")), "-"
                )
                rows.append(
                    [
                        f"[{result['scale']:g}](../benchmarks/results/{name})",
                        result["memory_limit"].upper() + "B",
                        limited_by,
                        label,
                        ENGINES[engine][0],
                        *_taken(found),
                        spilled,
                    ]
                )
    head = [
        "scale",
        "limit",
        "what it limits",
        "job",
        "engine",
        "wall seconds",
        "CPU seconds",
        "peak memory, MB",
        "spilled, MB (Spark)",
    ]
    return table(head, rows) if rows else NOTHING


def skew() -> str:
    """Seconds and peak memory, or the error, where much of the input has single keys."""
    rows = [
        [f"[{result['scale']:g}](../benchmarks/results/{name})", label, ENGINES[engine][0], *_taken(found)]
        for name, result in on_skewed_input()
        for job, label in JOBS.items()
        for engine, found in result["figures"].get(job, {}).items()
        if engine != "floor"
    ]
    head = ["scale", "job", "engine", "wall seconds", "CPU seconds", "peak memory, MB"]
    return table(head, rows) if rows else NOTHING


def _taken(found: Json) -> list[str]:
    """Wall seconds, CPU seconds and peak memory of an engine's runs of a job; or why there are none."""
    if _failed(found):
        return [f"failed: {_short(found['errors'][0])}", "-", "-"]
    wall = _spread(found["wall_seconds"]) if "wall_seconds" in found else _instead(found)
    return [wall, _spread(found["cpu_seconds"]), _number(found["peak_megabytes"]["median"])]


def _short(error: str) -> str:
    line = " ".join(error.split()).replace("|", "/")
    return line if len(line) <= 120 else line[:117] + "…"


def errors() -> str:
    """What an engine could not do, in its own words."""
    rows = [
        [f"[{result['scale']:g}](../benchmarks/results/{name})", JOBS[job], ENGINES[engine][0], f"`{_short(error)}`"]
        for name, result in peers()
        for job, engines in result["figures"].items()
        for engine, found in engines.items()
        for error in found.get("errors", [])
    ]
    if rows:
        return table(["scale", "job", "engine", "error"], rows)
    scales = [f"{result['scale']:g}" for _, result in peers()]
    if not scales:
        return NOTHING
    return f"Without a memory limit every engine did every job, at scale{'s' if len(scales) > 1 else ''} {_listed(scales)}."


def change() -> str:
    """What a small change costs of a full run."""
    rows = []
    for name, result in _load("landing_scale_*.json").items():
        figures = result["figures"]
        rows.append(
            [
                f"landing, 1 % changed, scale {float(result['scale']):g}",
                _number(figures["initial_seconds"]),
                _number(figures["changed_seconds"]),
                f"{figures['changed_over_initial']:.0%}",
                link(name),
            ]
        )
    for name, result in _load("dbt_build_scale_*.json").items():
        if "after_a_day" in result["seconds"]:
            rows.append(
                [
                    f"dbt build, a business day, scale {float(result['scale']):g}",
                    _number(result["seconds"]["full"]),
                    _number(result["seconds"]["after_a_day"]),
                    f"{result['incremental_of_full']['after_a_day']:.0%}",
                    link(name),
                ]
            )
    for name, result in _load("spark_jobs_scale_*.json").items():
        figures = result["figures"]
        for kind, which in (("recent", "the newest 1 %"), ("scattered", "any 1 %")):
            if f"{kind}_of_full" in figures:
                rows.append(
                    [
                        f"heavy stage in Spark, {which} changed, scale {float(result['scale']):g}",
                        _number(figures["stage_seconds"]),
                        _number(figures[f"{kind}_seconds"]),
                        f"{figures[f'{kind}_of_full']:.0%}",
                        link(name),
                    ]
                )
            if f"dbt_{kind}_seconds" in figures:
                full, changed = figures["dbt_full_seconds"], figures[f"dbt_{kind}_seconds"]
                rows.append(
                    [
                        f"the same by dbt in the warehouse, {which} changed, scale {float(result['scale']):g}",
                        _number(full),
                        _number(changed),
                        f"{changed / full:.0%}",
                        link(name),
                    ]
                )
    return table(["what", "full, s", "after the change, s", "of a full one", "result"], rows) if rows else NOTHING


def landing() -> str:
    """Throughput of an initial sync."""
    return per_result(
        "landing_scale_*.json",
        {
            "scale": lambda r: f"{float(r['scale']):g}",
            "rows": lambda r: f"{r['figures']['rows']:,}",
            "initial sync, s": lambda r: _number(r["figures"]["initial_seconds"]),
            "rows a second": lambda r: f"{r['figures']['initial_rows_per_second']:,}",
            "over its floor": lambda r: f"{r['figures']['initial_over_floor']:.2f}",
        },
    )


def dbt() -> str:
    """Full and incremental dbt builds."""

    def seconds(kind: str) -> Callable[[Json], str]:
        return lambda r: _number(r["seconds"][kind]) if kind in r["seconds"] else "-"

    return per_result(
        "dbt_build_scale_*.json",
        {
            "scale": lambda r: f"{float(r['scale']):g}",
            "full, s": seconds("full"),
            "its statements alone, s": seconds("statements"),
            "incremental, nothing new, s": seconds("unchanged"),
            "incremental, after a day, s": seconds("after_a_day"),
        },
    )


def pipelines() -> list[tuple[str, Json]]:
    """The runs of the whole pipeline by scale and engine, with their file's name."""
    return sorted(_load("pipeline_scale_*.json").items(), key=lambda item: (item[1]["scale"], item[1]["engine"]))


def pipeline() -> str:
    """The whole pipeline: each run, then its steps."""
    runs, steps, notes = [], [], []
    for name, result in pipelines():
        totals = result["totals"]
        which = [f"[{result['scale']:g}](../benchmarks/results/{name})", result["engine"]]
        runs.append(
            [
                *which,
                "everything" if result["landed_before"] else "nothing",
                f"{totals['wall_seconds']:,.0f} ({totals['wall_minutes']:.1f} min)",
                f"{totals['peak_memory_megabytes']:,}",
                f"{totals['peak_disk_megabytes']:,}",
                f"{totals['rows']['raw']:,}",
                f"{totals['rows']['marts']:,}",
                "/".join(str(totals[f"tests_{outcome}"]) for outcome in ("passed", "warned", "failed")),
                f"{totals['traps_compared'] - totals['traps_different']} of {totals['traps_compared']}",
            ]
        )
        shorter = [step for step in result["steps"] if step["seconds"] < SHORT_STEP * totals["wall_seconds"]]
        for step in result["steps"]:
            if step not in shorter:
                most = max(step["resident_megabytes"].items(), key=lambda item: item[1])
                steps.append(
                    [
                        *which,
                        step["step"],
                        _number(step["seconds"]),
                        f"{step['share_of_wall']:.0%}",
                        f"{step['peak_memory_megabytes']:,}",
                        f"{most[0]} {most[1]:,}",
                        f"{step['disk_megabytes']:,}",
                    ]
                )
        share = sum(step["share_of_wall"] for step in shorter) + totals["between_steps_share"]
        between = totals["between_steps_share"] * totals["wall_seconds"]
        seconds = _number(sum(step["seconds"] for step in shorter) + between)
        steps.append([*which, f"{len(shorter)} shorter ones, and between steps", seconds, f"{share:.0%}", *["-"] * 3])
        if "note" in result:
            notes.append(f"- {link(name)}: {result['note']}")
    if not runs:
        return NOTHING
    head = [
        "scale",
        "engine",
        "landed before",
        "wall seconds",
        "peak memory in use, MB",
        "disk at most, MB",
        "rows in raw",
        "rows in marts",
        "tests passed/warned/failed",
        "traps found as planted",
    ]
    of_step = [
        "scale",
        "engine",
        "step",
        "seconds",
        "of the wall time",
        "peak memory in use, MB",
        "most of it, MB resident",
        "disk then, MB",
    ]
    return "\n\n".join(part for part in (table(head, runs), table(of_step, steps), "\n".join(notes)) if part)


def overhead() -> str:
    """What Airflow adds to a run's programs."""
    return per_result(
        "overhead_scale_*.json",
        {
            "scale": lambda r: f"{r['scale']:g}",
            "run, s": lambda r: f"{r['figures']['wall_seconds']:.1f}",
            "its programs, s": lambda r: f"{r['figures']['programs_seconds']:.1f}",
            "beside them, s": lambda r: f"{r['figures']['beside_seconds']:.1f}",
            "parse of the DAG, s": lambda r: f"{r['figures']['parse_seconds']:.2f}",
            "with a network": lambda r: "no" if r["figures"]["parsed_without_network"] else "yes",
            "date": lambda r: r["machine"]["measured_at"][:10],
        },
    )


def sweep() -> str:
    """The engine that the threshold asks for, and the one that was chosen, by volume."""
    result = next(iter(_load("volume_sweep.json").values()), None)
    if not result:
        return NOTHING
    rows = [
        [
            f"{step['scale']:g}",
            f"{step['rows']:,}",
            step["engine"],
            f"{step['at_a_threshold_of_the_rows']}, {step['at_one_row_more']}",
            " / ".join(f"{step['predicted_seconds'][engine]:,.0f}" for engine in ("dbt", "spark")),
        ]
        for step in result["steps"]
    ]
    head = [
        "scale",
        "rows that wait",
        f"chosen at the default threshold of {result['steps'][0]['threshold']:,}",
        "at a threshold of just these rows, and of one more",
        "seconds predicted, dbt / Spark",
    ]
    return f"{table(head, rows)}\n\n{link('volume_sweep.json')}"


def policy() -> str:
    """What the cost policy chose for volumes that it had not seen, beside what was measured."""
    result = next(iter(_load("cost_policy.json").values()), None)
    if not result:
        return NOTHING

    choices = result["choices"]
    by_prices = []
    for prices in dict.fromkeys(choice["prices"] for choice in choices):
        own = [choice for choice in choices if choice["prices"] == prices]
        counts = [sum(choice["cheaper"] == "spark" for choice in own)]
        counts += [sum(choice[key] for choice in own) for key in ("is_right", "is_right_with_hysteresis")]
        by_prices.append([prices, str(len(own)), *map(str, counts)])
    volumes = [
        [
            choice["warehouse"],
            f"{choice['rows']:,}",
            " / ".join(choice["measured"].values()),
            " / ".join(f"{seconds:,.0f}" for seconds in choice["predicted_seconds"].values()),
        ]
        for choice in choices
        if choice["prices"] == choices[0]["prices"]
    ]
    of_prices = table(
        ["prices", "choices", "Spark is cheaper in", "right", "right with the DAG's hysteresis"], by_prices
    )
    of_volumes = table(["warehouse", "rows that wait", "seconds measured, dbt / Spark", "predicted"], volumes)
    share = f"{result['figures']['right_share']:.0%} of {len(choices)} choices are right."
    return f"{share}\n\n{of_prices}\n\n{of_volumes}\n\n{link('cost_policy.json')}"


def cycles() -> str:
    """Business days in a row."""
    return per_result(
        "daily_cycles_scale_*.json",
        {
            "scale": lambda r: f"{r['scale']:g}",
            "days": lambda r: str(len(r["days"])),
            "run by dbt, growth": lambda r: f"{r['figures']['dbt_seconds_growth']:.2f}",
            "run by Spark, growth": lambda r: f"{r['figures']['spark_seconds_growth']:.2f}",
            "memory, growth": lambda r: f"{r['figures']['memory_growth']:.2f}",
            "files after maintenance, growth": lambda r: f"{r['figures']['files_after_maintenance']:.2f}",
            "most files of a Delta table": lambda r: str(r["figures"]["most_files_of_a_table"]),
            "files of older versions, a day": lambda r: (
                f"{r['days'][-1]['files_of_older_versions'] / len(r['days']):.0f}"
            ),
            "rows different between engines": lambda r: (
                f"{r['figures']['differences_between_engines']} in {r['figures']['tables_audited']} tables"
            ),
            "date": lambda r: r["machine"]["measured_at"][:10],
        },
    )


def _cost() -> Json | None:
    return next(iter(_load("cost_model.json").values()), None)


def cost() -> str:
    """USD a month by engine and scale."""
    result = _cost()
    if not result:
        return NOTHING
    what = {"full": "Every run makes everything anew", "incremental": "Every run follows a change of 1 %"}
    parts = []
    for month, by_engine in result["usd_a_month"].items():
        scales = list(next(iter(by_engine.values())))
        rows = [
            [name.replace("_", " "), *(f"{values[scale]:,.2f}" for scale in scales)]
            for name, values in by_engine.items()
        ]
        parts.append(f"{what[month]}, USD a month:\n\n{table(['engine', *(f'{scale}x' for scale in scales)], rows)}")
    landed = result["airbyte_cloud_usd_a_month"]
    parts.append(
        "Landing by Airbyte Cloud, changes of 1 % a run: "
        + ", ".join(f"{scale}x {value:,.0f} USD" for scale, value in landed.items())
        + " a month."
    )
    if result["measured"]["spark_changed_of_full"] is None:
        parts.append(
            "Spark's incremental month is missing: what a changed run costs of a full one is not measured yet."
        )
    parts += [_why_a_change_is_dearer(result), f"{_measured_for_money(result)} {link('cost_model.json')}"]
    return "\n\n".join(part for part in parts if part)


def _why_a_change_is_dearer(result: Json) -> str:
    full, changed = (result["usd_a_month"][month].get("bigquery_on_demand", {}) for month in ("full", "incremental"))
    if not any(changed[scale] > full[scale] for scale in changed):
        return ""
    return (
        "On demand, BigQuery's month of changes costs more than its month of full runs. What differs is found by comparing, so the models read their inputs "
        "whole in both; a run after a change also compares them with its tables, which a full one only writes, and two MERGEs, of what changed and of dead "
        "keys, are billed as the whole table each ([decision 0005](decisions/0005-what-an-incremental-build-costs.md)). The first TiB of a month is free, so "
        "the bill grows by more than the bytes do. At 1000x it is also most of what Spark, DuckDB and Sail cost: what they make is published by a "
        "MERGE, billed on demand. "
        "DuckDB and Sail have no incremental form here: both of their months are full ones."
    )


def _measured_for_money(result: Json) -> str:
    """Which scales the cost model's bytes and seconds are of, and what it makes of the others."""
    found = result["measured"]

    def scales(points: Json) -> str:
        return _listed([f"{scale:g}" for scale in sorted(map(float, points))])

    if len(found["dbt_bytes"]) == 1:
        said = (
            f"Bytes and CPU seconds were measured at scale {scales(found['dbt_bytes'])} alone. Every other scale is in proportion to it, a session's start and "
            "all else that does not grow included."
        )
    else:
        said = (
            f"Bytes and CPU seconds were measured at scales {scales(found['dbt_bytes'])}; between them they are interpolated, beyond the largest they grow as "
            "between the last two."
        )
    changed = [name for name in found["files"] if name.startswith("spark_jobs_scale_")]
    if changed:
        of = max(float(name.removeprefix("spark_jobs_scale_").removesuffix(".json")) for name in changed)
        said += f" What Spark's run after a change takes of a full one is that of scale {of:g} at every scale."
    if found["landed_bytes_a_run"]:
        several = "s" if len(found["landed_bytes_a_run"]) > 1 else ""
        said += f" Landed bytes are of scale{several} {scales(found['landed_bytes_a_run'])}."
    return said


def crossovers() -> str:
    """Where an engine becomes cheaper or dearer than BigQuery."""
    result = _cost()
    if not result:
        return NOTHING
    rows = [
        [
            month,
            item["engine"].replace("_", " "),
            item["beside"].replace("_", " "),
            f"{item['from_there']} from {item['scale']:g}x",
        ]
        for month, items in result["crossovers"].items()
        for item in items
    ]
    return (
        f"{table(['month', 'engine', 'beside', 'in money'], rows)}\n\n{link('cost_model.json')}"
        if rows
        else f"None from 1x to 10,000x. {link('cost_model.json')}"
    )


def sensitivity() -> str:
    """What half of an input, and half as much again, make of each month at 100x."""
    result = _cost()
    if not result:
        return NOTHING
    found = result["sensitivity_at_100"]["full"]
    engines = list(result["usd_a_month"]["full"])
    rows = [
        [f"`{name}`", *(f"{touched[e][0]:.2f} / {touched[e][1]:.2f}" if e in touched else "" for e in engines)]
        for name, touched in found.items()
    ]
    return f"{table(['input', *(name.replace('_', ' ') for name in engines)], rows)}\n\n{link('cost_model.json')}"


def prices() -> str:
    """The prices with their sources."""
    described = json.loads((ROOT / "benchmarks" / "prices.json").read_text())
    rows = [
        [
            f"`{name}`",
            f"{item['value']:g}",
            item["unit"],
            f"[page]({item['url']})",
            item["read"],
            "yes" if item["confirmed"] else "no",
        ]
        for name, item in described["prices"].items()
    ]
    left = " ".join(f"{name}: {why}" for name, why in described["not_cited"].items())
    return f"{table(['price', 'value', 'unit', 'page', 'read', 'confirmed'], rows)}\n\n{left} All inputs: [prices.json](../benchmarks/prices.json)."


BLOCKS: dict[str, Callable[[], str]] = {
    "verdict": verdict,
    "machine": machine,
    "time": time,
    "resources": resources,
    "floor": floor,
    "growth": growth,
    "memory": memory,
    "skew": skew,
    "errors": errors,
    "change": change,
    "landing": landing,
    "dbt": dbt,
    "pipeline": pipeline,
    "overhead": overhead,
    "sweep": sweep,
    "policy": policy,
    "cycles": cycles,
    "cost": cost,
    "crossovers": crossovers,
    "sensitivity": sensitivity,
    "prices": prices,
}


def figure(name: str) -> str:
    """A figure with what it is of, or that there is none yet."""
    inputs = plots.ALL[name].inputs()
    if not inputs:
        return NOTHING
    words = name.replace("_", " ")
    alt = {"cpu against scale": "CPU against scale", "dbt build": "dbt build"}.get(words, words.capitalize())
    return f"![{alt}](images/benchmarks/{name}.svg)\n\nFrom {link(*(path.name for path in inputs))}."


def rendered(text: str) -> str:
    """The page with its blocks made anew. Raises KeyError for a block that nobody makes."""

    def block(found: re.Match[str]) -> str:
        name = found[2]
        made = figure(name.removeprefix("figure ")) if name.startswith("figure ") else BLOCKS[name]()
        return f"{found[1]}{made}\n{found[4]}"

    return BLOCK.sub(block, text)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when --check finds a block that is not what would be written."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the page differs")
    chosen = parser.parse_args(arguments)
    text = PAGE.read_text()
    made = rendered(text)
    if chosen.check and made != text:
        print(f"error: {PAGE.relative_to(ROOT)} is not what `make plots` writes", file=sys.stderr)
        return 1
    if not chosen.check:
        PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
