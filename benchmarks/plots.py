"""`python -m benchmarks.plots`: the figures of docs/benchmarks.md as SVG, from benchmarks/results alone; `make plots` runs it in its environment.

A figure whose results are not there yet is not drawn. The same results give the same bytes: no date, no random ids, no font but by name. Each SVG names in its
metadata the results it is of and a checksum of them (`stamp`), by which `make test` finds a figure that no longer matches, without drawing it. --check draws
everything anew and compares the bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import size_in_bytes

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ROOT / "docs" / "images" / "benchmarks"

JOBS = {
    "payment_dedup": "Payment dedup",
    "currency_normalization": "Currency normalization",
    "seller_tier_scd2": "Seller tiers",
}
# Okabe and Ito's colours, which the colour-blind tell apart, and a marker each.
ENGINES = {
    "spark": ("Spark, our functions", "#0072B2", "o"),
    "naive": ("Spark, naive form", "#D55E00", "v"),
    "floor": ("Spark, read and write only", "#999999", "x"),
    "duckdb": ("DuckDB", "#E69F00", "s"),
    "polars": ("Polars", "#009E73", "^"),
    "pysail": ("Sail, our functions", "#CC79A7", "D"),
}
# The pipeline's two paths; dbt in the colour of the engine behind the emulator.
PATHS = {"dbt": ("heavy models by dbt", "#E69F00"), "spark": ("heavy models by Spark", "#0072B2")}
# A smaller share of every run has no bar of its own.
SMALL_SHARE = 0.015
INK, PAPER, GRID = "#1a1a1a", "#ffffff", "#d9d9d9"
STYLE = {
    "svg.hashsalt": "marketplace-elt",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    # Its own background, so that a dark page does not swallow the ink.
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


@dataclass(frozen=True)
class Figure:
    """A figure: what it is of (a pattern of names in results/), and what draws it from those results."""

    pattern: str
    draw: Callable[[dict[str, Json]], Any]
    # Names that the pattern matches and the figure is not of.
    without: str = "$^"

    def inputs(self, results: Path = RESULTS) -> list[Path]:
        """The result files that it is drawn from."""
        return [path for path in sorted(results.glob(self.pattern)) if not re.search(self.without, path.name)]


def stamp(inputs: list[Path]) -> str:
    """The names of the results and a checksum of their bytes, as they stand in a figure's metadata."""
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return f"{', '.join(path.name for path in inputs)}; sha256 {digest.hexdigest()}"


def stamped(svg: str) -> str | None:
    """The stamp in an SVG, or None."""
    found = re.search(r"<dc:description>(.*?)</dc:description>", svg, re.S)
    return found[1].strip() if found else None


def _panels(columns: int, height: float = 3.6) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(4.2 * columns, height), layout="constrained", squeeze=False)
    return figure, axes[0]


def _against_scale(results: dict[str, Json], measure: str, unit: str, title: str, engines: list[str]) -> Any:
    """A panel a job: medians against scale on logarithmic axes, with least and most."""
    from matplotlib.ticker import LogLocator

    figure, axes = _panels(len(JOBS), 4.2)
    by_scale = sorted(results.values(), key=lambda result: result["scale"])
    for panel, (job, name) in zip(axes, JOBS.items(), strict=True):
        for engine in engines:
            label, color, marker = ENGINES[engine]
            found = [
                (result["scale"], result["figures"][job][engine][measure])
                for result in by_scale
                if measure in result["figures"].get(job, {}).get(engine, {})
            ]
            if not found:
                continue
            scales, middle = [scale for scale, _ in found], [value["median"] for _, value in found]
            spread = [[m - v["min"], v["max"] - m] for m, (_, v) in zip(middle, found, strict=True)]
            panel.errorbar(
                scales, middle, list(zip(*spread, strict=True)), label=label, color=color, marker=marker, capsize=3
            )
        panel.set(xscale="log", yscale="log", title=name, xlabel="scale (1 = 0.4 million source rows)")
        panel.set_xticks([result["scale"] for result in by_scale], [f"{result['scale']:g}" for result in by_scale])
        panel.minorticks_off()
        # A decade alone may have one power of ten in it, or none.
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set_ylabel(unit)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(engines), frameon=False)
    figure.suptitle(title)
    return figure


