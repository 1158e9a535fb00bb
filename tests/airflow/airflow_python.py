"""Programs under Airflow's own environment, which the tests' interpreter is not: its packages are others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stack import airflow
from stack.settings import ROOT, load


def run(*arguments: str | Path, **variables: str) -> Any:
    """Run Airflow's Python with the deployment's configuration and these variables. Returns its last line, which is JSON; fails with its stderr."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"AIRBYTE_CLIENT_ID": "client", "AIRBYTE_CLIENT_SECRET": "secret", **variables}.items():
            patch.setenv(name, value)
        env = airflow.environment(load())
    done = subprocess.run(
        [ROOT / ".venv" / "airflow" / "bin" / "python", *arguments],
        env=env | {"PYTHONPATH": f"{ROOT}:{ROOT / 'airflow' / 'dags'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])
