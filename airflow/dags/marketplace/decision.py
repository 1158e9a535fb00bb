"""What `decide_engine` and `fall_back` do in a run: gather what the pure functions need, and say what they decided where people look."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from marketplace.engine_choice import (
    ENGINE_FAILED,
    ENGINES,
    SUCCESS,
    Decision,
    Parameters,
    PastRun,
    Pending,
    Price,
    choose_engine,
)
from marketplace.fall_back import FOLLOWING, VERDICT, CannotGoOn, Verdict, what_follows
from stack import airflow, ledger, volume
from stack.settings import Settings

log = logging.getLogger(__name__)
HERE = Path(__file__).resolve().parent


def seed() -> list[PastRun]:
    """What the heavy step took elsewhere."""
    runs = json.loads((HERE / "engine_seed.json").read_text())["runs"]
    return [PastRun(run["engine"], run["rows"], run["seconds"]) for run in runs]


def prices(profile: str) -> dict[str, Price]:
    """The profile's prices by engine. `profile` is a name in price_profiles.json, or a file with one profile.

    Raises ValueError for a profile that is not there or lacks a price, with those that are.
    """
    profiles = json.loads((HERE / "price_profiles.json").read_text())
    if profile not in profiles and not Path(profile).is_file():
        raise ValueError(f"PRICE_PROFILE must be one of {', '.join(profiles)} or a file, not {profile!r}")
    chosen = profiles.get(profile) or json.loads(Path(profile).read_text())
    try:
        return {engine: Price(chosen[engine]["per_hour"], chosen[engine]["per_tib"]) for engine in ENGINES}
    except (KeyError, TypeError) as missing:
        raise ValueError(
            f"PRICE_PROFILE={profile}: per_hour and per_tib of each engine are needed: {missing}"
        ) from None


def history(settings: Settings) -> list[PastRun]:
    """This deployment's heavy steps, oldest first, as far as they say something of their engine."""
    return [
        PastRun(
            ledger.HEAVY_STEPS[str(run["step"])], _number(run["rows"]), float(str(run["seconds"])), str(run["status"])
        )
        for run in ledger.heavy_runs(settings)
        if run["status"] in (SUCCESS, ENGINE_FAILED)
    ]


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def decide(settings: Settings, params: dict[str, Any]) -> Decision:
    """The run's decision, from what waits in the warehouse, the ledger and the run's parameters."""
    waiting = volume.pending(settings, params["full_refresh"])
    return choose_engine(
        None if waiting is None else {model: Pending(rows, size) for model, (rows, size) in waiting.items()},
        Parameters(params["spark_threshold_rows"], params["engine"], params["policy"]),
        history(settings),
        prices(settings.price_profile),
        seed(),
    )


def note(settings: Settings, ti: Any, text: str) -> None:
    """Log `text` and set it as the task's note. An API that cannot be asked costs the note, not the run."""
    print(text)
    try:
        airflow.Api(settings).note(ti.dag_id, ti.run_id, ti.task_id, text)
    except Exception:
        log.exception("the task's note could not be set")


def decide_and_note(settings: Settings, ti: Any, params: dict[str, Any]) -> dict[str, Any]:
    """`decide_engine`: the decision as a dict, for the branch and the ledger."""
    decision = decide(settings, params)
    note(settings, ti, decision.reason)
    return asdict(decision)


def follow_up(settings: Settings, ti: Any, decision: dict[str, Any] | None, is_allowed: bool) -> str:
    """`fall_back`: the task to go on with; the reason as its note and, by XCom, in the ledger. Raises CannotGoOn, without a decision, too."""
    if decision is None:
        raise CannotGoOn("no engine was chosen: a step before that failed")
    engine = decision["engine"]
    step = f"heavy_{engine}"
    state = ti.get_task_states(dag_id=ti.dag_id, task_ids=[step], run_ids=[ti.run_id])[ti.run_id].get(step)
    said = ti.xcom_pull(task_ids=step, key=VERDICT)
    following, reason = what_follows(engine, state, Verdict(**said) if said else None, is_allowed)
    ti.xcom_push(key="reason", value=reason)
    # A branch's return value is not among its XComs.
    ti.xcom_push(key=FOLLOWING, value=following)
    if reason.startswith("fell back"):
        note(settings, ti, reason)
    return following


def review(settings: Settings, ti: Any, is_asked: bool) -> str:
    """`review`: the task to go on with, `approve` or `publish`; the reason as the task's note and, by XCom, for the person and the ledger."""
    outcomes = (ti.xcom_pull(task_ids=step) for step in ("staging", "intermediate_gate", "marts"))
    warned = [name for said in outcomes for name in json.loads(said)["warned"]]
    reason = f"{len(warned)} tests warned: {', '.join(warned)}" if warned else "no test warned"
    ti.xcom_push(key="reason", value=reason)
    if warned:
        note(settings, ti, reason)
    return "approve" if warned and is_asked else "publish"
