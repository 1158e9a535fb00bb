"""Airflow's LocalExecutor with workers that know the packages of the DAG files before their first task.

Airflow reads a DAG file anew in the process of each task, which is forked from a worker, which is forked from the scheduler when that starts. What the
scheduler has imported by then need not be imported by every task. Only packages: a change of the project's own code holds from the next task on, as ever.
"""

from __future__ import annotations

import importlib

from airflow.executors.local_executor import LocalExecutor

# What the DAG files import, and what runs a task. tests/airflow/test_executor.py demands that nothing is missing.
PACKAGES = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.airbyte.operators.airbyte",
    "airflow.providers.airbyte.sensors.airbyte",
    "airflow.providers.apache.spark.operators.spark_submit",
    "airflow.providers.common.io.assets.file",
    "airflow.providers.standard.decorators.branch_python",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.sensor",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.hitl",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.task_runner",
    "airflow.timetables.trigger",
    "google.cloud.bigquery",
    "statistics",
)


class WarmLocalExecutor(LocalExecutor):  # type: ignore[misc] # Airflow has an environment of its own, which mypy does not see
    """As LocalExecutor, without a server of logs: it would listen on every interface, and who asks for a log of this machine reads the file."""

    serve_logs = False

    def start(self) -> None:
        """Import, then start the workers."""
        for package in PACKAGES:
            importlib.import_module(package)
        super().start()
