"""The whole pipeline as a user runs it: both engines, repeated, and after business days.

The tests of this module are the steps of one story and run in order on one deployment. The documentation's pages are part of it: what they tell
the reader to do is what is done here (tests/pages.py), and at the end no block of them is left.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from stack import airflow, bigquery, lineage
from stack import ledger as run_ledger
from stack.__main__ import SERVICES
from stack.settings import ROOT
from tests.content import Content, content, differences
from tests.e2e import traps
from tests.e2e.deployment import Deployment
from tests.e2e.saboteur import PROGRAMS, Saboteur
from tests.pages import DOCS, Player, blocks, checkout, sections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
SCALE = "0.05"
# The blocks of the pages that other files of tests play, by the heading above them.
YOUR_POSTGRES = "how-to/your-postgres.md"
PLAYED_ELSEWHERE = {("how-to/spark-cluster.md", "Standalone")} | {
    (YOUR_POSTGRES, name) for name in sections(YOUR_POSTGRES)
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    made = Deployment(tmp_path_factory.mktemp("pipeline"))
    yield made
    made.run("stack", "clean-data")


@pytest.fixture(scope="module")
def story() -> dict[str, Content]:
    """What the steps hand on: the content of the warehouse after each of them."""
    return {}


@pytest.fixture(scope="module")
def tutorial(deployment: Deployment) -> Player:
    """Plays pages in this checkout."""
    return Player(deployment)


@pytest.fixture(scope="module")
def copy(deployment: Deployment, tutorial: Player, tmp_path_factory: pytest.TempPathFactory) -> Player:
    """Plays pages that change files, in one copy of the checkout: they build on what stands there, as a reader's would."""
    return Player(deployment, checkout(tmp_path_factory.mktemp("checkout")), played=tutorial.played)


def ledger(deployment: Deployment) -> dict:
    return json.loads((deployment.local_dir / "source" / "ledger.json").read_text())


def test_a_fresh_demo_by_the_tutorials_commands_finds_exactly_what_was_planted(
    deployment: Deployment, tutorial: Player, story: dict[str, Content]
) -> None:
    tutorial.play("tutorial.md", "Is everything there?")
    printed = tutorial.play("tutorial.md", "Run the pipeline")
    assert "engine        dbt: 12,500 rows pending, fewer than the threshold" in printed
    assert "DIFFERENT" not in printed
    counted = {
        name: int(n.replace(",", "")) for name, n, _ in re.findall(r"^  (\w+) +([\d,]+) +([\d,]+)$", printed, re.M)
    }
    planted = {trap: value["count"] for trap, value in ledger(deployment)["traps"].items()}
    assert len(counted) >= 23
    assert counted == {trap: planted[trap] for trap in counted}
    story["fresh"] = content(deployment.settings)
    assert len(story["fresh"]) >= 12


def sales_categories(address: str) -> set[str]:
    """The top-level categories that the served page has, as a browser would get them."""
    with urllib.request.urlopen(f"{address}/data/sales.json", timeout=10) as answer:
        return {row["category"] for row in json.load(answer)["monthly"]["merchandise"]}


def test_the_dashboard_shows_the_sources_names(tutorial: Player) -> None:
    shown: list[set[str]] = []
    tutorial.play("tutorial.md", "Look at it", serving=lambda address: shown.append(sales_categories(address)))
    assert {"Books", "Toys"} <= shown[0]


# Traps that only a business day sets.
OF_THE_DAYS = {"deleted_rows", "late_committed_orders"}


def demand_that_traps_are_found_exactly(deployment: Deployment) -> list[traps.Trap]:
    """Print a table, and fail on a trap of which a planted row is not found or another one is."""
    compared = traps.compare(deployment.settings, ledger(deployment))
    print(f"\n{traps.table(compared)}")
    assert [str(trap) for trap in compared if not trap.is_exact] == []
    return compared


def test_every_trap_is_found_with_precision_and_recall_1(deployment: Deployment) -> None:
    compared = demand_that_traps_are_found_exactly(deployment)
    assert {trap.name for trap in compared if not trap.planted} == OF_THE_DAYS


