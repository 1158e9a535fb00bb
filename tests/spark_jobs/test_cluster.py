"""The same submit on a standalone cluster: a master and two workers, each a process of its own, one of which is lost while the jobs run.

Every command is the one of docs/how-to/spark-cluster.md, with this machine's address, ports and sizes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_jobs.heavy_steps import STEPS
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.warehouse import Warehouse
from stack import bigquery
from stack.processes import free_port
from stack.settings import ROOT, Settings
from tests.content import content, differences
from tests.dbt import raw_tables, scenario
from tests.e2e.deployment import SHORT_LIVED_JVM
from tests.pages import blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WORKERS = 2


def environment() -> dict[str, str]:
    """Loopback, and the environment's own spark-class and spark-submit on the path, as for a reader of the page."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    # The executors', too: five JVMs on whatever cores there are.
    return os.environ | {"PATH": path, "SPARK_LOCAL_IP": "127.0.0.1", "JDK_JAVA_OPTIONS": SHORT_LIVED_JVM}


def documented(replaced: dict[str, str]) -> list[str]:
    """The commands of the page's standalone section: start a master, start a worker, submit."""
    commands = [block.text.strip() for block in blocks("how-to/spark-cluster.md") if block.section == "Standalone"]
    for text, meaning in replaced.items():
        commands = [command.replace(text, meaning) for command in commands]
    return commands


class Cluster:
    """A master and its workers on loopback."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where the workers keep their applications and everybody logs."""
        self._folder = folder
        self._env = environment() | {"SPARK_WORKER_DIR": str(folder / "work"), "SPARK_WORKER_WEBUI_PORT": "0"}
        self.address = f"spark://127.0.0.1:{free_port()}"
        port = self.address.rsplit(":", 1)[1]
        here = {"spark-master:7077": f"127.0.0.1:{port}", "spark-master": "127.0.0.1", "7077": port, "8081": "0"}
        start_master, start_worker, self.submit = documented(here | {"--cores 4 --memory 8g": "--cores 1 --memory 1g"})
        self._master = self._start("master", start_master)
        self._until("master", r"New state: ALIVE", 1)
        self.workers = [self._start("worker", f"{start_worker} --host 127.0.0.1") for _ in range(WORKERS)]
        self._until("master", r"Registering worker", WORKERS)

    def _start(self, service: str, command: str) -> subprocess.Popen[bytes]:
        log = self._folder / f"{service}.log"
        return subprocess.Popen(
            ["/bin/bash", "-c", f"exec {command}"],
            stdout=subprocess.DEVNULL,
            stderr=log.open("ab"),
            env=self._env,
            start_new_session=True,
        )

    def _until(self, service: str, line: str, times: int) -> None:
        log, deadline = self._folder / f"{service}.log", time.monotonic() + 300
        while len(re.findall(line, log.read_text())) < times:
            assert time.monotonic() < deadline, f"{service} is not up:\n{log.read_text()[-2000:]}"
            time.sleep(0.2)

    def lose_a_worker(self) -> None:
        """kill -9 of a worker with its executor."""
        worker = self.workers.pop()
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        """End every process."""
        for process in (*self.workers, self._master):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two workers of one core each."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


def test_a_cluster_that_loses_a_worker_publishes_what_one_machine_does(
    empty_warehouse: Settings, spark: SparkSession, cluster: Cluster, tmp_path: Path
) -> None:
    raw_tables.replace(bigquery.client(empty_warehouse), scenario.first_sync())

    # spark-submit sends all that a Python program says to stdout.
    submit = (
        cluster.submit.replace("4g", "700m")
        .replace("=24", "=4")
        .replace("file:///mnt/lake", (tmp_path / "cluster").as_uri())
    )
    process = subprocess.Popen(
        ["/bin/bash", "-c", submit],
        cwd=ROOT,
        env=environment() | empty_warehouse.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("int_payments_deduplicated") and len(cluster.workers) == WORKERS:
            cluster.lose_a_worker()
    assert process.wait() == 0, said[-2000:]
    assert f"session on {cluster.address}" in said
    assert len(cluster.workers) == WORKERS - 1
    by_cluster = content(empty_warehouse, ("intermediate",), with_landing=True)
    assert all(by_cluster.values())

    with Lake(spark, (tmp_path / "alone").as_uri()) as lake:
        Run(lake, Warehouse(empty_warehouse), Progress(), full_refresh=True).carry_out(STEPS)
    assert differences(by_cluster, content(empty_warehouse, ("intermediate",), with_landing=True)) == {}
