"""The parts of Airflow that run apart, as in containers, are configured as the whole is."""

from __future__ import annotations

import os
import subprocess
import sys

from stack.settings import ROOT, Settings


def test_a_part_becomes_airflow_with_the_configuration_of_the_settings(settings: Settings) -> None:
    variables = {
        "AIRBYTE_CLIENT_ID": "client",
        "AIRBYTE_CLIENT_SECRET": "secret",
        "AIRFLOW_URL": "http://airflow:8080",
        "PUBLIC_HOST": "example.org",
    }
    for option, value in {"base_url": "http://example.org:8080", "port": str(settings.airflow_port)}.items():
        done = subprocess.run(
            [sys.executable, "-m", "stack.airflow", "exec", "config", "get-value", "api", option],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().splitlines()[-1] == value