def crossover(points: dict[str, dict[float, float]], engine: str, other: str) -> float | None:
    """The scale from which `engine` takes less than `other`, on the straight lines between measured points; None where it never does, or always."""
    scales = sorted(set(points.get(engine, {})) & set(points.get(other, {})))
    gaps = [points[engine][scale] - points[other][scale] for scale in scales]
    for low, high, before, after in zip(scales, scales[1:], gaps, gaps[1:], strict=False):
        if before > 0 >= after:
            return low + (high - low) * before / (before - after)
    return None


def time_against_scale(results: dict[str, Json]) -> Any:
    """Wall seconds of a whole process."""
    figure = _against_scale(
        results,
        "wall_seconds",
        "wall seconds (median, least, most)",
        "Time against scale: one process, Parquet to Parquet, start included",
        ["spark", "naive", "duckdb", "polars", "pysail"],
    )
    for panel, job in zip(figure.axes, JOBS, strict=False):
        points: dict[str, dict[float, float]] = {}
        for result in results.values():
            for engine, found in result["figures"].get(job, {}).items():
                if "wall_seconds" in found:
                    points.setdefault(engine, {})[result["scale"]] = found["wall_seconds"]["median"]
        said = []
        # One scale has no crossover to show.
        for other in ("naive", "duckdb") if len(results) > 1 else ():
            scale = crossover(points, "spark", other)
            name = {"naive": "its naive form", "duckdb": "DuckDB"}[other]
            said.append(
                f"Spark passes {name} at {scale:.0f}x" if scale else f"no crossover of Spark and {name} measured"
            )
        panel.set_title(panel.get_title(), pad=30)
        panel.text(0.5, 1.02, "\n".join(said), transform=panel.transAxes, ha="center", va="bottom", fontsize=8)
    return figure


def cpu_against_scale(results: dict[str, Json]) -> Any:
    """CPU seconds: what does not depend on what else the machine does."""
    return _against_scale(
        results,
        "cpu_seconds",
        "CPU seconds (median, least, most)",
        "Work against scale: CPU seconds of all processes of an engine, start included",
        ["floor", "spark", "naive", "duckdb", "polars", "pysail"],
    )


def memory_against_scale(results: dict[str, Json]) -> Any:
    """Peak resident memory."""
    return _against_scale(
        results,
        "peak_megabytes",
        "peak memory, MB (median, least, most)",
        "Memory against scale: all processes of an engine (Spark's heap is limited to 2 GB, the others have no limit)",
        ["spark", "naive", "duckdb", "polars", "pysail"],
    )


def job_over_floor(results: dict[str, Json]) -> Any:
    """Seconds in session over Spark's read-and-write floor, at the largest scale."""
    # The largest of which every job has calm runs; the others' seconds say nothing.
    calm = [
        result
        for result in results.values()
        if all("in_session_over_floor" in result["figures"].get(job, {}).get("spark", {}) for job in JOBS)
    ]
    result = max(calm, key=lambda item: item["scale"])
    figure, axes = _panels(len(JOBS))
    for panel, (job, name) in zip(axes, JOBS.items(), strict=True):
        found = result["figures"].get(job, {})
        shown = [engine for engine in ENGINES if "in_session_over_floor" in found.get(engine, {}) and engine != "floor"]
        values = [found[engine]["in_session_over_floor"] for engine in shown]
        bars = panel.bar(range(len(shown)), values, color=[ENGINES[engine][1] for engine in shown])
        panel.bar_label(bars, fmt="%.2f", padding=2)
        panel.axhline(1, color=INK, linewidth=1)
        panel.set_xticks(range(len(shown)), [ENGINES[engine][0].replace(", ", ",\n") for engine in shown], fontsize=8)
        panel.grid(axis="x", visible=False)
        panel.set_title(name)
        panel.margins(y=0.15)
    axes[0].set_ylabel("seconds in session over the floor's")
    figure.suptitle(f"Each job over Spark's floor (read and write only = 1), scale {result['scale']:g}")
    return figure


