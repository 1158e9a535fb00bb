"""A warehouse without a table, for the stories that dbt plays in it."""

from __future__ import annotations

import pytest

from stack import bigquery
from stack.settings import DATASETS, Settings


@pytest.fixture(scope="module")
def empty_warehouse(emulator: Settings) -> Settings:
    """The session's warehouse with nothing left of the file of tests before: a snapshot, a heavy table, a memory would be part of the story."""
    bq = bigquery.client(emulator)
    for name in DATASETS:
        bq.delete_dataset(name, delete_contents=True, not_found_ok=True)
    bigquery.create_datasets(bq, emulator.bigquery_location)
    return emulator
