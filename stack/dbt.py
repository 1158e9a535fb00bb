"""`python -m stack.dbt STEP`: one layer of the dbt project, built and tested, with its outcome as one line of JSON for whoever called.

The layers are the selectors of dbt/selectors.yml. dbt's own output goes to stderr as it comes; failing nodes are named on lines that start with "error:".
`build --target spark` builds and tests the whole project on Delta, from raw as it is now (docs/decisions/0004-dbt-on-spark.md).
`--select NODES` works on these nodes instead of a whole layer, as when a model is being written; dbt's own syntax.
`docs` writes the project's own pages, every table and column as it stands in the warehouse, as one HTML file.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack import failures, lineage, settings
from stack.settings import ROOT, Settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from pyspark.sql import SparkSession

# step: (dbt command, selector)
STEPS = {
    "staging": ("build", "staging"),
    "heavy": ("run", "heavy"),
    "heavy-gate": ("test", "heavy"),
    "marts": ("build", "marts"),
    "build": ("build", "whole"),
    "models": ("build", "models"),
    "unit-tests": ("test", "unit-tests"),
}
# The steps of one run of the DAG; the others are for people and tests, and judge the same tables again.
LAYERS = ("staging", "heavy", "heavy-gate", "marts")
STEPS_WITH_MARTS = {"marts", "build", "models"}
TARGETS = ("bigquery", "spark")
BAD = ("error", "fail", "runtime error")


def results_path(current: Settings, step: str, target: str = "bigquery") -> Path:
    """Where a step's last outcome is kept: {"models": n, "tests_passed": n, "tests_warned": n, "failed": [names], …}."""
    return _folder(current, target) / f"{step}.json"


def _folder(current: Settings, target: str) -> Path:
    """Where dbt keeps its artifacts and logs: a folder a target, as each has a manifest of its own."""
    return current.local_dir / ("dbt" if target == "bigquery" else f"dbt-{target}")


def _manifest(current: Settings, target: str) -> dict[str, Any]:
    """What dbt knew of the project at its last invocation for the target."""
    found: dict[str, Any] = json.loads((_folder(current, target) / "target" / "manifest.json").read_text())
    return found


def outcome(results: list[Any]) -> dict[str, Any]:
    """Count dbt's results. `rows` are the rows that the adapter reports as written, where it does."""
    tests = [r for r in results if r.node.resource_type in ("test", "unit_test")]
    models = [r for r in results if r.node.resource_type in ("model", "seed", "snapshot")]
    status = {r.node.unique_id: str(r.status) for r in results}
    failed = [r.node.name for r in results if status[r.node.unique_id] in BAD]
    passed = sum(status[r.node.unique_id] == "pass" for r in tests)
    warned = [r.node.name for r in tests if status[r.node.unique_id] == "warn"]
    rows = sum(int(r.adapter_response.get("rows_affected") or 0) for r in models)
    slowest = sorted(results, key=lambda r: -r.execution_time)[:5]
    reason = f"{len(models)} models, {passed} of {len(tests)} tests passed" + (
        f", {len(warned)} warned" if warned else ""
    )
    return {
        "rows": rows,
        "reason": reason,
        "models": len(models),
        "tests": len(tests),
        "tests_passed": passed,
        "warned": warned,
        "failed": failed,
        "slowest": {r.node.name: round(r.execution_time, 2) for r in slowest},
    }


def run(
    current: Settings,
    step: str,
    full_refresh: bool = False,
    target: str = "bigquery",
    marts_dataset: str = "marts",
    select: Sequence[str] = (),
) -> int:
    """Run one step with the marts in `marts_dataset`, or its command on the nodes of `select` alone. For `spark` a session must be open: `run_on_spark`.

    Returns 0, FINAL of failures when a model or a test of severity error failed, ENGINE when the warehouse itself gave up, as out of memory, or 1.
    """
    started = time.monotonic()
    command, selector = STEPS[step]
    arguments = [command, *_nodes(step, selector, select)]
    if full_refresh and command != "test":
        arguments.append("--full-refresh")
    if marts_dataset != "marts":
        # All steps of a run say so: dbt parses the project anew whenever its variables are others than the last time.
        arguments += ["--vars", json.dumps({"marts_dataset": marts_dataset})]
    if marts_dataset == settings.MARTS_NEXT and step in STEPS_WITH_MARTS:
        from stack import publish

        publish.claim(current, os.environ.get(lineage.RUN_ID, ""))
    answer = _invoke(current, target, arguments)
    if step == "marts" and answer.success and not select and marts_dataset == settings.MARTS_NEXT:
        drop_what_no_model_makes(current)
    # The layer's own outcome, which the summary and the dashboard count, stays that of the whole layer.
    return _conclude(current, answer, "selection" if select else step, target, started)


