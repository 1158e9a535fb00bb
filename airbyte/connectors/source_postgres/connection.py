"""The configuration of the source and the connection made from it."""

from __future__ import annotations

from typing import Any

import psycopg

from airbyte.connectors.protocol import ConfigError, Json, TransientError

SPEC: Json = {
    "documentationUrl": "https://docs.airbyte.com/integrations/sources/postgres",
    "connectionSpecification": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Postgres Source Spec",
        "type": "object",
        "required": ["host", "port", "database", "username"],
        "additionalProperties": True,
        "properties": {
            "host": {"type": "string", "title": "Host", "order": 0},
            "port": {
                "type": "integer",
                "title": "Port",
                "default": 5432,
                "minimum": 0,
                "maximum": 65536,
                "order": 1,
            },
            "database": {"type": "string", "title": "Database Name", "order": 2},
            "schemas": {
                "type": "array",
                "title": "Schemas",
                "items": {"type": "string"},
                "default": ["public"],
                "order": 3,
            },
            "username": {"type": "string", "title": "Username", "order": 4},
            "password": {"type": "string", "title": "Password", "airbyte_secret": True, "order": 5},
            "ssl_mode": {
                "type": "object",
                "title": "SSL Modes",
                "order": 6,
                "properties": {"mode": {"enum": ["disable", "allow", "prefer", "require"]}},
            },
            "replication_method": {
                "type": "object",
                "title": "Update Method",
                "order": 7,
                "properties": {"method": {"const": "Xmin"}},
            },
        },
    },
}


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
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=iso_8601 -c extra_float_digits=1"
            " -c statement_timeout=0 -c idle_in_transaction_session_timeout=0",
        )
    except psycopg.OperationalError as error:
        raise _explained(error, config, address) from None
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _explained(error: psycopg.OperationalError, config: Json, address: str) -> Exception:
    said = str(error)
    if "password authentication failed" in said or "no password supplied" in said:
        return ConfigError(
            f"Postgres at {address} refuses the password of user {config['username']}: check user and password"
        )
    if "does not exist" in said:
        return ConfigError(f"Postgres at {address}: {said.strip().rsplit('FATAL:', 1)[-1].strip()}")
    reason = said.strip().splitlines()[-1].strip() if said.strip() else type(error).__name__
    return TransientError(f"Postgres at {address} does not answer: {reason}")
