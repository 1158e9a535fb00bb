"""The configuration of the source and the connection made from it."""

from __future__ import annotations

from typing import Any

import psycopg

from airbyte.connectors.protocol import ConfigError, Json, TransientError
from stack.failures import one_line

# PostgreSQL is being shut down, has crashed, is starting.
_SHUTDOWN = {"57P01", "57P02", "57P03"}


def schemas(config: Json) -> list[str]:
    """The database schemas to read."""
    return list(config.get("schemas") or ["public"])


def connect(config: Json) -> psycopg.Connection[Any]:
    """A read-only connection that sees one snapshot from its first statement to its end.

    Raises ConfigError for what the user can repair (password, database, method), TransientError when nobody answers.
    """
    method = (config.get("replication_method") or {}).get("method", "Xmin")
    if method != "Xmin":
        raise ConfigError(
            f"replication_method {method!r} is not supported: use Xmin, which needs no setting at the source"
        )
    address = f"{config['host']}:{config['port']}/{config['database']}"
    try:
        connection = psycopg.connect(
            host=config["host"],
            port=int(config["port"]),
            dbname=config["database"],
            user=config["username"],
            password=config.get("password"),
            sslmode=(config.get("ssl_mode") or {}).get("mode", "prefer"),
            connect_timeout=10,
            application_name="airbyte source_postgres",
            client_encoding="utf8",
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 -c extra_float_digits=1 -c bytea_output=hex"
            " -c statement_timeout=0 -c idle_in_transaction_session_timeout=0",
        )
    except psycopg.OperationalError as error:
        raise _explained(error, config, address) from None
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def is_lost(connection: psycopg.Connection[Any], error: psycopg.Error) -> bool:
    """Whether the connection went with the error.

    An OperationalError alone does not say so: psycopg calls a full disk, a cancelled statement and a materialized view without data one, too.
    """
    if connection.closed:
        return True
    state = error.sqlstate or "08"
    return isinstance(error, psycopg.OperationalError) and (state.startswith("08") or state in _SHUTDOWN)


def _explained(error: psycopg.OperationalError, config: Json, address: str) -> Exception:
    said = str(error)
    if "password authentication failed" in said or "no password supplied" in said:
        return ConfigError(
            f"Postgres at {address} refuses the password of user {config['username']}: check user and password"
        )
    if "does not support SSL" in said:
        return ConfigError(
            f"Postgres at {address}: the server does not support SSL: set ssl_mode to prefer, or switch SSL on at the server"
        )
    if "does not exist" in said:
        return ConfigError(f"Postgres at {address}: {said.strip().rsplit('FATAL:', 1)[-1].strip()}")
    return TransientError(f"Postgres at {address} does not answer: {one_line(error)}")
