"""What follows a heavy step: its gate, or the other engine when the chosen one failed for a reason of its own. Once, never back again."""

from __future__ import annotations

from dataclasses import dataclass

from marketplace.engine_choice import other

# The XComs by which a heavy step says why it failed (a `Verdict`), and `fall_back` which task it goes on with.
VERDICT, FOLLOWING = "verdict", "following"


@dataclass(frozen=True)
class Verdict:
    """Why a heavy step failed, and whether that is its engine's own doing (stack/failures.py)."""

    reason: str
    is_engines_own: bool


class CannotGoOn(Exception):
    """The run must stop here; the message says why. Whatever failed has alerted already."""


def what_follows(engine: str, state: str | None, verdict: Verdict | None, is_allowed: bool) -> tuple[str, str]:
    """(task to go on with, why).

    Args:
        engine: the chosen one.
        state: of its heavy step, as Airflow names it.
        verdict: what the step said of its failure; None when it was killed, or ran out of time, before it could say anything.
        is_allowed: the run's parameter `fall_back`.

    Raises:
        CannotGoOn: nothing ran, the data or the configuration is at fault, or falling back is not allowed.
    """
    if state == "success":
        return "intermediate_gate", "not needed"
    if state != "failed":
        raise CannotGoOn(f"no engine ran: heavy_{engine} is {state}")
    reason = verdict.reason if verdict else "it died without a word"
    if verdict and not verdict.is_engines_own:
        raise CannotGoOn(f"heavy_{engine} failed and {other(engine)} would, too: {reason}")
    if not is_allowed:
        raise CannotGoOn(f"heavy_{engine} failed ({reason}), and the run's parameter fall_back is off")
    return f"fall_back_{other(engine)}", f"fell back to {other(engine)}: {engine} failed, {reason}"
