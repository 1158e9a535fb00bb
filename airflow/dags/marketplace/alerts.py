"""Who hears of a failure: `<LOCAL_DIR>/alerts.log` always; a webhook and a mailbox where Airflow has a connection of that name.

`alerts_webhook`: `host` is the whole URL, `password`, if any, goes along as a bearer token; the alert is the JSON body of a POST.
`alerts_mail`: an SMTP connection with `from_email` and `to` (a list, or one address) in its extras.
A channel that does not work costs its own message, never the task's outcome or the other channels.
"""

from __future__ import annotations

import datetime
import html
import json
import logging
import urllib.request
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from stack import settings

log = logging.getLogger(__name__)
WEBHOOK, MAIL = "alerts_webhook", "alerts_mail"
SECONDS = 10
# The runbook's section by the beginning of the task's id; the longest counts.
SECTIONS = {
    "": "more",
    "sync": "a-sync-failed",
    "load_ecb_rates": "a-currency-rate-is-wrong-or-missing",
    "raw_gate": "a-gate-is-red",
    "sweep_deletions": "a-gate-is-red",
    "staging": "a-gate-is-red",
    "heavy": "the-chosen-engine-broke",
    "fall_back": "the-chosen-engine-broke",
    "intermediate_gate": "a-gate-is-red",
    "marts": "a-gate-is-red",
    "approve": "a-gate-is-red",
    "compare": "a-figure-looks-wrong",
}


def section(task_id: str) -> str:
    """The runbook's section for a failure of this task."""
    return "docs/runbook.md#" + SECTIONS[max((name for name in SECTIONS if task_id.startswith(name)), key=len)]


def alert_of(context: Any) -> dict[str, Any]:
    """What is told of a failed task instance."""
    ti = context["ti"]
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "dag": ti.dag_id,
        "run": context["run_id"],
        "task": ti.task_id,
        "try": ti.try_number,
        "reason": str(context.get("exception"))[:1000],
        "log": getattr(ti, "log_url", None),
        "runbook": section(ti.task_id),
    }


def send(alert: dict[str, Any]) -> None:
    """Tell everybody who is to hear of it."""
    log.error("ALERT %s", json.dumps(alert))
    try:
        with (settings.load().local_dir / "alerts.log").open("a") as alerts:
            alerts.write(json.dumps(alert) + "\n")
    except Exception:
        log.exception("the alert did not reach alerts.log")
    for connection_id, channel in ((WEBHOOK, _post), (MAIL, _mail)):
        try:
            channel(BaseHook.get_connection(connection_id), alert)
        except AirflowNotFoundException:
            continue
        except Exception:
            log.exception("the alert did not reach %s", connection_id)


def _post(connection: Any, alert: dict[str, Any]) -> None:
    if not str(connection.host).startswith(("http://", "https://")):
        raise ValueError(f"the connection {WEBHOOK} must have the whole URL as its host, not {connection.host!r}")
    headers = {"Content-Type": "application/json"}
    if connection.password:
        headers["Authorization"] = f"Bearer {connection.password}"
    body = json.dumps(alert).encode()
    request = urllib.request.Request(connection.host, body, headers)  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
        pass


def _mail(connection: Any, alert: dict[str, Any]) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    rows = "".join(f"<tr><td>{name}</td><td>{html.escape(str(value))}</td></tr>" for name, value in alert.items())
    with SmtpHook(smtp_conn_id=MAIL) as hook:
        hook.send_email_smtp(
            to=connection.extra_dejson["to"],
            subject=f"{alert['dag']}: {alert['task']} failed",
            html_content=f"<table>{rows}</table>",
            from_email=connection.extra_dejson.get("from_email"),
        )
