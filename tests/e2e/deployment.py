"""A deployment of a test's own, driven as a user drives it: through the commands behind `make`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stack import bigquery
from stack import settings as stack_settings
from stack.processes import free_port
from stack.settings import ROOT, Settings
from tests.content import HISTORIES, Content, content

PORTS = ("POSTGRES_PORT", "BIGQUERY_PORT", "BIGQUERY_GRPC_PORT", "AIRBYTE_PORT", "AIRFLOW_PORT", "DASHBOARD_PORT")

# A JVM that lives for a minute gains nothing from the compiler for hours: half of its CPU time for ten small tests.
SHORT_LIVED_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


@dataclass
class Deployment:
    """Ports and a data folder of its own; `run` calls a program of the project in it."""

    local_dir: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables = (
            {"LOCAL_DIR": str(self.local_dir)}
            | {name: str(free_port()) for name in PORTS}
            | {"SPARK_DRIVER_JAVA_OPTIONS": SHORT_LIVED_JVM}
            | self.variables
        )

    @property
    def env(self) -> dict[str, str]:
        # Nothing of what a user has set for a deployment of theirs, in .env too.
        inherited = {name: value for name, value in os.environ.items() if name not in stack_settings.VARIABLES}
        return inherited | self.variables | {"PYTHONPATH": str(ROOT), "ENV_FILE": os.devnull}

    @property
    def settings(self) -> Settings:
        with pytest.MonkeyPatch.context() as patch:
            for name in stack_settings.VARIABLES:
                patch.delenv(name, raising=False)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            return stack_settings.load()

    def run(self, module: str, *arguments: str, timeout: float = 2200) -> subprocess.CompletedProcess[str]:
        """Run `python -m module arguments` and return what it printed; stderr last."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def demo(self, *arguments: str) -> str:
        """A demo that must succeed; returns what it printed."""
        done = self.run("stack", "demo", *arguments)
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def rebuilt(self) -> Content:
        """The intermediate tables and marts of what is in raw now, made anew by dbt alone: the marts in another dataset, the rest in its place."""
        done = self.run("stack.dbt", "--marts-dataset", "marts_expected", "models", "--full-refresh")
        assert done.returncode == 0, done.stderr[-3000:]
        found = content(self.settings, ("intermediate", "marts_expected"))
        bigquery.client(self.settings).delete_dataset("marts_expected", delete_contents=True)
        named = {name.replace("marts_expected.", "marts."): rows for name, rows in found.items()}
        return {name: rows for name, rows in named.items() if name not in HISTORIES}
