"""`make compose-test`: the stack of docker-compose.yml built, started, used as a user uses it, compared with the embedded one, and taken down.

The tests are the steps of one story and run in order on one deployment. They are no part of `make test`, which has `test_compose_file.py`: an engine is needed
and a quarter of an hour. The report says which base images were stand-ins, what took how long, and how much memory each service took.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from stack import airflow
from tests.compose import base_images
from tests.compose.deployment import COMPOSE_FILE, Containers, Memory
from tests.compose.engine import Engine, found_or_started
from tests.content import Content, content, differences
from tests.e2e import traps
from tests.e2e.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SCALE = "0.05"
# They end when they have done their work.
ONCE = {"prepare", "airflow-migrate"}


class Report:
    """What is printed at the end."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lines: list[str] = []
        self.steps: list[str] = []

    @contextmanager
    def timed(self, step: str, memory: Memory | None = None) -> Iterator[None]:
        """Time the body, and tell what the containers used together while it ran."""
        started = time.monotonic()
        if memory:
            memory.highest = 0.0
        yield
        used = f" {memory.highest:.0f} MiB" if memory else ""
        self.steps.append(f"{step} {time.monotonic() - started:.0f} s{used}")
        print(f"  {self.steps[-1]}", flush=True)


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    print("\n" + "\n".join(made.lines))
    print("steps: " + " · ".join(made.steps))


@pytest.fixture(scope="module")
def engine(report: Report) -> Iterator[Engine]:
    with found_or_started() as running:
        version = running.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
        whose = "started for this test" if running.is_own else "which was there"
        report.lines.append(f"engine: Docker {version}, {whose}; {' '.join(running.compose)}")
        yield running


