"""The embedded Airflow: scheduler, DAG processor, triggerer and API server on SQLite, and a small client of its REST API.

`python -m stack.airflow trigger DAG --conf JSON` runs a DAG and waits for its end (Airflow's own command line takes 17 s to start).
`python -m stack.airflow clear DAG TASK` lets its newest run run again from that task on, and waits for its end.
`python -m stack.airflow exec scheduler` becomes that part of Airflow, configured as the embedded one is: what a container of its own runs.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import secrets
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stack import settings as stack_settings
from stack.airbyte import client_credentials
from stack.processes import Process, StackError
from stack.settings import ROOT, Settings

DAG_ID = "marketplace_elt_pipeline"
AIRFLOW = ROOT / ".venv" / "airflow" / "bin" / "airflow"
# What Airflow takes.
NOTE_CHARACTERS = 1000
RUNNING = ("queued", "running")
# How long one call waits, and how often a question is asked.
ANSWER_SECONDS, QUESTIONS = 30.0, 5


def _home(settings: Settings) -> Path:
    return settings.local_dir / "airflow"


def logs(settings: Settings) -> Path:
    """Where the tasks' logs are, and those of Airflow's own parts that write some."""
    return _home(settings) / "logs"


def _secret(settings: Settings, name: str, make: str) -> str:
    """A secret of this installation: made once, readable by the owner only."""
    path = _home(settings) / f"{name}.secret"
    kept = path.read_text() if path.exists() else ""
    # With an empty one each of Airflow's programs would make its own.
    if not kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, whenever we are killed; `mkstemp` makes it the owner's.
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(make)
            Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)
        kept = make
    return kept


def _database(settings: Settings) -> dict[str, str]:
    """Airflow's options for its own database."""
    if not settings.airflow_database_url:
        return {"DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home(settings) / 'airflow.db'}"}
    # One driver for both ways of use; for the second, Airflow would look for asyncpg.
    names = ("DATABASE__SQL_ALCHEMY_CONN", "DATABASE__SQL_ALCHEMY_CONN_ASYNC")
    return dict.fromkeys(names, settings.airflow_database_url)


