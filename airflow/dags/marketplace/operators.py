"""The tasks that run the project's programs, and the heavy step by either engine."""

from __future__ import annotations

import datetime
import shlex
from functools import cached_property
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.hooks.subprocess import SubprocessHook, SubprocessResult
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Param, TriggerRule, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from marketplace.fall_back import VERDICT
from marketplace.notifications import EngineFailed, FailureNotifier, as_dict, record_success
from stack import lineage
from stack.airflow import DAG_ID
from stack.failures import is_final, own_failure
from stack.settings import MARTS_NEXT, ROOT, load

PYTHON = ROOT / ".venv" / "main" / "bin" / "python"
# As the shell takes it.
MODULE = f"{shlex.quote(str(PYTHON))} -m"
# The marts are built and judged where nobody reads; stack.publish shows them.
DBT = f"{MODULE} stack.dbt --marts-dataset {MARTS_NEXT}"
MARTS = Asset("bigquery://marts")
# Of a task that several branches lead to.
JOIN = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
FULL_REFRESH = "{{ '--full-refresh' if params.full_refresh else '' }}"
FULL_REFRESH_PARAM = Param(False, type="boolean", description="rebuild every table from raw")
DEFAULT_ARGS = {
    # For what another try may mend: a program that knows better ends with FINAL (stack/failures.py).
    "retries": 2,
    "retry_delay": datetime.timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": datetime.timedelta(minutes=5),
    "execution_timeout": datetime.timedelta(seconds=load().task_timeout_seconds),
    "on_success_callback": record_success,
    "on_failure_callback": FailureNotifier(),
}


class Listening(SubprocessHook):
    """Runs a program and remembers the last line that it printed, `said`: what went wrong, by this project's convention."""

    said = ""

    def run_command(self, *args: Any, **kwargs: Any) -> SubprocessResult:
        """As the hook's own."""
        result = super().run_command(*args, **kwargs)
        self.said = result.output
        return result


class Program(BashOperator):
    """A program; one that ends with FINAL is not tried again."""

    @cached_property
    def subprocess_hook(self) -> Listening:
        """What runs the program."""
        return Listening()

    def execute(self, context: Any) -> Any:
        """Run. Raises AirflowFailException, which is not retried, or as the operator; either with the program's last words."""
        try:
            return super().execute(context)
        except AirflowException as error:
            words = last_words(self.subprocess_hook.said)
            kind = AirflowFailException if is_final(str(error)) else type(error)
            raise kind(f"{words} ({error})" if words else str(error)) from error


def last_words(line: str) -> str:
    """What a program's last line says of its failure: the text itself, or, of a result in JSON, its reason and the names of what failed."""
    result = as_dict(line)
    failed = f"; failed: {', '.join(result['failed'])}" if result.get("failed") else ""
    return f"{result['reason']}{failed}" if result.get("reason") else line.removeprefix("error: ")


def command(task_id: str, arguments: str, **kwargs: Any) -> Program:
    """A program of the project's own environment; its last line is the task's result, its exit status the task's."""
    return Program(task_id=task_id, **(_program(arguments) | kwargs))


def _program(arguments: str) -> dict[str, Any]:
    return {"bash_command": f"exec {arguments}", "cwd": str(ROOT), "append_env": True}


def spark_submit(task_id: str, job: str, **kwargs: Any) -> SparkSubmitOperator:
    """spark_jobs/`job`.py, on the master of the connection `spark_marketplace`."""
    return SparkSubmitOperator(task_id=task_id, **(_spark(job) | kwargs))


def _spark(job: str) -> dict[str, Any]:
    variables = {
        "PYSPARK_PYTHON": str(PYTHON),
        "PYTHONPATH": str(ROOT),
        # As a Bash task's programs have them by themselves.
        lineage.DAG_ID: "{{ dag.dag_id }}",
        lineage.RUN_ID: "{{ run_id }}",
        lineage.TASK_ID: "{{ task.task_id }}",
    }
    if load().spark_master.startswith("local"):
        # Loopback whatever the machine's name resolves to. The workers of a cluster have to find the driver.
        variables["SPARK_LOCAL_IP"] = "127.0.0.1"
    return {
        "conn_id": "spark_marketplace",
        "spark_binary": str(ROOT / ".venv" / "main" / "bin" / "spark-submit"),
        "application": str(ROOT / "spark_jobs" / f"{job}.py"),
        "driver_memory": load().spark_driver_memory,
        "conf": {"spark.driver.extraJavaOptions": load().spark_driver_java_options},
        "env_vars": variables,
        "verbose": False,
    }


def approval(task_id: str, asked_by: str, question: str) -> ApprovalOperator:
    """A person's decision, with the reason that the task `asked_by` pushed. Rejected, or after twelve hours, the task fails."""
    return ApprovalOperator(
        task_id=task_id,
        subject=question,
        body=f"{{{{ ti.xcom_pull(task_ids='{asked_by}', key='reason') }}}}. Until somebody approves, readers see the run before.",
        response_timeout=datetime.timedelta(hours=12),
        execution_timeout=None,
        fail_on_reject=True,
        retries=0,
    )


@task.sensor(poke_interval=30, timeout=3 * 3600, mode="reschedule")
def pipeline_rests(ti: Any) -> bool:
    """Whether no run of the pipeline is active: it would write what is read or compacted here."""
    return bool(ti.get_dr_count(dag_id=DAG_ID, states=["running"]) == 0)


class HeavyStep:
    """Mixed into an operator: when it fails, whether that is the engine's own doing is pushed as VERDICT, for the task that decides on falling back."""

    _is_ended = False

    def on_kill(self) -> None:
        """Airflow, or somebody in it, ends the task."""
        self._is_ended = True
        super().on_kill()  # type: ignore[misc]

    def execute(self, context: Any) -> Any:
        """Run. Raises EngineFailed or AirflowFailException, which are not retried, or AirflowException; each with the program's last words."""
        try:
            return super().execute(context)  # type: ignore[misc]
        except AirflowTaskTimeout as error:
            # As Airflow does for an exception that it knows.
            self.on_kill()
            why = f"not done after {load().task_timeout_seconds:,} s"
            context["ti"].xcom_push(key=VERDICT, value={"reason": why, "is_engines_own": True})
            raise EngineFailed(why) from error
        except AirflowException as error:
            # What was ended says nothing of the engine, though it died of a signal.
            why = None if self._is_ended else own_failure(str(error))
            # Of spark-submit, the provider tells the whole command and some last lines of output: a job's own word is the last of these.
            words = (str(error).strip() or type(error).__name__).splitlines()[-1]
            context["ti"].xcom_push(key=VERDICT, value={"reason": why or words, "is_engines_own": why is not None})
            if why is not None:
                raise EngineFailed(f"{why}: {words}") from error
            raise (AirflowFailException if is_final(str(error)) else type(error))(words) from error


class HeavyDbt(HeavyStep, Program):
    """The heavy models by dbt."""

    def __init__(self, task_id: str, **kwargs: Any) -> None:
        """Everything but the task id has its default."""
        super().__init__(task_id=task_id, **(_program(f"{DBT} heavy {FULL_REFRESH}") | kwargs))


class HeavySpark(HeavyStep, SparkSubmitOperator):
    """The heavy jobs by spark-submit, on the master of the connection `spark_marketplace`."""

    def __init__(self, task_id: str, **kwargs: Any) -> None:
        """Everything but the task id has its default."""
        arguments = ["{{ '--full-refresh' if params.full_refresh else '--incremental' }}"]
        super().__init__(task_id=task_id, **(_spark("heavy_steps") | {"application_args": arguments} | kwargs))
