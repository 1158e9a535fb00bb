"""`airflow standalone` without its servers of logs, which listen on every interface. Runs in Airflow's environment.

Who asks for a log of this machine gets it from the file.
"""

from __future__ import annotations

import argparse
from typing import Any

from airflow.cli.commands import standalone_command
from airflow.configuration import write_default_airflow_configuration_if_needed


class Part(standalone_command.SubCommand):  # type: ignore[misc] # Airflow has an environment of its own, which mypy does not see
    """One of the four programs."""

    def __init__(self, parent: Any, name: str, command: list[str], env: dict[str, str]) -> None:
        """As Airflow's own; the scheduler's server is the executor's (stack/executor.py)."""
        super().__init__(parent, name, [*command, *(["--skip-serve-logs"] if name == "triggerer" else [])], env)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m stack.airflow_standalone", description=__doc__).parse_args()
    # Before the four look for it at once.
    write_default_airflow_configuration_if_needed()
    standalone_command.SubCommand = Part
    standalone_command.StandaloneCommand().run()
