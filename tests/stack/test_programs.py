"""Every program tells its options when it is asked for them, refuses those that it does not have, and does nothing else either time."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from stack.bootstrap import VENV
from stack.settings import ROOT
from website import reference

PROGRAMS = [module for module, _ in reference.programs(*reference.PROGRAMS, "spark_jobs")]
# Both questions in one process: nearly all of the time goes into the imports.
ASK = """
import runpy, sys
name, *options = sys.argv[1:]
for option in options:
    sys.argv = [name, option]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        status = "went on"
    except SystemExit as end:
        status = end.code or 0
    print(f"{option}: {status}", flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    """{program: what it prints}, of all of them at once."""
    folder = tmp_path_factory.mktemp("programs")
    pool = ThreadPoolExecutor(os.cpu_count())
    found = {module: pool.submit(ask, module, folder) for module in PROGRAMS}
    pool.shutdown(wait=False)
    return found


def ask(module: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VENV / reference.ELSEWHERE.get(module, "main") / "bin" / "python", "-c", ASK, module, "--help", "--no-such"],
        cwd=ROOT,
        env=os.environ | {"LOCAL_DIR": str(folder), "AIRFLOW_HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("module", PROGRAMS)
def test_it_answers_help_and_refuses_an_option_that_it_does_not_have(
    module: str, answers: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    done = answers[module].result()
    # psql has its own statuses.
    refused = 1 if module == "stack.postgres" else 2
    statuses = [line for line in done.stdout.splitlines() if line.startswith(("--help: ", "--no-such: "))]
    assert statuses == ["--help: 0", f"--no-such: {refused}"], done.stderr


def test_the_programs_are_those_of_the_tree() -> None:
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in ROOT.glob("[a-z]*/**/*.py")
        if path.name == "__main__.py" or '\nif __name__ == "__main__":' in path.read_text()
    }
    # A tool of the tests', which tells its options too.
    assert found - {"tests.dbt.mutation"} == set(PROGRAMS)