def memory_limits(results: dict[str, Json]) -> Any:
    """CPU seconds under memory limits; a failure is written where its bar would be, in its colour."""
    scale = max(result["scale"] for result in results.values())
    chosen = sorted(
        (result for result in results.values() if result["scale"] == scale),
        key=lambda result: size_in_bytes(result["memory_limit"]),
    )
    engines = [
        engine
        for engine in ENGINES
        if any(engine in job for result in chosen for job in result["figures"].values()) and engine != "floor"
    ]
    figure, axes = _panels(len(JOBS))
    width = 0.8 / len(engines)
    for panel, (job, name) in zip(axes, JOBS.items(), strict=True):
        for number, engine in enumerate(engines):
            label, color, _ = ENGINES[engine]
            for place, result in enumerate(chosen):
                x = place - 0.4 + width * (number + 0.5)
                found = result["figures"].get(job, {}).get(engine, {})
                if "cpu_seconds" in found:
                    height = found["cpu_seconds"]["median"]
                    bar = panel.bar(x, height, width, color=color, label=label)
                    panel.bar_label(bar, fmt="%.0f", padding=2, fontsize=8)
                elif found:
                    panel.text(x, 0, " failed", rotation=90, ha="center", va="bottom", color=color, fontsize=8)
        panel.set_xticks(range(len(chosen)), [result["memory_limit"].upper() + "B" for result in chosen])
        panel.grid(axis="x", visible=False)
        panel.set(title=name, xlabel="memory limit", xlim=(-0.6, len(chosen) - 0.4))
        panel.margins(y=0.15)
    axes[0].set_ylabel("CPU seconds (median)")
    named = {label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(engines), frameon=False)
    figure.suptitle(f"Work under a memory limit, scale {scale:g} (DuckDB: memory_limit, Spark: driver heap)")
    return figure


def change_against_full(results: dict[str, Json]) -> Any:
    """What a small change costs, in percent of making everything."""
    bars: list[tuple[str, float]] = []
    for name, result in sorted(results.items()):
        scale = f"{float(result['scale']):g}x"
        if name.startswith("landing"):
            bars.append((f"Landing, 1 %, {scale}", result["figures"]["changed_over_initial"]))
        elif name.startswith("dbt_build") and "after_a_day" in result["incremental_of_full"]:
            share = result["incremental_of_full"]["after_a_day"]
            bars.append((f"dbt build on the emulator, one day, {scale}", share))
        elif name.startswith("spark_jobs") and "recent_of_full" in result["figures"]:
            figures = result["figures"]
            bars.append((f"Heavy stage in Spark, newest 1 %, {scale}", figures["recent_of_full"]))
            if "dbt_recent_seconds" in figures:
                share = figures["dbt_recent_seconds"] / figures["dbt_full_seconds"]
                bars.append((f"Heavy stage by dbt, newest 1 %, {scale}", share))
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(8.4, 1.2 + 0.45 * len(bars)), layout="constrained")
    drawn = panel.barh([label for label, _ in bars], [100 * share for _, share in bars], color=ENGINES["spark"][1])
    panel.bar_label(drawn, fmt="%.0f %%", padding=3)
    panel.axvline(100, color=INK, linewidth=1)
    panel.invert_yaxis()
    panel.grid(axis="y", visible=False)
    panel.set(
        xlabel="wall seconds after the change, % of a full run's", title="What a small change costs, of a full run"
    )
    panel.margins(x=0.1)
    return figure


def landing_throughput(results: dict[str, Json]) -> Any:
    """Rows a second of an initial sync beside its floor."""
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    by_scale = sorted(results.values(), key=lambda result: float(result["scale"]))
    for offset, (measure, label, color) in enumerate(
        (
            ("initial_seconds", "Airbyte connectors: read, type, load, merge", ENGINES["spark"][1]),
            ("floor_seconds", "floor: COPY, Parquet, load job", ENGINES["floor"][1]),
        )
    ):
        rates = [result["figures"]["rows"] / result["figures"][measure] / 1000 for result in by_scale]
        places = [place + (offset - 0.5) * 0.4 for place in range(len(by_scale))]
        panel.bar_label(panel.bar(places, rates, 0.4, color=color, label=label), fmt="%.0f", padding=2)
    panel.set_xticks(
        range(len(by_scale)), [f"{float(r['scale']):g} ({r['figures']['rows'] / 1e6:.1f} M rows)" for r in by_scale]
    )
    panel.grid(axis="x", visible=False)
    panel.set(
        xlabel="scale", ylabel="thousand rows a second", title="Landing throughput: an initial sync of nine streams"
    )
    panel.margins(y=0.3)
    panel.legend(frameon=False, loc="upper left")
    return figure


