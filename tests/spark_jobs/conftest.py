"""One small Spark session for the folder, and tables small enough to see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from spark_jobs.session import open_session
from stack.settings import Settings


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    session = open_session(settings, "tests", shuffle_partitions=2)
    yield session
    session.stop()
