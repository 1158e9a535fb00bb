"""The marketplace is the pipeline's input and nothing else: in production it is somebody else's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from stack.settings import ROOT

PIPELINE = ("airbyte", "airflow", "dashboards", "spark_jobs", "stack")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_pipeline_imports_nothing_of_the_source() -> None:
    files = [path for room in PIPELINE for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 50
    assert [str(path) for path in files if any(name.partition(".")[0] == "source" for name in imported(path))] == []
