"""Which engine does the heavy steps: a pure function of the pending volume, what past runs took, what an hour and a byte cost, and what the operator asks for.

docs/architecture.md, "Engine choice", has the rules as a table and says what the threshold costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

ENGINES = ("dbt", "spark")
REQUESTS = ("auto", *ENGINES)
POLICIES = ("volume", "cost")
SUCCESS, ENGINE_FAILED = "success", "engine failed"
# Of each engine's own runs, the latest ones that a prediction is fitted to.
FITTED_RUNS = 20
# For how many runs an engine's failure at a volume keeps it from that volume. Then it is tried again: the cluster may be back.
REMEMBERED_RUNS = 20
BYTES_PER_TIB = 2**40
# How far one run's seconds lie from the line, and how far each part of this deployment's line may lie from the seed's, as shares (standard deviations).
NOISE, DOUBT = 0.15, 1.0


@dataclass(frozen=True)
class Pending:
    """The raw rows that wait for one heavy table, and their bytes; None = not known."""

    rows: int | None
    bytes: int | None = None


@dataclass(frozen=True)
class PastRun:
    """A heavy step as the ledger has it: pending rows at its start (None = unknown), wall seconds, SUCCESS or ENGINE_FAILED."""

    engine: str
    rows: int | None
    seconds: float
    outcome: str = SUCCESS


@dataclass(frozen=True)
class Price:
    """What an engine's heavy step costs, in the profile's currency: an hour of wall time, and a TiB of raw read."""

    per_hour: float = 0.0
    per_tib: float = 0.0


@dataclass(frozen=True)
class Parameters:
    """What the operator asks for.

    `hysteresis` is the share by which the other engine must be better before the choice leaves the engine of the last run: below the threshold
    under `volume`, cheaper under `cost`. The way up to Spark is at the threshold exactly.
    """

    threshold_rows: int
    requested: str = "auto"
    policy: str = "volume"
    hysteresis: float = 0.1

    def __post_init__(self) -> None:
        """Raises ValueError for a value that makes no sense, with those that do."""
        if self.requested not in REQUESTS:
            raise ValueError(f"engine must be one of {', '.join(REQUESTS)}, not {self.requested!r}")
        if self.policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {self.policy!r}")
        if self.threshold_rows < 0:
            raise ValueError(f"spark_threshold_rows must not be negative, not {self.threshold_rows}")
        if not 0 <= self.hysteresis < 1:
            raise ValueError(f"hysteresis must be from 0 up to 1, not {self.hysteresis}")


@dataclass(frozen=True)
class Prediction:
    """Wall seconds and money of the heavy step by one engine."""

    seconds: float
    money: float


@dataclass(frozen=True)
class Decision:
    """The engine, the pending rows that decided (None = unknown), the prediction of each engine that can be predicted, and the reason in one line."""

    engine: str
    rows: int | None
    reason: str
    predictions: Mapping[str, Prediction] = field(default_factory=dict)


def other(engine: str) -> str:
    """The engine that is not this one."""
    return ENGINES[1 - ENGINES.index(engine)]


def choose_engine(
    pending: Mapping[str, Pending] | None,
    parameters: Parameters,
    history: Sequence[PastRun] = (),
    prices: Mapping[str, Price] | None = None,
    seed: Sequence[PastRun] = (),
) -> Decision:
    """Pick the engine.

    Args:
        pending: by heavy table, the raw rows that no engine has transformed yet; None when that cannot be measured.
        parameters: the run's own.
        history: this deployment's heavy steps, oldest first.
        prices: by engine; none means that money is no matter.
        seed: measured elsewhere, for the predictions as long as the history is short.
    """
    rows = total([table.rows for table in pending.values()]) if pending is not None else None
    size = total([table.bytes for table in pending.values()]) if pending is not None else None
    predictions = _predictions(rows, size, history, prices or {}, seed)
    if parameters.requested != "auto":
        engine, why = parameters.requested, f"asked for by the run's parameter ({_volume(rows)} pending)"
    else:
        engine, why = _by_policy(rows, predictions, parameters, _last_engine(history))
        if fails_at(engine, rows, history) and not fails_at(other(engine), rows, history):
            engine, why = other(engine), f"{engine} failed at this volume or less before (else {engine}: {why})"
    return Decision(engine, rows, f"{engine}: {why}{_expected(predictions)}", predictions)


def total(parts: Sequence[int | None]) -> int | None:
    """The sum, or None when a part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def fails_at(engine: str, rows: int | None, history: Sequence[PastRun]) -> bool:
    """Whether the engine failed for a reason of its own at this volume or a smaller one, and has not managed as many rows since.

    An unknown volume may be any volume, the failed one too.
    """
    wanted, managed = math.inf if rows is None else rows, -1.0
    for run in reversed(history[-REMEMBERED_RUNS:]):
        if run.engine != engine:
            continue
        if run.outcome == SUCCESS:
            managed = max(managed, -1 if run.rows is None else run.rows)
        elif run.outcome == ENGINE_FAILED and managed < (run.rows or 0) <= wanted:
            return True
    return False


def predict_seconds(engine: str, rows: int, history: Sequence[PastRun], seed: Sequence[PastRun] = ()) -> float | None:
    """The step's wall seconds by a line, fixed + per row, or None without any run of the engine.

    The seed tells how seconds grow with rows until this deployment's runs do: its line, scaled by the median of own seconds to it, is what is believed before
    the own runs (DOUBT), and these are measures of the line (NOISE). So the first run sets the scale, and runs at different volumes soon the line.
    """
    own = [(run.rows or 0, run.seconds) for run in history if run.engine == engine and _is_measure(run)][-FITTED_RUNS:]
    elsewhere = [(run.rows or 0, run.seconds) for run in seed if run.engine == engine and _is_measure(run)]
    if not own and not elsewhere:
        return None
    line = _fit(elsewhere or own)
    if own and elsewhere:
        speed = median(seconds / max(_at(line, n), 0.1) for n, seconds in own)
        line = _fit(own, (line[0] * speed, line[1] * speed))
    return _at(line, rows)


