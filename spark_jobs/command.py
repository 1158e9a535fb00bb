"""The command line of every job: arguments, session, metrics, and the reason as the last line when it fails."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_jobs.errors import JobError, TryAgain
from spark_jobs.incremental import Run
from spark_jobs.lake import Lake
from spark_jobs.progress import Progress
from spark_jobs.session import open_session
from spark_jobs.warehouse import Warehouse
from stack import settings as stack_settings
from stack.failures import FINAL
from stack.settings import Settings


def main(
    name: str, description: str | None, steps: Sequence[Callable[[Run], None]], argv: Sequence[str] | None = None
) -> int:
    """Run `steps` in one session. Returns the exit status: 0, or, with the reason as the last line on stderr, FINAL where another try would
    fail the same way, else 1.
    """
    parser = argparse.ArgumentParser(prog=f"spark-submit spark_jobs/{name}.py", description=description)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--incremental", action="store_true", help="only what changed since the last run (the default)")
    mode.add_argument("--full-refresh", action="store_true", help="read raw anew, rebuild, and publish the difference")
    parser.add_argument("--lake-uri", help="where the Delta tables are, instead of LAKE_URI: file, gs or s3a")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write rows and seconds per table as JSON")
    arguments = parser.parse_args(argv)

    settings, progress = stack_settings.for_command(), Progress()
    try:
        warehouse = Warehouse(settings)
        warehouse.check()
        with session_for(settings, name) as spark:
            progress.say(f"{name}: Spark {spark.version} session on {spark.sparkContext.master}")
            with Lake(spark, arguments.lake_uri or settings.lake_uri) as lake:
                Run(lake, warehouse, progress, arguments.full_refresh).carry_out(steps)
    except Exception as error:
        return fail(f"{name}: failed", error, settings)
    finally:
        if arguments.metrics:
            progress.write(arguments.metrics, name)
    progress.say(f"{name}: done")
    return 0


@contextmanager
def session_for(settings: Settings, name: str) -> Iterator[SparkSession]:
    """A session of the program's own, which ends with the block."""
    spark = open_session(settings, name)
    try:
        yield spark
    finally:
        spark.stop()


def fail(said: str, error: Exception, settings: Settings) -> int:
    """Print `said` and the reason as the last line on stderr; before it the traceback, where nobody foresaw the error.

    Returns the exit status: FINAL where another try would fail the same way, else 1.
    """
    if not isinstance(error, JobError | RetryError | requests.ConnectionError | GoogleAuthError):
        traceback.print_exception(error)
    print(f"{said}: {reason(error, settings.bigquery_endpoint)}", file=sys.stderr, flush=True)
    return FINAL if isinstance(error, JobError) and not isinstance(error, TryAgain) else 1


def reason(error: Exception, endpoint: str) -> str:
    """One line that says what went wrong, and what to do where that is known."""
    if isinstance(error, RetryError | requests.ConnectionError):
        where = endpoint or "BigQuery"
        return f"the warehouse at {where} does not answer: start it, or correct BIGQUERY_ENDPOINT"
    if isinstance(error, GoogleAuthError):
        return f"no credentials for BigQuery ({_line(error)}): set GOOGLE_APPLICATION_CREDENTIALS"
    if isinstance(error, GoogleAPICallError):
        return f"the warehouse refused: {_line(error)}"
    if isinstance(error, PySparkException):
        hint = "; if the lake is damaged, --full-refresh rebuilds it" if "DELTA_" in _line(error) else ""
        return f"Spark: {_line(error)}{hint}"
    if isinstance(error, Py4JJavaError):
        return f"Spark: {str(error.java_exception.toString()).splitlines()[0]}"
    return _line(error)


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
