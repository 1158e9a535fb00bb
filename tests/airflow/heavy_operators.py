"""Let the operators fail for real and print what they and the notifier say: run by test_fall_back.py under Airflow's own environment."""

import contextlib
import datetime
import http.server
import json
import os
import threading
import time
import types
from typing import Any
from unittest import mock

import psutil
from airbyte_api import models
from airflow.providers.airbyte.operators.airbyte import AirbyteTriggerSyncOperator
from airflow.providers.airbyte.sensors.airbyte import AirbyteJobSensor
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout
from marketplace.airbyte_sync import TriggerSync, WaitForSync, failure
from marketplace.fall_back import CannotGoOn
from marketplace.notifications import EngineFailed, FailureNotifier
from marketplace.operators import HeavyDbt, HeavySpark, command

from stack import ledger
from stack.settings import load


class TaskInstance:
    """The part of one that the operators and the notifier use."""

    dag_id, try_number = "a_dag", 1

    def __init__(self, task_id: str = "a_task") -> None:
        self.task_id = task_id
        self.start_date = datetime.datetime.now(datetime.UTC)
        self.pushed: dict[str, Any] = {}

    def xcom_pull(self, **_: Any) -> None:
        """Nothing was pushed."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


wrong = load().local_dir / "wrong.py"
wrong.write_text("import sys; print('heavy_steps: failed: raw.payments does not exist', file=sys.stderr); sys.exit(65)")
OUTCOME = {"reason": "5 models, 1 of 3 tests passed", "failed": ["unique_a", "b"]}
CASES = {
    "dbt works": HeavyDbt(task_id="a", bash_command="echo done"),
    "dbt is killed": HeavyDbt(task_id="b", bash_command="kill -9 $$"),
    "dbt's model is wrong": HeavyDbt(task_id="c", bash_command=f"echo '{json.dumps(OUTCOME)}'; exit 65"),
    "dbt's warehouse does not answer": HeavyDbt(task_id="g", bash_command="exit 1"),
    "a gate is red": command("h", "sh -c 'echo error: raw.orders: 2 keys are there twice >&2; exit 65'"),
    "a gate cannot judge": command("i", "sh -c 'exit 1'"),
    "dbt's warehouse gives up": HeavyDbt(task_id="d", bash_command="exit 75"),
    # Less than Spark needs to start at all, which is quick to find out.
    "spark has too little memory": HeavySpark(task_id="e", driver_memory="300m", application_args=[]),
    "spark's application is not there": HeavySpark(task_id="f", application="/nowhere.py", application_args=[]),
    "spark's data are wrong": HeavySpark(task_id="k", application=str(wrong), application_args=[]),
}
HANGING = "dbt hangs"
CASES[HANGING] = HeavyDbt(task_id="l", bash_command="sleep 600 & echo $! > hanging; wait", cwd=str(load().local_dir))
ENDED = "spark is ended by somebody"
begun = load().local_dir / "begun"
waits = load().local_dir / "waits.py"
waits.write_text(f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)")
CASES[ENDED] = HeavySpark(task_id="n", application=str(waits), application_args=[])
STUCK = "a sync is stuck"
CASES[STUCK] = WaitForSync(task_id="m", airbyte_job_id=7)
outcomes, texts = {}, {}


def end(operator: HeavySpark) -> None:
    """As Airflow does when a task is marked failed."""
    while not begun.exists():
        time.sleep(0.1)
    operator.on_kill()


for case, operator in CASES.items():
    instance, error = TaskInstance(), None
    if case == ENDED:
        threading.Thread(target=end, args=(operator,), daemon=True).start()
    try:
        with (
            timeout(2) if case in (HANGING, STUCK) else contextlib.nullcontext(),
            mock.patch.object(AirbyteJobSensor, "poke", return_value=False),
        ):
            operator.execute({"ti": instance})
    except (Exception, AirflowTaskTimeout) as raised:
        error, texts[case] = type(raised).__name__, str(raised)
    outcomes[case] = {"error": error, "verdict": instance.pushed.get("verdict")}


def stopped(reason: str) -> Exception:
    """As `fall_back` fails."""
    try:
        raise AirflowFailException(reason) from CannotGoOn(reason)
    except AirflowFailException as error:
        return error


alerts = load().local_dir / "alerts.log"
alerts.unlink(missing_ok=True)
for task_id, raised in {
    "heavy_spark": EngineFailed("killed"),
    "fall_back_dbt": RuntimeError("it died without a word"),
    "marts": RuntimeError("a test failed"),
    "fall_back": stopped("no engine ran"),
}.items():
    FailureNotifier().notify({"ti": TaskInstance(task_id), "run_id": "notified", "exception": raised})
# As Airflow tells of a task whose process is gone without a word.
gone = TaskInstance("gone")
del gone.start_date
FailureNotifier().notify({"ti": gone, "run_id": "notified", "exception": RuntimeError("no heartbeat")})
told = {
    "alerts": [json.loads(line)["task"] for line in alerts.read_text().splitlines()],
    "ledger": {entry["step"]: [entry["status"], entry["engine"]] for entry in ledger.of_run(load(), "notified")},
}


class Airbyte(http.server.BaseHTTPRequestHandler):
    """Tells of every job that it failed, and of job 7 the log, to whoever is logged in."""

    def do_POST(self) -> None:
        self.answer(200, "application/json", json.dumps({"access_token": "t", "token_type": "Bearer"}))

    def do_GET(self) -> None:
        job = {"jobId": 7, "status": "failed", "jobType": "sync", "startTime": "2026-11-01T00:00:00Z"}
        if self.headers["Authorization"] != "Bearer t":
            self.answer(401, "text/plain", "")
        elif self.path == "/v1/jobs/7/log":
            log = "12:00 source: reading\n12:01 error: stream a stops\n12:01 error: stream b stops\n"
            self.answer(200, "text/plain", log)
        elif self.path.endswith("/log"):
            self.answer(404, "text/plain", "12:00 error: there is no such page")
        else:
            self.answer(200, "application/json", json.dumps(job | {"connectionId": "c"}))

    def answer(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())


# Of another Airbyte, or of this one before `make clean-data`: it has the same number and says nothing of this job.
old = load().local_dir / "airbyte" / "jobs" / "8.log"
old.parent.mkdir(parents=True, exist_ok=True)
old.write_text("12:01 error: long gone\n")
with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Airbyte) as airbyte:
    threading.Thread(target=airbyte.serve_forever, daemon=True).start()
    described = {"conn_type": "airbyte", "host": f"http://127.0.0.1:{airbyte.server_port}/v1", "login": "l"}
    with mock.patch.dict(os.environ, AIRFLOW_CONN_AIRBYTE_MARKETPLACE=json.dumps(described | {"password": "p"})):
        syncs = [failure(job, "Job failed: \nconnection_id='c'") for job in (7, 8)]
        airbyte.shutdown()
        airbyte.server_close()
        syncs.append(failure(7, "Job was cancelled:\nconnection_id='c'"))
old.unlink()


def ends(process_id: int, within_seconds: float = 30) -> bool:
    """Whether a process that was sent a signal ends; one that only waits to be reaped has ended."""
    try:
        process = psutil.Process(process_id)
        deadline = time.monotonic() + within_seconds
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        pass
    return True


def trigger(*started: datetime.datetime, status: str = "running") -> list[Any]:
    """The job that a run which began at noon goes on with, and the jobs that it has cancelled, where some were of this status."""
    jobs = [types.SimpleNamespace(job_id=n, start_time=f"{at:%Y-%m-%dT%H:%M:%SZ}") for n, at in enumerate(started, 1)]
    hook = mock.Mock()
    hook.airbyte_api.jobs.list_jobs.side_effect = lambda request: types.SimpleNamespace(
        jobs_response=types.SimpleNamespace(data=jobs if request.status == status else [])
    )
    with (
        mock.patch("marketplace.airbyte_sync.AirbyteHook", return_value=hook),
        mock.patch.object(AirbyteTriggerSyncOperator, "execute", return_value="a new one"),
    ):
        run = types.SimpleNamespace(start_date=NOON)
        found = TriggerSync(task_id="t", connection_id="c").execute({"dag_run": run})
    return [found, [call.args[0] for call in hook.cancel_job.call_args_list]]


NOON = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
triggered = {"none": trigger(), "own": trigger(NOON + SECOND), "older": trigger(NOON - SECOND)}
triggered |= {status: trigger(NOON + SECOND, status=status) for status in ("pending", "queued", "incomplete")}


def waits_through(seconds: float) -> list[Any]:
    """What a wait says after each look, at an Airbyte that answers, is away for so long, and answers again."""
    job = types.SimpleNamespace(status=models.JobStatusEnum.RUNNING)
    hook, said, gone = mock.Mock(), list[Any](), AirflowException("cannot be asked")
    hook.get_job_details.side_effect = [job, gone, gone, types.SimpleNamespace(status=models.JobStatusEnum.SUCCEEDED)]
    wait = WaitForSync(task_id="w", airbyte_job_id=7)
    with (
        mock.patch("airflow.providers.airbyte.sensors.airbyte.AirbyteHook", return_value=hook),
        mock.patch("marketplace.airbyte_sync.time.monotonic", side_effect=[1.0, 2.0, 1.0 + seconds, 2.0 + seconds]),
    ):
        for _ in range(4):
            try:
                said.append(wait.poke({}))
            except AirflowException as error:
                said.append(str(error))
    return said


outages = {"short": waits_through(500), "long": waits_through(700)}
hangs_on = not ends(int((load().local_dir / "hanging").read_text()))
print(
    json.dumps(
        outcomes
        | {
            "told": told,
            "texts": texts,
            "syncs": syncs,
            "triggered": triggered,
            "outages": outages,
            "hangs on": hangs_on,
        }
    )
)
