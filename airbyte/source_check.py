"""`python -m airbyte.source_check`: whether the pipeline can work on the source, before anything is started or copied for it."""

from __future__ import annotations

import argparse
import sys

import psycopg
from psycopg import sql

from airbyte.connections.description import Description, load
from airbyte.connections.source import source_configuration
from airbyte.connectors.protocol import ConfigError, TransientError
from airbyte.connectors.source_postgres import catalog
from airbyte.connectors.source_postgres.connection import connect, schemas
from stack import settings
from stack.failures import one_line
from stack.settings import Settings


def problem(current: Settings, description: Description) -> str | None:
    """Why the pipeline cannot work on the source: unreachable, refused, a table or column missing, no row at all. None when it can."""
    try:
        configuration = source_configuration(current, description)
        with connect(configuration) as connection:
            streams = catalog.streams(connection, schemas(configuration))
            found = {stream["name"]: set(stream["json_schema"]["properties"]) for stream in streams}
            return description.lacking(found) or _empty(connection, description)
    except (ConfigError, TransientError, psycopg.Error) as error:
        return one_line(error)


def _empty(connection: psycopg.Connection[tuple[bool]], description: Description) -> str | None:
    """One row anywhere is enough: a young marketplace may have users and no order yet."""
    tables = sql.SQL(" union all ").join(
        sql.SQL("(select true from {} limit 1)").format(sql.Identifier(description.schema, stream.name))
        for stream in description.streams
    )
    if connection.execute(tables).fetchone() is None:
        return "the source is empty: none of its tables has a row"
    return None


def main() -> int:
    """The command line. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m airbyte.source_check", description=__doc__).parse_args()
    found = problem(settings.for_command(), load())
    if found:
        print(f"error: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