def _is_measure(run: PastRun) -> bool:
    return run.outcome == SUCCESS and run.rows is not None


def _fit(points: Sequence[tuple[int, float]], prior: tuple[float, float] | None = None) -> tuple[float, float]:
    """(fixed, per row) of the line through (rows, seconds), neither negative.

    By least squares of the relative errors: ten seconds at a small volume count like a hundred at a large one. A `prior` line pulls each part towards its own,
    the less the more points there are and the further they lie apart.
    """
    weighted = [(n, seconds, 1 / (NOISE * max(seconds, 0.1)) ** 2) for n, seconds in points]
    fixed, slope = prior or (0.0, 0.0)
    # A part that is nothing is not known to within a share of itself: it pulls nowhere.
    pull_fixed, pull_slope = (1 / (DOUBT * part) ** 2 if part > 1e-12 else 0.0 for part in (fixed, slope))
    w = sum(w for _, _, w in weighted) + pull_fixed
    wx = sum(w * n for n, _, w in weighted)
    wxx = sum(w * n * n for n, _, w in weighted) + pull_slope
    wy = sum(w * seconds for _, seconds, w in weighted) + pull_fixed * fixed
    wxy = sum(w * n * seconds for n, seconds, w in weighted) + pull_slope * slope
    # Not zero but by rounding where all points have the same rows and nothing pulls: then the slope is unknown, and none.
    spread = w * wxx - wx * wx
    per_row = (w * wxy - wx * wy) / spread if spread > 1e-9 * w * wxx else 0.0
    if per_row <= 0:
        return wy / w, 0.0
    if wy < per_row * wx:
        return 0.0, wxy / wxx
    return (wy - per_row * wx) / w, per_row


def _at(line: tuple[float, float], rows: int) -> float:
    return line[0] + line[1] * rows


def _predictions(
    rows: int | None,
    size: int | None,
    history: Sequence[PastRun],
    prices: Mapping[str, Price],
    seed: Sequence[PastRun],
) -> dict[str, Prediction]:
    found = {}
    for engine in ENGINES:
        price = prices.get(engine, Price())
        seconds = None if rows is None else predict_seconds(engine, rows, history, seed)
        # A price by bytes says nothing as long as the bytes are unknown.
        if seconds is not None and not (size is None and price.per_tib):
            money = seconds / 3600 * price.per_hour + (size or 0) / BYTES_PER_TIB * price.per_tib
            found[engine] = Prediction(round(seconds, 1), round(money, 6))
    return found


def _last_engine(history: Sequence[PastRun]) -> str | None:
    return next((run.engine for run in reversed(history) if run.outcome == SUCCESS), None)


def _by_policy(
    rows: int | None, predictions: Mapping[str, Prediction], parameters: Parameters, last: str | None
) -> tuple[str, str]:
    """The engine and why, as if no engine had ever failed."""
    if parameters.policy == "cost" and len(predictions) == len(ENGINES):
        return _by_cost(predictions, parameters.hysteresis, last)
    engine, why = _by_volume(rows, parameters, last)
    if parameters.policy == "cost" and rows is not None:
        why += "; by volume, as one engine's cost cannot be predicted yet"
    return engine, why


def _by_volume(rows: int | None, parameters: Parameters, last: str | None) -> tuple[str, str]:
    threshold = parameters.threshold_rows
    if rows is None:
        # Spark spills and scales out; an unmeasured volume may be any volume.
        return "spark", "the pending volume is unknown, and Spark is the engine that bounds its memory"
    if rows >= threshold:
        return "spark", f"{_volume(rows)} pending, the threshold is {threshold:,}"
    if last == "spark" and rows >= threshold * (1 - parameters.hysteresis):
        return "spark", f"{_volume(rows)} pending, too little below the threshold of {threshold:,} to leave Spark"
    return "dbt", f"{_volume(rows)} pending, fewer than the threshold of {threshold:,}"


def _by_cost(predictions: Mapping[str, Prediction], hysteresis: float, last: str | None) -> tuple[str, str]:
    """The cheaper; where both cost the same, as where nobody sends a bill, the quicker."""
    is_money = len({prediction.money for prediction in predictions.values()}) > 1
    cost = {engine: each.money if is_money else each.seconds for engine, each in predictions.items()}
    best = min(ENGINES, key=lambda engine: cost[engine])
    word = "cheaper" if is_money else "quicker, at the same price"
    if last is not None and best != last and cost[best] > cost[last] * (1 - hysteresis):
        return last, f"{best} is too little {word} to leave {last}"
    return best, word


def _volume(rows: int | None) -> str:
    return "an unknown number of rows" if rows is None else f"{rows:,} rows"


def _expected(predictions: Mapping[str, Prediction]) -> str:
    """What each engine is expected to take, as the end of the reason; money only where there is a price."""
    if not predictions:
        return ""
    is_money = any(prediction.money for prediction in predictions.values())
    said = [
        f"{engine} {each.seconds:.0f} s" + (f" and {each.money:.4f}" if is_money else "")
        for engine, each in predictions.items()
    ]
    return f" (expected: {', '.join(said)})"
