"""Lineage events: what is sent, what is kept, and what is read back from them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from stack import dbt, lineage, settings
from stack.lineage import Step, Table, now
from stack.settings import Settings

RAW, STAGING, MART, SOURCE = (
    lineage.warehouse_table("shop", "raw.orders"),
    lineage.warehouse_table("shop", "staging.stg_orders"),
    lineage.warehouse_table("shop", "marts.fct_orders"),
    lineage.source_table("db", 5432, "shop", "public", "orders"),
)


@pytest.fixture
def current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A deployment without a service; lineage of its own."""
    # The client writes variables of its own into the environment.
    with mock.patch.dict(os.environ):
        for name in [*os.environ]:
            if name.startswith(("OPENLINEAGE_", "AIRFLOW_CTX_")):
                del os.environ[name]
        monkeypatch.setattr(lineage, "_given_up", [])
        lineage._client.cache_clear()
        yield dataclasses.replace(settings.load(), local_dir=tmp_path)
    lineage._client.cache_clear()


def step(job: str, inputs: list[Table], *outputs: Table, rows: int | None = None) -> Step:
    return Step(job, inputs, outputs, "DBT", now(), now(), rows)


def written(current: Settings) -> list[dict]:
    return [
        json.loads(line) for path in (current.local_dir / "lineage").iterdir() for line in path.read_text().splitlines()
    ]


def test_a_step_is_a_start_and_an_end_of_one_run_with_rows(current: Settings) -> None:
    lineage.tell(current, [step("dbt.fct_orders", [STAGING], MART, rows=7)])
    start, end = written(current)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert end["job"]["namespace"] == "marketplace-elt"
    assert [(table["namespace"], table["name"]) for table in end["inputs"]] == [("bigquery", "shop.staging.stg_orders")]
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert "parent" not in end["run"]["facets"]