@pytest.fixture(scope="module")
def containers(engine: Engine, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with report.timed("base images"):
        for name, origin in base_images.require(engine).items():
            report.lines.append(f"base image {name}: {origin}")
            print(report.lines[-1], flush=True)
    made = Containers(tmp_path_factory.mktemp("containers") / "local", engine=engine)
    made.down()
    try:
        with report.timed("build"):
            made.compose("build", "bigquery", "airbyte", "airflow", timeout=3000)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def memory(containers: Containers, report: Report) -> Iterator[Memory]:
    with Memory(containers) as sampled:
        yield sampled
    peaks = ", ".join(
        f"{service} {peak:.0f}" for service, peak in sorted(sampled.peaks.items(), key=lambda item: -item[1])
    )
    report.lines.append(f"memory, MiB: together at most {sampled.total:.0f}; each at most: {peaks}")


@pytest.fixture(scope="module")
def story() -> dict[str, Content]:
    """The content of the warehouse after the steps."""
    return {}


def start(containers: Containers) -> None:
    containers.compose("up", "--detach", "--no-build", timeout=900)
    containers.wait_until_healthy(300)


def demo(containers: Containers, engine: str) -> str:
    done = containers.run("stack", "demo", "--scale", SCALE, "--engine", engine)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    assert "DIFFERENT" not in done.stdout
    assert shown(containers, done.stdout + done.stderr) == []
    print(done.stdout[done.stdout.index("\nseconds\n") :].split("\n\n")[0], flush=True)
    return done.stdout


def shown(containers: Containers, text: str) -> list[str]:
    """The secrets that a text shows, by their first letters."""
    return [f"{secret[:3]}…" for secret in containers.secrets if secret in text]


def demand_that_traps_are_found_exactly(containers: Containers) -> None:
    compared = traps.compare(containers.settings, containers.ledger())
    assert [str(trap) for trap in compared if not trap.is_exact] == []


def test_one_command_brings_every_service_up_healthy(containers: Containers, memory: Memory, report: Report) -> None:
    with report.timed("up", memory):
        start(containers)
    described = yaml.safe_load(COMPOSE_FILE.read_text())["services"].keys() - {"pipeline"}
    assert containers.states() == {name: "done" if name in ONCE else "healthy" for name in described}


def test_what_runs_is_confined(containers: Containers) -> None:
    for name, container in containers.inspect().items():
        host = container["HostConfig"]
        assert container["Config"]["User"] in ("postgres", "10001:10001"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"] > 0, name
        published = [place["HostIp"] for places in (host["PortBindings"] or {}).values() for place in places]
        assert set(published) <= {"127.0.0.1"}, name


def test_the_page_says_that_there_is_nothing_to_show_yet(containers: Containers) -> None:
    assert "No marts to show yet" in page(containers, "")


def page(containers: Containers, path: str) -> str:
    url = f"http://127.0.0.1:{containers.variables['DASHBOARD_PORT']}/{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def test_a_fresh_demo_by_the_spark_cluster_finds_exactly_what_was_planted(
    containers: Containers, memory: Memory, story: dict[str, Content], report: Report
) -> None:
    with report.timed("demo by Spark", memory):
        printed = demo(containers, "spark")
    assert "engine        spark: asked for by the run's parameter" in printed
    assert "fell back" not in printed
    demand_that_traps_are_found_exactly(containers)
    story["fresh"] = content(containers.settings)
    assert len(story["fresh"]) >= 12


def test_both_workers_did_the_work(containers: Containers) -> None:
    api = airflow.Api(containers.settings)
    said = "\n".join(api.log(airflow.DAG_ID, last_run(containers), "heavy_spark", 1))
    assert "session on spark://spark-master:7077" in said
    for worker in ("spark-worker-1", "spark-worker-2"):
        logged = containers.compose("logs", "--no-color", worker).stdout
        assert "Asked to launch executor" in logged, worker


def started(containers: Containers) -> dict[str, str]:
    return {name: container["State"]["StartedAt"] for name, container in containers.inspect().items()}


def test_kill_9_of_every_service_loses_no_row(
    containers: Containers, memory: Memory, story: dict[str, Content], report: Report
) -> None:
    before = started(containers)
    containers.compose("kill", "-s", "SIGKILL")
    with report.timed("up again", memory):
        start(containers)
    assert {name for name, at in started(containers).items() if at == before[name]} == set()
    assert differences(story["fresh"], content(containers.settings)) == {}


def test_what_a_day_changed_is_found_and_seen_on_the_page(
    containers: Containers, memory: Memory, story: dict[str, Content], report: Report
) -> None:
    """By dbt, the choice for so few rows, from what Spark wrote before the kill."""
    day = containers.run("source.day")
    assert day.returncode == 0, day.stderr
    with report.timed("demo after a day, by dbt", memory):
        assert "engine        dbt: " in demo(containers, "auto")
    demand_that_traps_are_found_exactly(containers)
    changed = differences(story["fresh"], content(containers.settings))["marts.fct_orders"]
    assert changed["only right"]
    assert traps.orders_of(changed["only left"] + changed["only right"]) <= traps.touched_orders(containers.ledger())
    deadline = time.monotonic() + 300
    while last_run(containers) not in page(containers, "data/quality.json"):
        assert time.monotonic() < deadline, "the page was not built anew"
        time.sleep(1)


def last_run(containers: Containers) -> str:
    return airflow.Api(containers.settings).active_runs(airflow.DAG_ID, "success")[-1]


def test_no_secret_is_in_a_log(containers: Containers) -> None:
    logged = containers.compose("logs", "--no-color").stdout
    assert len(logged.splitlines()) > 50
    assert shown(containers, logged) == []


def test_nothing_ran_out_of_memory(containers: Containers, memory: Memory) -> None:
    known = containers.inspect()
    assert [name for name, container in known.items() if container["State"]["OOMKilled"]] == []
    running = known.keys() - ONCE
    assert sum(known[name]["HostConfig"]["Memory"] for name in running) <= 8 * 2**30
    assert memory.peaks.keys() >= running


def test_the_rows_are_those_of_the_embedded_stack(
    containers: Containers, story: dict[str, Content], report: Report, tmp_path: Path
) -> None:
    """The same seed and scale on the embedded stack, by the other engine."""
    # Their content is read; what they would take of the machine is not wanted.
    containers.compose("kill")
    embedded = Deployment(tmp_path / "embedded")
    try:
        with report.timed("embedded demo by dbt"):
            embedded.demo("--scale", SCALE, "--engine", "dbt")
        own = content(embedded.settings)
    finally:
        embedded.run("stack", "clean-data")
    assert sum(map(len, own.values())) > 10_000
    assert differences(own, story["fresh"]) == {}
    marts = {name: len(rows) for name, rows in own.items() if name.startswith("marts.")}
    report.lines.append(
        f"equal to the embedded stack's: {sum(marts.values()):,} rows in {len(marts)} marts, and intermediate"
    )


def test_nothing_is_left(containers: Containers) -> None:
    assert containers.leftovers()
    containers.down()
    assert containers.leftovers() == []
