"""What the workers of the executor know before their first task."""

from __future__ import annotations

from pathlib import Path

from stack.settings import ROOT
from tests.airflow import airflow_python

DAGS = ROOT / "airflow" / "dags"


def test_the_dag_files_import_only_the_projects_own_code_in_a_tasks_process() -> None:
    own = {"marketplace", "stack"} | {file.stem for file in DAGS.glob("*.py")}
    imported = airflow_python.run(Path(__file__).parent / "warm_packages.py", DAGS)
    assert imported
    assert [name for name in imported if name.partition(".")[0] not in own] == []
