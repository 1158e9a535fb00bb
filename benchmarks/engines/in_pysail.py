"""The three heavy jobs in Sail, a Spark Connect server in Rust: the jobs' own functions, through PySpark's client, to a server in this process."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from benchmarks.memory import size_in_bytes


class PySail:
    """A server on a free loopback port and a client of it. `memory` is its memory pool: it spills beyond it, and fails where it cannot."""

    limit = "memory pool (fair)"

    def __init__(self, memory: str | None, spill: Path) -> None:
        """Sail reads its settings from the environment when it is imported."""
        # The port has plain HTTP/2 behind it; nothing of the client may go by way of a proxy.
        os.environ |= {"SAIL_RUNTIME__TEMPORARY_FILES__PATHS": f'["{spill}"]', "NO_PROXY": "127.0.0.1"}
        if memory:
            os.environ |= {
                "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
                "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(size_in_bytes(memory)),
            }

    def __enter__(self) -> PySail:
        """Start the server and connect."""
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self._server = SparkConnectServer("127.0.0.1", 0)
        self._server.start(background=True)
        address = self._server.listening_address
        self._spark = SparkSession.builder.remote(f"sc://127.0.0.1:{address[1]}").getOrCreate()
        self._spark.conf.set("spark.sql.session.timeZone", "UTC")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both."""
        self._spark.stop()
        self._server.stop()

    def run(self, job: str, inputs: Path, outputs: Path) -> None:
        """Do the job."""
        from benchmarks.engines.in_spark import ParquetTables, write
        from benchmarks.spark_forms import JOBS

        write(JOBS[job]["ours"](ParquetTables(self._spark, inputs)), outputs)

    @staticmethod
    def versions() -> dict[str, str]:
        """What ran."""
        return {"pysail": version("pysail"), "pyspark": version("pyspark")}
