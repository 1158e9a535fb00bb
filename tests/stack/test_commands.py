"""What the commands print, are asked, and leave alone; the pages' tests run them for real."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from stack import __main__ as commands
from stack import airbyte, airflow, audit, bigquery, dbt, emulator, local_dir, postgres
from stack.processes import StackError, free_port
from stack.settings import ROOT, Settings


def test_rows_are_a_table_with_numbers_to_the_right_and_null_as_nothing() -> None:
    rows = [
        {"name": "a", "amount": Decimal("10.50"), "is_new": True, "note": None},
        {"name": "long name", "amount": None, "is_new": False, "note": "x"},
    ]
    assert bigquery.as_table(rows) == (
        "name       amount  is_new  note\n"  #
        "a           10.50  True\n"
        "long name          False   x"
    )
    assert bigquery.as_table([]) == "no row"


def test_a_warehouse_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_PORT", str(free_port()))
    done = subprocess.run(
        [sys.executable, "-m", "stack.bigquery", "select 1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no answer from http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of a program that speaks, and not HTTP."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OtherProgram) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class OtherProgram(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"-ERR unknown command\r\n")


def test_another_program_on_a_service_s_port_is_a_service_that_is_down(
    other_program: int, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{other_program}"
    here = dataclasses.replace(settings, local_dir=tmp_path, bigquery_endpoint=url, airbyte_url=url, airflow_url=url)
    commands.status(here)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["down"] * 4
    assert not any(service.is_healthy(here) for service in (emulator, airbyte, airflow))
    with pytest.raises(StackError, match="does not speak as Airflow does"):
        airflow.Api(here)


# The programs of the stack, of airbyte, of the source and of the dashboard, as far as they need arguments to get to the settings.
PROGRAMS = (
    "airbyte.connections.apply",
    "airbyte.connections.find",
    "airbyte.connections.jobs",
    "airbyte.deletion_sweep",
    "airbyte.erasure run",
    "airbyte.loaders.bulk folder",
    "airbyte.loaders.ecb_fx_rates",
    "airbyte.raw_gate",
    "airbyte.server",
    "airbyte.source_check",
    "benchmarks.dbt_build 1",
    "benchmarks.peers",
    "dashboards",
    "source.day",
    "source.load",
    "stack demo",
    "stack.airflow trigger d",
    "stack.bigquery sql",
    "stack.dbt staging",
    "stack.lineage upstream x",
    "stack.parity_audit prepare",
    "stack.postgres",
    "stack.publish",
    "stack.retention",
    "website",
)
WRONG_PORT = ({"AIRFLOW_PORT": "abc"}, "error: AIRFLOW_PORT must be a whole number, not 'abc'")
# What the programs that ask BigQuery first of all say before the client's own words.
ASK_BIGQUERY = {
    "airbyte.deletion_sweep": "the deletion sweep stopped: ",
    "airbyte.erasure run": "erasure stopped: ",
    "airbyte.loaders.bulk folder": "",
    "airbyte.loaders.ecb_fx_rates": "the ECB rates were not loaded: ",
    "airbyte.raw_gate": "",
    "stack status": "BigQuery: ",
    "stack.parity_audit prepare": "the parity audit stopped: ",
    "stack.publish": "the marts were not published: ",
    "stack.retention": "not everything old could be forgotten: ",
}
NO_CREDENTIALS = {"BIGQUERY_EMULATOR": "false"}


@pytest.mark.parametrize(
    ("command", "variables", "said"),
    [
        *((command, *WRONG_PORT) for command in PROGRAMS),
        *(
            (command, NO_CREDENTIALS, f"error: {before}Your default credentials were not found")
            for command, before in ASK_BIGQUERY.items()
        ),
    ],
)
def test_a_wrong_setting_is_one_line(command: str, variables: dict[str, str], said: str, tmp_path: Path) -> None:
    # Without whatever credentials this machine has.
    own = {"LOCAL_DIR": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    environment = {name: value for name, value in os.environ.items() if name != "GOOGLE_APPLICATION_CREDENTIALS"}
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env=environment | own | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "stack.airflow trigger d --conf engine=dbt",
            "--conf: 'engine=dbt' is no JSON object, such as '{\"engine\": \"dbt\"}'",
        ),
        ("stack.airflow trigger d --conf [1]", "--conf: '[1]' is no JSON object"),
        (
            "stack.parity_audit compare --since yesterday",
            "--since: 'yesterday' is no time with its zone, such as 2026-",
        ),
        ("stack.parity_audit compare --since 2026-03-01", "--since: '2026-03-01' is no time with its zone"),
    ],
)
def test_an_argument_that_cannot_be_read_is_a_sentence(command: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"error: argument {said}" in done.stderr.splitlines()[-1]


def test_only_a_folder_that_the_stack_made_is_deleted(settings: Settings, tmp_path: Path) -> None:
    theirs, ours = (dataclasses.replace(settings, local_dir=tmp_path / name) for name in ("theirs", "ours"))
    theirs.local_dir.mkdir()
    (theirs.local_dir / "thesis.tex").touch()
    (theirs.local_dir / "postgres").mkdir()
    (theirs.local_dir / "postgres" / "notes.txt").touch()
    postgres.home(theirs).mkdir(exist_ok=True)
    for current in (theirs, ours):
        local_dir.claim(current)
        (current.local_dir / "run").mkdir()
    with pytest.raises(StackError, match="held something before the stack used it"):
        commands.clean_data(theirs)
    commands.clean_data(ours)
    assert (theirs.local_dir / "thesis.tex").exists()
    assert (theirs.local_dir / "postgres" / "notes.txt").exists()
    assert postgres.home(theirs).exists()
    postgres.remove(theirs)
    assert not ours.local_dir.exists()
    commands.clean_data(ours)


def test_a_folder_for_postgres_that_somebody_else_made_is_refused(settings: Settings, tmp_path: Path) -> None:
    current = dataclasses.replace(settings, local_dir=tmp_path / "local")
    (tmp_path / "elsewhere").mkdir()
    home = postgres.home(current)
    home.parent.mkdir(exist_ok=True)
    home.symlink_to(tmp_path / "elsewhere")
    try:
        with pytest.raises(StackError, match="belongs to another user"):
            postgres.start(current)
        assert list((tmp_path / "elsewhere").iterdir()) == []
    finally:
        home.unlink()


def test_a_selection_takes_the_place_of_the_layer_and_models_stay_without_tests() -> None:
    assert dbt._nodes("build", "whole", ()) == ["--selector", "whole"]
    assert dbt._nodes("build", "whole", ["a", "b+"]) == ["--select", "a", "b+"]
    assert dbt._nodes("models", "models", ["a"])[2:] == [
        *("--exclude-resource-type", "test"),
        *("--exclude-resource-type", "unit_test"),
    ]


@pytest.mark.parametrize("error", [None, RuntimeError("dbt broke")])
def test_stdout_is_as_it_was_after_dbt_however_it_ended(
    error: Exception | None, settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def invoke(*_: object) -> str:
        os.write(1, b"of dbt\n")
        if error:
            raise error
        return "answered"

    monkeypatch.setattr("dbt.cli.main.dbtRunner.invoke", invoke)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with contextlib.suppress(RuntimeError):
        dbt._invoke(settings, "bigquery", [])
    opened = len(list(Path("/dev/fd").iterdir()))
    with contextlib.suppress(RuntimeError):
        dbt._invoke(settings, "bigquery", [])
    assert len(list(Path("/dev/fd").iterdir())) == opened
    os.write(1, b"of ours\n")
    assert capfd.readouterr() == ("of ours\n", "of dbt\nof dbt\n")


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "verdict", "said"),
    [
        (0, "No known vulnerabilities found", "", 0, "No known"),
        (1, "x 1.0 PYSEC-1", "Found 1 known vulnerability", 1, "PYSEC-1"),
        (1, "", "requests.exceptions.ConnectionError: Max retries exceeded", audit.UNREACHED, "does not answer"),
    ],
)
def test_an_audit_that_reached_nobody_is_no_audit(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    stdout: str,
    stderr: str,
    verdict: int,
    said: str,
) -> None:
    answer = subprocess.CompletedProcess([], status, stdout, stderr)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: answer)
    assert audit.main([]) == verdict
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
