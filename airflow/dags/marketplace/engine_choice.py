"""Which engine does the heavy steps: a pure function of the pending volume, the threshold and what the operator asks for.

docs/architecture.md, "Engine choice", says why by volume and what the threshold costs.
"""

from __future__ import annotations

from dataclasses import dataclass

ENGINES = ("dbt", "spark")
REQUESTS = ("auto", *ENGINES)


@dataclass(frozen=True)
class Decision:
    """The engine ("dbt" or "spark"), the pending rows that decided (None = unknown), and the reason as one readable line."""

    engine: str
    rows: int | None
    reason: str


def choose_engine(pending_rows: int | None, threshold_rows: int, requested: str = "auto") -> Decision:
    """Pick the engine.

    Args:
        pending_rows: raw rows of the heavy tables that no engine has transformed yet; None when that cannot be measured.
        threshold_rows: from this many pending rows on, Spark.
        requested: "auto", or an engine, which beats the volume.

    Raises:
        ValueError: for a request or threshold that makes no sense, with the values that do.
    """
    if requested not in REQUESTS:
        raise ValueError(f"engine must be one of {', '.join(REQUESTS)}, not {requested!r}")
    if threshold_rows < 0:
        raise ValueError(f"spark_threshold_rows must not be negative, not {threshold_rows}")
    volume = "an unknown number of rows" if pending_rows is None else f"{pending_rows:,} rows"
    if requested != "auto":
        return Decision(requested, pending_rows, f"{requested}: asked for by the run's parameter ({volume} pending)")
    if pending_rows is None:
        # Spark spills and scales out; an unmeasured volume may be any volume.
        return Decision(
            "spark", None, "spark: the pending volume is unknown, and Spark is the engine that bounds its memory"
        )
    if pending_rows >= threshold_rows:
        return Decision("spark", pending_rows, f"spark: {volume} pending, the threshold is {threshold_rows:,}")
    return Decision("dbt", pending_rows, f"dbt: {volume} pending, fewer than the threshold of {threshold_rows:,}")