def processes(deployment: Deployment) -> list[psutil.Process]:
    """Every process of the running stack."""
    found = []
    for service in SERVICES.values():
        running = service.process(deployment.settings).running()
        assert running is not None
        found += [running, *running.children(recursive=True)]
    return found


def test_nothing_listens_but_on_loopback(deployment: Deployment) -> None:
    ours = {process.pid for process in processes(deployment)}
    listening = {
        (end.laddr.ip, end.laddr.port)
        for end in psutil.net_connections("inet")
        if end.status == psutil.CONN_LISTEN and end.pid in ours
    }
    assert len(listening) >= len(SERVICES)
    assert {ip.removeprefix("::ffff:") for ip, _ in listening} == {"127.0.0.1"}, listening


def test_kill_9_of_the_whole_stack_loses_no_row(deployment: Deployment, story: dict[str, Content]) -> None:
    for process in processes(deployment):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    started = deployment.run("stack", "up")
    assert started.returncode == 0, started.stdout + started.stderr
    assert differences(story["fresh"], content(deployment.settings)) == {}


def test_nothing_is_pending_after_a_run(deployment: Deployment) -> None:
    bq = bigquery.client(deployment.settings)
    pending = bigquery.query(bq, "select sum(pending_rows) as n from ops.pending_rows")[0]["n"]
    assert pending == 0


def test_after_a_changed_row_and_a_day_spark_changes_only_what_they_touched(
    deployment: Deployment, tutorial: Player, story: dict[str, Content]
) -> None:
    """The tutorial's commands, but for the engine, which the volume would not ask for."""
    printed = tutorial.play("tutorial.md", "Change a row", ENGINE="spark")
    assert "engine        spark: asked for by the run's parameter" in printed
    story["day 1"] = content(deployment.settings)
    changed = differences(story["fresh"], story["day 1"])
    assert "marts.fct_orders" in changed
    orders = changed["marts.fct_orders"]
    assert orders["only right"]
    assert traps.orders_of(orders["only left"] + orders["only right"]) <= traps.touched_orders(ledger(deployment))
    compared = demand_that_traps_are_found_exactly(deployment)
    assert [trap.name for trap in compared if not trap.planted] == []


def test_the_lineage_of_a_mart_goes_through_the_lake_to_the_source(deployment: Deployment) -> None:
    made = lineage.recorded(deployment.local_dir)
    upstream = "\n".join(lineage.tree(made, "marts.fct_orders", upstream=True))
    for step in (
        r"marts\.fct_orders  \[publish\.fct_orders, ",
        r"  marts_next\.fct_orders  \[dbt\.fct_orders, ",
        r"  intermediate\.int_orders_usd  \[spark\.currency_normalization\.published\.int_orders_usd, ",
        r"  file:/.*/lake/raw/orders  \[spark\.currency_normalization\.read\.raw\.orders, ",
        r"  raw\.orders  \[airbyte\..*\.orders, ",
        r"  raw\.ecb_fx_rates  \[airbyte\.ecb_fx_rates, ",
        r"  postgres://127\.0\.0\.1:\d+/marketplace\.public\.orders$",
    ):
        assert re.search(step, upstream, re.MULTILINE), f"{step} is not in\n{upstream}"


def test_the_dashboard_shows_the_changed_row(tutorial: Player) -> None:
    shown: list[set[str]] = []
    tutorial.play("tutorial.md", "See the change", serving=lambda address: shown.append(sales_categories(address)))
    assert "Books and Maps" in shown[0]
    assert "Books" not in shown[0]
    tutorial.play("tutorial.md", "What the run did")


def kill_spark(deployment: Deployment, into_the_step: float) -> None:
    """Kill -9 the driver's JVM once it has worked for so many seconds."""
    airflow_process = SERVICES["airflow"].process(deployment.settings).running()
    assert airflow_process is not None
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in airflow_process.children(recursive=True):
                if child.name() == "java" and time.time() - child.create_time() > into_the_step:
                    child.kill()
                    return
        time.sleep(0.5)