def drop_what_no_model_makes(current: Settings) -> None:
    """Drop the tables of `marts_next` that no model makes any more: they would be published for ever as they are."""
    from stack import bigquery

    manifest = _manifest(current, "bigquery")
    made = {node["alias"] for node in manifest["nodes"].values() if node["schema"] == settings.MARTS_NEXT}
    bq = bigquery.client(current)
    for table in bq.list_tables(settings.MARTS_NEXT, retry=bigquery.RETRY):
        if table.table_id not in made:
            bq.delete_table(table, not_found_ok=True, retry=bigquery.RETRY)
            print(f"dropped {settings.MARTS_NEXT}.{table.table_id}: no model makes it any more", file=sys.stderr)


def _nodes(step: str, selector: str, select: Sequence[str]) -> list[str]:
    """What dbt is to work on: the layer, or `select` with the tests that the step would run of it."""
    if not select:
        return ["--selector", selector]
    without_tests = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    return ["--select", *select, *(without_tests if step == "models" else [])]


def build_heavy_beside(current: Settings, prefix: str) -> int:
    """Make the heavy models, and what they are made of, anew from raw in datasets `<prefix>staging` and `<prefix>intermediate`. Returns as `run`."""
    started = time.monotonic()
    arguments = ["build", "--full-refresh", "--select", "+tag:heavy", "--vars", json.dumps({"dataset_prefix": prefix})]
    arguments += ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    answer = _invoke(current, "bigquery", arguments, kept="beside")
    return _conclude(current, answer, "heavy", "beside", started)


def _conclude(current: Settings, answer: dbtRunnerResult, step: str, target: str, started: float) -> int:
    """Print and keep the outcome, name what failed, and return the exit status."""
    results = getattr(answer.result, "results", None)
    if answer.exception is not None or results is None:
        print(f"error: dbt {step} on {target}: {answer.exception or 'no result'}", file=sys.stderr)
        return _exit_status(repr(answer.exception))
    report = outcome(results) | {"step": step, "seconds": round(time.monotonic() - started, 1)}
    bad = [result for result in results if str(result.status) in BAD]
    for result in bad:
        message = " ".join((result.message or "").split())
        print(f"error: {result.node.resource_type} {result.node.name}: {message}", file=sys.stderr)
    path = results_path(current, step, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
    if target in TARGETS:
        lineage.tell(current, _lineage(current, results, step, target))
    # The last line, as Airflow takes that for the result: nothing may be printed after it.
    print(json.dumps(report))
    return 0 if answer.success else _exit_status(*(result.message or "" for result in bad))


def _lineage(current: Settings, results: list[Any], step: str, target: str) -> Iterator[lineage.Step]:
    """What each model, seed and snapshot was made of; and all tests of the step, as one."""
    manifest = _manifest(current, target)
    nodes = manifest["nodes"] | manifest["sources"]

    def tables(ids: Sequence[str]) -> list[lineage.Table]:
        found = [nodes[id_] for id_ in ids if id_ in nodes and nodes[id_].get("relation_name")]
        names = [f"{node['schema']}.{node.get('identifier') or node['alias']}" for node in found]
        if target == "bigquery":
            return [lineage.warehouse_table(current.bigquery_project, name) for name in names]
        from spark_jobs.databases import folder

        return [lineage.lake_table(f"{current.lake_uri}/{folder(name.replace('.', '/'))}") for name in names]

    checks = dict[lineage.Table, dict[str, bool]]()
    for result in results:
        node, status = result.node, str(result.status)
        sources = tables(result.node.depends_on_nodes)
        executed = next((timing for timing in result.timing if timing.name == "execute"), None)
        if node.resource_type == "test" and sources and status != "skipped":
            checks.setdefault(sources[0], {})[node.name] = status not in BAD
        if node.resource_type in ("model", "seed", "snapshot") and executed:
            begun, ended = (at.replace(tzinfo=datetime.UTC) for at in (executed.started_at, executed.completed_at))
            rows = (result.adapter_response or {}).get("rows_affected")
            error = result.message if status in BAD else None
            made = tables([node.unique_id])
            yield lineage.Step(f"dbt.{node.name}", sources, made, "DBT", begun, ended, rows, error)
    if checks:
        now = lineage.now()
        yield lineage.Step(f"dbt.{step}.tests", list(checks), [], "DBT", now, now, checks=checks)


def _exit_status(*messages: str) -> int:
    """ENGINE where every message says that the warehouse gave up: one model that is wrong is enough to make it the data's.

    1 where a message says that the warehouse did not answer, or was asked by somebody else for the same table. Else FINAL.
    """
    if messages and all(failures.own_failure(message) for message in messages):
        return failures.ENGINE
    return 1 if any(failures.may_pass(message) for message in messages) else failures.FINAL


def _invoke(current: Settings, target: str, arguments: list[str], kept: str = "") -> dbtRunnerResult:
    """Run dbt with its files in the target's folder, or that of `kept`.

    It prints to stdout; here that goes to stderr, as our last line must be the outcome alone.
    """
    from dbt.cli.main import dbtRunner

    os.environ.update(current.environment())
    project, folder = str(ROOT / "dbt"), _folder(current, kept or target)
    places = ["--target", target, "--project-dir", project, "--profiles-dir", project]
    places += ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
    with _stdout_on_stderr():
        return dbtRunner().invoke([*arguments, *places])


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """What this process, or one that it starts, prints to stdout goes to stderr meanwhile."""
    sys.stdout.flush()
    stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)


