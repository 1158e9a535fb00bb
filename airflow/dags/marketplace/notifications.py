"""What happens when a task ends: a ledger entry always, an alert when it failed, no Airbyte job left behind."""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowFailException

from marketplace import alerts
from marketplace.engine_choice import ENGINE_FAILED
from marketplace.fall_back import FOLLOWING, VERDICT, CannotGoOn
from stack import ledger, settings

log = logging.getLogger(__name__)


class EngineFailed(AirflowFailException):
    """The engine failed for a reason of its own: the same engine is not asked again, the other one may be."""


def entry_of(context: dict[str, Any], status: str) -> ledger.Entry:
    """The ledger entry of a finished task instance, from its times and what it returned (a dict, or JSON, with rows and reason)."""
    ti = context["ti"]
    result = as_dict(ti.xcom_pull(task_ids=ti.task_id))
    error = context.get("exception")
    now = datetime.datetime.now(datetime.UTC)
    # Of a task that died without a word, Airflow tells the callback less.
    started = getattr(ti, "start_date", None) or now
    return ledger.Entry(
        run_id=context["run_id"],
        step=ti.task_id,
        engine=_engine(ti),
        rows=result.get("rows"),
        seconds=round((now - started).total_seconds(), 3),
        status=status,
        reason=str(error)[:1000] if error else str(result.get("reason") or ti.xcom_pull(key="reason") or ""),
    )


def _engine(ti: Any) -> str | None:
    """Whose step it is, or whose tables it judges; None before the run has decided: what an earlier try decided is still there in one that was cleared."""
    if ti.task_id in ledger.HEAVY_STEPS:
        return ledger.HEAVY_STEPS[ti.task_id]
    if ti.task_id not in {ledger.DECISION_STEP, *ledger.DECIDED}:
        return None
    decision = as_dict(ti.xcom_pull(task_ids=ledger.DECISION_STEP))
    # What follows a fall-back judges the other engine's tables.
    is_before = ti.task_id in (ledger.DECISION_STEP, "choose")
    following = None if is_before else ti.xcom_pull(task_ids="fall_back", key=FOLLOWING)
    return ledger.HEAVY_STEPS.get(str(following)) or decision.get("engine")


def as_dict(value: Any) -> dict[str, Any]:
    """A task's return value as a dict: programs print theirs as one line of JSON, branches return a task id."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def record_success(context: dict[str, Any]) -> None:
    """Success callback: the step goes into the run ledger."""
    _record(context, "success")


def _record(context: dict[str, Any], status: str) -> None:
    try:
        ledger.record(settings.load(), entry_of(context, status))
    except Exception:
        # The work is done; a ledger that cannot be written must not hide that.
        log.exception("the run ledger could not be written")


class FailureNotifier(BaseNotifier):
    """Failure callback: a ledger entry, and an alert with run, task, reason, log link and the runbook's section."""

    template_fields = ()

    def notify(self, context: Any) -> None:
        """Record and alert."""
        error, ti = context.get("exception"), context["ti"]
        # Of a step that could not say anything, `fall_back` takes the same.
        died_silently = ti.task_id in ledger.HEAVY_STEPS and not ti.xcom_pull(task_ids=ti.task_id, key=VERDICT)
        _record(context, ENGINE_FAILED if isinstance(error, EngineFailed) or died_silently else "failed")
        if isinstance(getattr(error, "__cause__", None), CannotGoOn):
            # What it could not go on from has alerted.
            return
        alerts.send(alerts.alert_of(context))


class CancelSync(FailureNotifier):
    """Failure callback of the task that waits for Airbyte: the job must not run on when nobody waits for it."""

    def notify(self, context: Any) -> None:
        """Cancel the job unless it has ended, then alert."""
        from airflow.providers.airbyte.hooks.airbyte import AirbyteHook

        from marketplace.airbyte_sync import CONNECTION, UNDER_WAY

        job_id = context["ti"].xcom_pull(task_ids="sync.trigger")
        try:
            hook = AirbyteHook(CONNECTION)
            if job_id and hook.get_job_status(job_id) in UNDER_WAY:
                hook.cancel_job(job_id)
        except Exception:
            log.exception("Airbyte job %s could not be cancelled", job_id)
        super().notify(context)