def test_after_a_second_day_every_program_is_killed_once_and_dbt_does_sparks_step_from_what_spark_wrote_the_day_before(
    deployment: Deployment, story: dict[str, Content]
) -> None:
    """Each is tried again, but for Spark, for which the other engine steps in: it costs a try each and no row."""
    day = deployment.run("source.day", "--ledger", str(deployment.local_dir / "source" / "ledger.json"))
    assert day.returncode == 0, day.stderr
    killer = threading.Thread(target=kill_spark, args=(deployment, 15.0))
    killer.start()
    kills = dict.fromkeys(PROGRAMS.keys() - {"heavy_dbt"}, 1)
    with Saboteur(deployment, kills) as sabotage:
        printed = deployment.demo("--scale", SCALE, "--engine", "spark")
    killer.join()
    assert sabotage.done == kills
    api = airflow.Api(deployment.settings)
    tasks = api.tasks(airflow.DAG_ID, api.active_runs(airflow.DAG_ID, "success")[-1])
    assert {task["task_id"]: task["try_number"] for task in tasks if task["task_id"] in kills} == dict.fromkeys(
        kills, 2
    )
    assert "fell back to dbt: spark failed, killed" in printed
    story["day 2"] = content(deployment.settings)
    assert differences(story["day 1"], story["day 2"])
    demand_that_traps_are_found_exactly(deployment)


def test_the_decision_and_the_fall_back_are_in_the_ledger_and_in_the_notes(deployment: Deployment) -> None:
    api = airflow.Api(deployment.settings)
    run_id = api.active_runs(airflow.DAG_ID, "success")[-1]
    notes = {task["task_id"]: task["note"] for task in api.tasks(airflow.DAG_ID, run_id)}
    assert notes["decide_engine"].startswith("spark: asked for by the run's parameter (")
    assert re.search(r"\(expected: dbt \d+ s, spark \d+ s\)$", notes["decide_engine"])
    assert notes["fall_back"] == "fell back to dbt: spark failed, killed"
    entries = {entry["step"]: entry for entry in run_ledger.of_run(deployment.settings, run_id)}
    assert entries["decide_engine"]["reason"] == notes["decide_engine"]
    assert (entries["heavy_spark"]["status"], entries["heavy_spark"]["engine"]) == ("engine failed", "spark")
    assert (entries["fall_back_dbt"]["status"], entries["fall_back_dbt"]["engine"]) == ("success", "dbt")
    assert entries["intermediate_gate"]["engine"] == "dbt"


def test_audit_and_maintenance_work_beside_what_is_published(deployment: Deployment, story: dict[str, Content]) -> None:
    api = airflow.Api(deployment.settings)
    runs = {}
    for dag_id in ("marketplace_parity_audit", "marketplace_maintenance"):
        api.wait_for_dag(dag_id)
        runs[dag_id] = api.trigger(dag_id, {})
    deadline = time.monotonic() + 2000
    while (states := {api.run(*run)["state"] for run in runs.items()}) & {"queued", "running"}:
        assert time.monotonic() < deadline, [api.tasks(*run) for run in runs.items()]
        time.sleep(1)
    assert states == {"success"}, [api.tasks(*run) for run in runs.items()]
    bq = bigquery.client(deployment.settings)
    audited = bigquery.query(bq, "select * from ops.parity_audit")
    assert len(audited) == 5
    assert all(row["dbt_rows"] == row["spark_rows"] > 0 for row in audited)
    assert all(row["only_dbt"] == row["only_spark"] == 0 for row in audited)
    assert not [found.dataset_id for found in bq.list_datasets() if found.dataset_id.startswith("audit")]
    assert differences(content(deployment.settings), story["day 2"]) == {}
    said = run_ledger.of_run(deployment.settings, runs["marketplace_maintenance"])
    assert {entry["step"]: entry["status"] for entry in said} == dict.fromkeys(
        ("pipeline_rests", "compact_lake", "sweep_deletions", "erase_on_request", "forget_old_runs"), "success"
    )