def write_docs(current: Settings) -> Path:
    """The project's pages as one HTML file, with what the warehouse holds now. Raises RuntimeError when dbt cannot write them."""
    answer = _invoke(current, "bigquery", ["docs", "generate", "--static"])
    if not answer.success:
        raise RuntimeError(f"dbt docs: {answer.exception or 'see its output'}")
    return _folder(current, "bigquery") / "target" / "static_index.html"


def run_on_spark(
    current: Settings,
    spark: SparkSession,
    steps: Sequence[str] = ("build", "unit-tests"),
    full_refresh: bool = False,
    select: Sequence[str] = (),
) -> int:
    """Mirror raw into the lake, then run the steps there, in the open session `spark`; its views live as long as it does. `select` as in `run`.

    Returns as `run`. Raises what `spark_jobs.command.fail` explains when raw cannot be mirrored.
    """
    from spark_jobs import databases, mirror_raw
    from spark_jobs.incremental import Run
    from spark_jobs.lake import Lake
    from spark_jobs.progress import Progress
    from spark_jobs.warehouse import Warehouse

    with Lake(spark, current.lake_uri) as lake:
        Run(lake, Warehouse(current), Progress(), full_refresh).carry_out([mirror_raw.update])
        databases.register(lake)
        return max(run(current, step, full_refresh, "spark", select=select) for step in steps)


def _open_and_run_on_spark(current: Settings, full_refresh: bool) -> int:
    """`run_on_spark` in a session of its own; where it cannot run, the reason as the last line on stderr."""
    from spark_jobs.command import fail, session_for
    from spark_jobs.warehouse import Warehouse

    try:
        Warehouse(current).check()
        with session_for(current, "dbt") as spark:
            return run_on_spark(current, spark, full_refresh=full_refresh)
    except Exception as error:
        return fail("error", error, current)


def main() -> int:
    """Run the step named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m stack.dbt", description=__doc__)
    parser.add_argument(
        "step",
        choices=[*STEPS, "docs"],
        help="a layer; `build`: the whole project; `models`: the same without tests; `unit-tests`: the rules; `docs`: its pages",
    )
    parser.add_argument("--target", choices=TARGETS, default="bigquery", help="where it is built (default: bigquery)")
    parser.add_argument("--full-refresh", action="store_true", help="rebuild incremental models from raw")
    parser.add_argument(
        "--marts-dataset",
        default="marts",
        metavar="DATASET",
        help="where the marts are built and judged (default: marts, which readers see; the DAG's: marts_next, see stack/publish.py)",
    )
    parser.add_argument("--select", nargs="+", default=[], metavar="NODES", help="only these nodes of the project")
    arguments = parser.parse_args()
    if arguments.select and (arguments.target == "spark" or arguments.step == "docs"):
        parser.error("--select is for the steps on BigQuery")
    if arguments.target == "spark" and arguments.step != "build":
        parser.error("the target spark builds the whole project at once: `build --target spark`")
    current = settings.for_command()
    if arguments.target == "spark":
        return _open_and_run_on_spark(current, arguments.full_refresh)
    if arguments.step == "docs":
        try:
            print(write_docs(current))
        except RuntimeError as error:
            print(f"error: {failures.one_line(error)}", file=sys.stderr)
            return 1
        return 0
    return run(
        current,
        arguments.step,
        arguments.full_refresh,
        marts_dataset=arguments.marts_dataset,
        select=arguments.select,
    )


if __name__ == "__main__":
    sys.exit(main())