def test_programs_of_one_task_and_tasks_of_one_run_name_the_same_parents(
    current: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in ("staging", "staging", "marts"):
        for name, value in {lineage.DAG_ID: "pipeline", lineage.RUN_ID: "manual_1", lineage.TASK_ID: task}.items():
            monkeypatch.setenv(name, value)
        lineage.tell(current, [step("dbt.x", [RAW], STAGING)])
    parents = [event["run"]["facets"]["parent"] for event in written(current) if event["eventType"] == "COMPLETE"]
    assert [parent["job"]["name"] for parent in parents] == ["pipeline.staging", "pipeline.staging", "pipeline.marts"]
    assert len({parent["run"]["runId"] for parent in parents}) == 2
    assert len({parent["root"]["run"]["runId"] for parent in parents}) == 1


def test_a_failed_step_says_why_and_makes_no_table(current: Settings) -> None:
    def fail() -> None:
        with lineage.told(current, "spark.x", "SPARK", [RAW], STAGING):
            raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        fail()
    assert written(current)[-1]["eventType"] == "FAIL"
    assert written(current)[-1]["run"]["facets"]["errorMessage"]["message"] == "out of memory"
    assert lineage.recorded(current.local_dir) == {}


def test_what_tests_say_is_about_the_table_they_read(current: Settings) -> None:
    tests = dataclasses.replace(step("dbt.marts.tests", [MART]), checks={MART: {"unique": True, "not_null": False}})
    lineage.tell(current, [tests])
    assertions = written(current)[-1]["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(said["assertion"], said["success"]) for said in assertions] == [("unique", True), ("not_null", False)]


def test_a_table_is_followed_up_to_its_source_and_down_to_what_it_feeds(current: Settings) -> None:
    lineage.tell(
        current,
        [
            step("airbyte.shop.orders", [SOURCE], RAW, rows=3),
            # Only how it was made last counts.
            step("dbt.stg_orders", [MART], STAGING),
            step("dbt.stg_orders", [RAW], STAGING),
            step("dbt.fct_orders", [STAGING, RAW], MART, rows=2_000),
        ],
    )
    made = lineage.recorded(current.local_dir)
    upstream = lineage.tree(made, "marts.fct_orders", upstream=True)
    assert [line.split("  [")[0] for line in upstream] == [
        "marts.fct_orders",
        "  raw.orders",
        "    postgres://db:5432/shop.public.orders",
        "  staging.stg_orders",
        "    raw.orders  (see above)",
    ]
    assert upstream[0].startswith("marts.fct_orders  [dbt.fct_orders, 2,000 rows, 20")
    downstream = lineage.tree(made, "postgres://db:5432/shop.public.orders", upstream=False)
    assert [line.split("  [")[0].strip() for line in downstream] == [
        "postgres://db:5432/shop.public.orders",
        "raw.orders",
        "marts.fct_orders",
        "staging.stg_orders",
        "marts.fct_orders",
    ]
    with pytest.raises(KeyError):
        lineage.tree(made, "marts.nothing", upstream=True)


def test_a_line_that_was_never_ended_is_passed_over(current: Settings) -> None:
    lineage.tell(current, [step("dbt.stg_orders", [RAW], STAGING)])
    path = next((current.local_dir / "lineage").iterdir())
    path.write_text(path.read_text() + '{"eventType": "COMP')
    assert list(lineage.recorded(current.local_dir)) == [STAGING]
    # The next program's whole event is no part of it.
    lineage._client.cache_clear()
    lineage.tell(current, [step("dbt.fct_orders", [STAGING], MART)])
    lines = path.read_text().splitlines()
    assert lines.pop(2) == '{"eventType": "COMP'
    assert [json.loads(line)["eventType"] for line in lines] == ["START", "COMPLETE"] * 2


def test_a_server_gets_the_events_and_one_that_is_not_there_fails_nothing(
    current: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    got = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
        lineage.tell(current, [step("dbt.stg_orders", [RAW], STAGING)])
        server.shutdown()
    assert [(path, event["eventType"]) for path, event in got] == [
        ("/api/v1/lineage", "START"),
        ("/api/v1/lineage", "COMPLETE"),
    ]
    assert not (current.local_dir / "lineage").exists()
    for _ in range(2):
        lineage.tell(current, [step("dbt.stg_orders", [RAW], STAGING)])
    assert capsys.readouterr().err.count("warning: no lineage of this run: ") == 1


def test_what_cannot_be_told_fails_nothing(current: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def steps() -> Iterator[Step]:
        yield step("dbt.stg_orders", [RAW], STAGING)
        raise OSError("no manifest")

    lineage.tell(current, steps())
    assert len(written(current)) == 2
    assert capsys.readouterr().err == "warning: no lineage of this run: no manifest\n"


def test_a_dbt_steps_result_is_its_last_line_whatever_lineage_says(
    current: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Airflow takes the last line of both streams together."""
    answer = SimpleNamespace(exception=None, success=True, result=SimpleNamespace(results=[]))
    with contextlib.redirect_stderr(sys.stdout):
        assert dbt._conclude(current, answer, "marts", "bigquery", time.monotonic()) == 0  # type: ignore[arg-type]
    warning, result = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: no lineage of this run")
    assert json.loads(result)["step"] == "marts"


def test_it_can_be_turned_off(current: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    lineage.tell(current, [step("dbt.stg_orders", [RAW], STAGING)])
    assert not (current.local_dir / "lineage").exists()


@pytest.mark.parametrize(
    ("uri", "table"),
    [
        ("file:///srv/lake/raw/orders", Table("file", "/srv/lake/raw/orders")),
        ("s3a://bucket/lake/orders", Table("s3://bucket", "lake/orders")),
        ("gs://bucket/lake/orders", Table("gs://bucket", "lake/orders")),
    ],
)
def test_a_lakes_table_is_named_as_openlineage_does(uri: str, table: Table) -> None:
    assert lineage.lake_table(uri) == table