def runbook(language: str) -> list[str]:
    """The runbook's blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "runbook.md").read_text(), re.DOTALL)


def test_every_query_of_the_runbook_runs(deployment: Deployment) -> None:
    bq = bigquery.client(deployment.settings)
    found = [bigquery.query(bq, sql) for sql in runbook("sql")]
    assert len(found) >= 10
    # Only what a run without late orders or missing rates has not.
    assert sum(not rows for rows in found) <= 1


def test_every_command_of_the_runbook_runs(deployment: Deployment) -> None:
    lines = [line for block in runbook("sh") for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        command = line.replace("python ", f"{sys.executable} ").replace(".local", str(deployment.local_dir))
        done = subprocess.run(
            ["/bin/bash", "-c", command], cwd=ROOT, env=deployment.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def runs_as_the_runbook_says(deployment: Deployment, command: str) -> int:
    """Run one of the runbook's own commands, word by word. Returns its exit status."""
    assert command in [line for block in runbook("text") for line in block.splitlines()]
    program, *arguments = shlex.split(command.removeprefix("python -m "))
    return deployment.run(program, *arguments).returncode


def alerts(deployment: Deployment) -> list[dict]:
    path = deployment.local_dir / "alerts.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_the_runbook_restores_is_what_was_lost_although_a_sync_failed_on_the_way(
    deployment: Deployment, story: dict[str, Content]
) -> None:
    """Tables of two layers, the lake being lost as well. The failure is one alert that names its cause, and changes nothing for the readers."""
    bq = bigquery.client(deployment.settings)
    for table in ("intermediate.int_orders_usd", "intermediate.int_seller_tier_scd2"):
        bigquery.query(bq, f"drop table {table}")
    shutil.rmtree(deployment.local_dir / "lake")
    heard, seen = len(alerts(deployment)), content(deployment.settings, ("marts",))
    change = "alter table reviews alter column rating type {}"
    with psycopg.connect(deployment.settings.admin_dsn) as owner:
        owner.execute(change.format("numeric(3, 1)"))
    refresh = """python -m stack.airflow trigger marketplace_elt_pipeline --conf '{"full_refresh": true}'"""
    assert runs_as_the_runbook_says(deployment, refresh) == 1
    [alert] = alerts(deployment)[heard:]
    assert (alert["task"], alert["runbook"]) == ("sync.wait", "docs/runbook.md#a-sync-failed")
    assert "stream reviews: column rating is INTEGER in" in alert["reason"]
    assert differences(content(deployment.settings, ("marts",)), seen) == {}
    with psycopg.connect(deployment.settings.admin_dsn) as owner:
        owner.execute(change.format("integer"))
    bigquery.query(bq, "drop table marts.fct_orders")
    again = "python -m stack.airflow clear marketplace_elt_pipeline sync.find_connection"
    assert runs_as_the_runbook_says(deployment, again) == 0
    assert differences(content(deployment.settings), story["day 2"]) == {}


# --- the pages --------------------------------------------------------------------------------------------------------------------------

# Pages that change nothing that another one shows, first; each in its own order.
READ = (
    "dashboard.md",
    "engine-choice.md",
    "discussion/monitoring.md",
    "how-to/bigquery.md",
    "how-to/airbyte.md",
    "how-to/spark-cluster.md",
    "how-to/erase-a-person.md",
    "how-to/lineage.md",
)
CHANGED = (
    "how-to/add-a-mart.md",
    "how-to/add-a-table.md",
    "discussion/schema-evolution.md",
    "how-to/add-a-column.md",
    "discussion/incident-duplicate-orders.md",
)


@pytest.mark.parametrize("page", READ)
def test_a_page_of_questions_does_what_it_says(tutorial: Player, page: str) -> None:
    for section in sections(page):
        if (page, section) not in PLAYED_ELSEWHERE:
            tutorial.play(page, section, serving=sales_categories)


@pytest.mark.parametrize("page", CHANGED)
def test_a_page_of_changes_does_what_it_says(copy: Player, page: str) -> None:
    for section in sections(page):
        copy.play(page, section)


def test_no_block_of_the_pages_was_left_out(tutorial: Player) -> None:
    folders = [DOCS / "how-to", DOCS / "discussion"]
    pages = [path.relative_to(DOCS).as_posix() for folder in folders for path in sorted(folder.glob("*.md"))]
    pages += ["tutorial.md", "dashboard.md", "engine-choice.md"]
    left = [block for page in pages for block in blocks(page) if block not in tutorial.played]
    assert [str(block) for block in left if (block.page, block.section) not in PLAYED_ELSEWHERE] == []