def dbt_build(results: dict[str, Json]) -> Any:
    """Seconds of a dbt build, full and incremental."""
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    by_scale = sorted(results.values(), key=lambda result: float(result["scale"]))
    kinds = (
        ("full", "full", ENGINES["spark"][1]),
        ("unchanged", "incremental, nothing new", ENGINES["floor"][1]),
        ("after_a_day", "incremental, after a business day", ENGINES["duckdb"][1]),
    )
    for offset, (kind, label, color) in enumerate(kinds):
        shown = [(place, result) for place, result in enumerate(by_scale) if kind in result["seconds"]]
        places = [place + (offset - 1) * 0.27 for place, _ in shown]
        bars = panel.bar(places, [result["seconds"][kind] for _, result in shown], 0.27, color=color, label=label)
        panel.bar_label(bars, fmt="%.0f", padding=2)
    panel.set_xticks(range(len(by_scale)), [f"{float(result['scale']):g}" for result in by_scale])
    panel.grid(axis="x", visible=False)
    panel.set(xlabel="scale", ylabel="wall seconds", title="dbt build on the emulator: every model and every test")
    panel.margins(y=0.35)
    panel.legend(frameon=False, loc="upper left")
    return figure


def step_shares(result: Json) -> dict[str, float]:
    """The share of each step in a run's wall time; the heavy step by one name for both engines, what no step covers by its own."""
    found: dict[str, float] = {}
    for step in result["steps"]:
        name = "heavy models" if step["step"].startswith("heavy_") else step["step"]
        found[name] = found.get(name, 0.0) + step["share_of_wall"]
    return found | {"between steps": result["totals"]["between_steps_share"]}


def share_of_steps(results: dict[str, Json]) -> Any:
    """A panel an engine: the share of each step in the whole pipeline's wall time, at every scale."""
    from matplotlib import pyplot

    runs = sorted(results.values(), key=lambda result: (result["engine"], result["scale"]))
    parts = [step_shares(result) for result in runs]
    steps = list(dict.fromkeys(name for part in parts for name in part))
    shown = [name for name in steps if any(part.get(name, 0.0) >= SMALL_SHARE for part in parts)]
    rows, scales = [*shown, "everything else"], sorted({result["scale"] for result in runs})
    engines = list(dict.fromkeys(result["engine"] for result in runs))
    height = 0.8 / len(scales)
    size = (4.6 * len(engines), 1.6 + 0.22 * len(rows) * len(scales))
    figure, axes = pyplot.subplots(1, len(engines), figsize=size, sharey=True, layout="constrained", squeeze=False)
    for result, part in zip(runs, parts, strict=True):
        panel, number = axes[0][engines.index(result["engine"])], scales.index(result["scale"])
        label, color = PATHS[result["engine"]]
        values = [100 * part.get(name, 0.0) for name in shown]
        values.append(100 * (sum(part.values()) - sum(part.get(name, 0.0) for name in shown)))
        places = [place + (number - (len(scales) - 1) / 2) * height for place in range(len(rows))]
        shade = (number + 1) / len(scales)
        bars = panel.barh(places, values, height, color=color, alpha=shade, label=f"{result['scale']:g}x")
        panel.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=8)
        panel.set(xlabel="% of the wall time", title=label)
    for panel in axes[0]:
        panel.grid(axis="y", visible=False)
        panel.margins(x=0.15)
        panel.legend(frameon=False, loc="lower right")
    axes[0][0].set_yticks(range(len(rows)), rows)
    axes[0][0].invert_yaxis()
    figure.suptitle("The whole pipeline: the share of each step")
    return figure


