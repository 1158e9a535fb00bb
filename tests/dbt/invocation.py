"""dbt in the test's own process, on any copy of the project: one call costs 0.3 s beside its models, a program of its own 8 s."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

from stack.settings import Settings


class DbtError(RuntimeError):
    """dbt could not run at all: the project does not parse or compile, or an argument is wrong."""


def invoke(settings: Settings, project: Path, *arguments: str) -> list[Any]:
    """Run `dbt ARGUMENTS` against the deployment's warehouse and return a result per node, failed ones included.

    dbt's files go to `target` and `logs` below `project`'s parent. Raises DbtError when there is no result.
    """
    from dbt.cli.main import dbtRunner

    places = ["--project-dir", str(project), "--profiles-dir", str(project)]
    places += ["--target-path", str(project.parent / "target"), "--log-path", str(project.parent / "logs")]
    with mock.patch.dict(os.environ, settings.environment()):
        answer = dbtRunner().invoke([*arguments, *places, "--quiet"])
    results = getattr(answer.result, "results", None)
    if results is None and not answer.success:
        raise DbtError(f"dbt {' '.join(arguments)}: {answer.exception}")
    return list(results or [])


def failures(results: list[Any]) -> dict[str, str]:
    """{node name: message} of what failed; warnings and what was skipped are no failures."""
    return {
        result.node.name: f"{result.status}: {' '.join((result.message or '').split())}"
        for result in results
        if str(result.status) in ("error", "fail", "runtime error")
    }
