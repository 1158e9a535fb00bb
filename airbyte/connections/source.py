"""The source that SOURCE_DSN names: as Airbyte gets it, and as the gate and the sweep read it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg

from airbyte.connections.description import Description, load
from airbyte.connectors.protocol import ConfigError
from airbyte.connectors.source_postgres import connection
from airbyte.connectors.source_postgres.spec import SPEC
from stack.settings import Settings

Json = dict[str, Any]


def source_configuration(current: Settings, description: Description) -> Json:
    """The source's configuration with the address and login of SOURCE_DSN, or of the local stack, filled in.

    Raises ConfigError when SOURCE_DSN is not a Postgres address, or has an sslmode that the connector has not; nothing of it is quoted, as a part may
    be the password.
    """
    wrong = ConfigError("SOURCE_DSN must look like postgresql://user:password@host:5432/database")
    try:
        url = urlsplit(current.source_dsn)
    except ValueError:
        raise wrong from None
    if url.scheme not in ("postgresql", "postgres") or not url.hostname or not url.username or url.path in ("", "/"):
        raise wrong
    try:
        port = url.port or 5432
    except ValueError:
        raise ConfigError("SOURCE_DSN: the port is not a number from 0 to 65535") from None
    address: Json = {
        "host": url.hostname,
        "port": port,
        "database": unquote(url.path.lstrip("/")),
        "username": unquote(url.username),
        "password": unquote(url.password or ""),
    }
    configuration: Json = description.source["configuration"] | address
    mode = parse_qs(url.query).get("sslmode")
    if not mode:
        return configuration
    known = SPEC["connectionSpecification"]["properties"]["ssl_mode"]["properties"]["mode"]["enum"]
    if mode[0] not in known:
        raise ConfigError(
            f"SOURCE_DSN: sslmode must be one of {', '.join(known)}; none of them verifies the server's certificate"
        )
    return configuration | {"ssl_mode": {"mode": mode[0]}}


def connect(current: Settings) -> psycopg.Connection[Any]:
    """A read-only connection that sees one snapshot from its first statement on.

    The address is taken apart as for Airbyte: libpq reads some others, and quotes what it cannot read. Raises ConfigError or TransientError.
    """
    return connection.connect(source_configuration(current, load()))
