"""The tests' source database, emptied between files that fill it in their own way."""

from __future__ import annotations

import psycopg

from stack import postgres as postgres_service
from stack.settings import Settings


def emptied(settings: Settings) -> None:
    """Drop everything in the source. The server outlives the test, so the reader's grants, which went with the schema, are given again."""
    with psycopg.connect(settings.admin_dsn) as connection:
        connection.execute(
            "drop schema if exists source_admin cascade; drop schema public cascade; create schema public"
        )
    postgres_service.grant_reader(settings)