def cost_a_month(results: dict[str, Json]) -> Any:
    """USD a month by scale and engine."""
    (result,) = results.values()
    figure, axes = _panels(2, 4.4)
    names = list(dict.fromkeys(name for month in result["usd_a_month"].values() for name in month))
    palette = ["#000000", "#999999", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7"]
    for panel, (month, by_engine) in zip(axes, result["usd_a_month"].items(), strict=True):
        for name, values in by_engine.items():
            number = names.index(name)
            points = [(float(scale), value) for scale, value in values.items() if value > 0]
            if points:
                panel.plot(
                    *zip(*points, strict=True),
                    label=name.replace("_", " "),
                    color=palette[number],
                    marker="osv^Dx*"[number],
                )
        measured = result["largest_measured_scale"]
        panel.axvline(measured, color=INK, linestyle=":", linewidth=1)
        where = "measured here alone" if len(result["measured"]["dbt_bytes"]) == 1 else "measured up to here"
        panel.text(measured, 1, f" {where}", transform=panel.get_xaxis_transform(), va="top", fontsize=8)
        what = {"full": "every run makes everything anew", "incremental": "every run follows a change of 1 %"}
        panel.set(xscale="log", yscale="log", xlabel="scale", title=what[month])
        panel.set_xticks([1, 10, 100, 1000], ["1x", "10x", "100x", "1000x"])
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set_ylabel("USD a month, 30 runs (nothing: free)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle("The heavy stage in money, by list prices (see prices.json; not a bill)")
    return figure


# The peers' results under a limit and of a skewed input, which stand for themselves.
SPECIAL = "_memory_|_skewed"
# By file name, without its ending.
ALL: dict[str, Figure] = {
    "time_against_scale": Figure("peers_scale_*.json", time_against_scale, without=SPECIAL),
    "cpu_against_scale": Figure("peers_scale_*.json", cpu_against_scale, without=SPECIAL),
    "memory_against_scale": Figure("peers_scale_*.json", memory_against_scale, without=SPECIAL),
    "job_over_floor": Figure("peers_scale_*.json", job_over_floor, without=SPECIAL),
    "memory_limits": Figure("peers_scale_*_memory_*.json", memory_limits, without="_skewed"),
    "change_against_full": Figure(
        "*.json", change_against_full, without="^(?!landing_scale|dbt_build_scale|spark_jobs_scale)"
    ),
    "landing_throughput": Figure("landing_scale_*.json", landing_throughput),
    "dbt_build": Figure("dbt_build_scale_*.json", dbt_build),
    "share_of_steps": Figure("pipeline_scale_*.json", share_of_steps),
    "cost_a_month": Figure("cost_model.json", cost_a_month),
}


def drawable() -> dict[str, Figure]:
    """The figures whose results are there."""
    return {name: figure for name, figure in ALL.items() if figure.inputs()}


def svg(figure: Figure) -> bytes:
    """The figure's file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    inputs = figure.inputs()
    with matplotlib.rc_context(STYLE):
        drawn = figure.draw({path.stem: json.loads(path.read_text()) for path in inputs})
        title = drawn.get_suptitle() or drawn.axes[0].get_title()
        written = io.BytesIO()
        drawn.savefig(written, format="svg", metadata={"Date": None, "Title": title, "Description": stamp(inputs)})
        pyplot.close("all")
    # Where the fonts that it was laid out with are missing, one of their widths.
    text = written.getvalue().decode().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana")
    return re.sub(r"[ \t]+\n", "\n", text).encode()


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status: 1 when --check finds a figure that is not what would be drawn."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a figure differs")
    chosen = parser.parse_args(arguments)
    status = 0
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, figure in drawable().items():
        path, drawn = FIGURES / f"{name}.svg", svg(figure)
        if not chosen.check:
            path.write_bytes(drawn)
        elif not path.is_file() or path.read_bytes() != drawn:
            print(f"error: {path.relative_to(ROOT)} is not what `make plots` draws", file=sys.stderr)
            status = 1
        print(f"{name:24} {len(drawn) >> 10:4} KB", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
