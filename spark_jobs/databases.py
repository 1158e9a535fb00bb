"""The Spark databases of dbt's target `spark`: one a BigQuery dataset, with its tables in a folder of the lake."""

from __future__ import annotations

from spark_jobs.lake import Lake
from stack.settings import DATASETS


def folder(database: str) -> str:
    """Where the database's tables are under LAKE_URI. The jobs' own mirrors and results are elsewhere: they hold fewer columns."""
    return f"dbt/{database}"


def register(lake: Lake) -> None:
    """Make the databases known to the lake's session, each with the tables that its folder holds.

    The lake is its own catalog, so there is no metastore that could be locked, lost or disagree with it. A table that is
    registered is dropped by name only; its files stay until it is made anew.
    """
    for database in DATASETS:
        lake.spark.sql(f"create database if not exists `{database}` location '{lake.uri(folder(database))}'")
        for name in lake.names(folder(database)):
            location = lake.uri(f"{folder(database)}/{name}")
            lake.spark.sql(f"create table if not exists `{database}`.`{name}` using delta location '{location}'")