def environment(settings: Settings) -> dict[str, str]:
    """Airflow's whole configuration, as environment variables; connections included, so that no DAG holds an address."""
    home = _home(settings)
    home.mkdir(parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({settings.airflow_user: settings.airflow_password}))
    credentials = client_credentials(settings)
    airbyte = {
        "conn_type": "airbyte",
        "host": settings.airbyte_url,
        "login": credentials["AIRBYTE_CLIENT_ID"],
        "password": credentials["AIRBYTE_CLIENT_SECRET"],
        "extra": {"timeout": 30},
    }
    spark = {"conn_type": "spark", "host": settings.spark_master, "extra": {"deploy-mode": "client"}}
    options = {
        "CORE__DAGS_FOLDER": str(ROOT / "airflow" / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "stack.executor.WarmLocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__DEFAULT_TIMEZONE": "utc",
        "CORE__FERNET_KEY": settings.airflow_fernet_key
        or _secret(settings, "fernet", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{settings.airflow_user}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        **_database(settings),
        "API__HOST": settings.bind_host,
        "API__PORT": str(settings.airflow_port),
        "API__BASE_URL": settings.for_people(settings.airflow_url),
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": settings.airflow_jwt_secret or _secret(settings, "jwt", secrets.token_urlsafe(64)),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        # A file that changed is parsed at the next refresh all the same.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "LOGGING__BASE_LOG_FOLDER": str(logs(settings)),
        # At 0.3 s the scheduler alone took a fifth of a core from what it waits for; at Airflow's own 1 s a run of 25 tasks waits for it.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **os.environ,
        **settings.environment(),
        **{f"AIRFLOW__{name}": value for name, value in options.items()},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_AIRBYTE_MARKETPLACE": json.dumps(airbyte),
        "AIRFLOW_CONN_SPARK_MARKETPLACE": json.dumps(spark),
        "PATH": f"{ROOT / '.venv' / 'airflow' / 'bin'}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
    }


def process(settings: Settings, env: dict[str, str] | None = None) -> Process:
    """Airflow as a process of the stack; `env` is needed to start it, not to stop it."""
    return Process(
        name="airflow",
        command=[str(AIRFLOW.with_name("python")), "-m", "stack.airflow_standalone"],
        run_dir=settings.local_dir / "run",
        env=env or {},
        cwd=ROOT,
        ports={"AIRFLOW_PORT": settings.airflow_port},
    )


def is_healthy(settings: Settings) -> bool:
    """Whether the API answers, scheduler and DAG processor send their heartbeats, and the tasks' own API answers, which the first one to ask makes."""
    try:
        with urllib.request.urlopen(f"{settings.airflow_url}/api/v2/monitor/health", timeout=5) as answer:  # noqa: S310
            health = json.load(answer)
        with urllib.request.urlopen(f"{settings.airflow_url}/execution/health", timeout=ANSWER_SECONDS):  # noqa: S310
            pass
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        # The last three: another program's answer.
        return False


def start(settings: Settings) -> bool:
    """Start Airflow. Returns whether it was started now."""
    return process(settings, environment(settings)).start(lambda: is_healthy(settings), timeout=240)


def stop(settings: Settings) -> bool:
    """Stop Airflow with everything it started. Returns whether it ran."""
    return process(settings).stop()


class NoAnswer(StackError):
    """Airflow had none in time, or was in trouble itself."""


class Api:
    """The few calls of Airflow's REST API that a run needs. Errors are StackError with Airflow's own reason."""

    def __init__(self, settings: Settings) -> None:
        """Log in. Raises StackError when Airflow does not answer or refuses the password."""
        self._url = settings.airflow_url
        self._headers = {"Content-Type": "application/json"}
        login = {"username": settings.airflow_user, "password": settings.airflow_password}
        self._headers["Authorization"] = f"Bearer {self._call('POST', '/auth/token', login)['access_token']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """A question is asked again when no answer came in time, or one of the server's own trouble: a busy machine has either now and then."""
        for _ in range(QUESTIONS - 1 if method == "GET" else 0):
            try:
                return self._call_once(method, path, body)
            except NoAnswer:
                time.sleep(1)
        return self._call_once(method, path, body)

    def _call_once(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data, self._headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            kind = NoAnswer if error.code >= 500 else StackError
            raise kind(
                f"Airflow: {method} {path}: {error.code} {error.read().decode(errors='replace')[:300]}"
            ) from None
        except OSError as error:
            is_late = isinstance(getattr(error, "reason", error), TimeoutError)
            kind = NoAnswer if is_late else StackError
            raise kind(f"Airflow does not answer at {self._url}: {error}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise StackError(f"what answers at {self._url} does not speak as Airflow does: {error!r}") from None

    def wait_for_dag(self, dag_id: str, timeout: float = 120) -> None:
        """Wait until the DAG is parsed, and unpause it. Raises StackError with the import error when it cannot be parsed."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
                return
            except StackError as error:
                errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
                if errors:
                    raise StackError(
                        f"a DAG does not import: {errors[0]['stack_trace'].strip().splitlines()[-1]}"
                    ) from None
                if time.monotonic() > deadline:
                    raise StackError(f"Airflow does not know {dag_id} after {timeout:.0f} s: {error}") from None
            time.sleep(0.5)

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str | None = None) -> str:
        """Start a run with these parameters; returns its run id, which Airflow chooses where none is given."""
        wanted = {"logical_date": None, "conf": conf} | ({"dag_run_id": run_id} if run_id else {})
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", wanted)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """The run's state and times."""
        return dict(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances: task_id, state, start_date, duration (seconds), try_number."""
        return list(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def active_runs(self, dag_id: str, *states: str) -> list[str]:
        """Ids of the runs in one of the states; of those that are queued or running when none is named."""
        wanted = "&".join(f"state={state}" for state in states or ("queued", "running"))
        runs = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?{wanted}")["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def newest_run(self, dag_id: str) -> str:
        """The id of the DAG's newest run. Raises StackError when it never ran."""
        runs = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")["dag_runs"]
        if not runs:
            raise StackError(f"{dag_id} has no run yet: `python -m stack.airflow trigger {dag_id}`")
        return str(runs[0]["dag_run_id"])

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Let a task of a run that has ended, and all that come after it, run again."""
        wanted = {"dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True, "only_failed": False}
        self._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", wanted | {"dry_run": False})

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed, which ends its tasks."""
        self._call("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def note(self, dag_id: str, run_id: str, task_id: str, text: str) -> None:
        """Set the note that the UI shows beside the task of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}?update_mask=note"
        self._call("PATCH", path, {"note": text[:NOTE_CHARACTERS]})

    def follow(self, dag_id: str, run_id: str) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
        """Every other second until the run has ended: its state, its tasks, and those that ended since, in that order."""
        seen: set[str] = set()
        state = RUNNING[0]
        while state in RUNNING:
            state = str(self.run(dag_id, run_id)["state"])
            tasks = sorted(self.tasks(dag_id, run_id), key=lambda task: task["end_date"] or "")
            ended = [t for t in tasks if t["state"] in ("success", "failed") and t["task_id"] not in seen]
            seen |= {task["task_id"] for task in ended}
            yield state, tasks, ended
            if state in RUNNING:
                time.sleep(2)

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """The lines of a task's log."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}?full_content=true"
        content = self._call("GET", path)["content"]
        return [str(line.get("event", "")) if isinstance(line, dict) else str(line) for line in content]


def run_to_its_end(settings: Settings, dag_id: str, conf: dict[str, Any]) -> bool:
    """Trigger a DAG, print its tasks as they end, and return whether the run succeeded. Raises StackError with Airflow's reason."""
    api = Api(settings)
    api.wait_for_dag(dag_id)
    return _follow_to_its_end(settings, api, dag_id, api.trigger(dag_id, conf))


def run_again_from(settings: Settings, dag_id: str, task_id: str) -> bool:
    """As `run_to_its_end`, for the DAG's newest run from `task_id` on, with the run's own parameters. Raises StackError, also while it runs."""
    api = Api(settings)
    run_id = api.newest_run(dag_id)
    if api.run(dag_id, run_id)["state"] in RUNNING:
        raise StackError(f"{run_id} has not ended yet: wait for it, or mark it failed in Airflow")
    api.clear(dag_id, run_id, task_id)
    return _follow_to_its_end(settings, api, dag_id, run_id)


def _follow_to_its_end(settings: Settings, api: Api, dag_id: str, run_id: str) -> bool:
    print(f"{settings.for_people(settings.airflow_url)}/dags/{dag_id}/runs/{run_id}", flush=True)
    for _, _, ended in api.follow(dag_id, run_id):
        for task in ended:
            print(f"  {task['task_id']:22} {task['duration'] or 0:6.1f} s  {task['state']}", flush=True)
    return bool(api.run(dag_id, run_id)["state"] == "success")


def parameters(text: str) -> dict[str, Any]:
    """A run's parameters as the command line has them."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as \'{{"engine": "dbt"}}\'')
    return found


def main() -> int:
    """The command line. Returns the exit status: 1 when the run did not succeed."""
    parser = argparse.ArgumentParser(prog="python -m stack.airflow", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    trigger = steps.add_parser("trigger", help="run a DAG and wait for its end")
    trigger.add_argument("dag", help="its id, such as " + DAG_ID)
    trigger.add_argument("--conf", type=parameters, default={}, help="the run's parameters as JSON")
    again = steps.add_parser("clear", help="run the newest run again from a task on, and wait for its end")
    again.add_argument("dag", help="its id, such as " + DAG_ID)
    again.add_argument("task", help="its id, such as sync.find_connection, the pipeline's first")
    part = steps.add_parser("exec", help="become a part of Airflow: api-server, scheduler, dag-processor or triggerer")
    part.add_argument("command", nargs=argparse.REMAINDER, help="as Airflow's own command line takes it")
    arguments = parser.parse_args()
    current = stack_settings.for_command()
    try:
        if arguments.step == "exec":
            os.execve(AIRFLOW, [str(AIRFLOW), *arguments.command], environment(current))  # noqa: S606 - no shell is meant
        if arguments.step == "clear":
            return 0 if run_again_from(current, arguments.dag, arguments.task) else 1
        return 0 if run_to_its_end(current, arguments.dag, arguments.conf) else 1
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
