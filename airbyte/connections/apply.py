"""`python -m airbyte.connections.apply`: make Airbyte match marketplace.yaml. Says what it creates and changes; a second run changes nothing."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from airbyte.connections.api import Airbyte, ApplyError, connection_body
from airbyte.connections.description import Description, load
from stack import settings
from stack.processes import StackError
from stack.settings import Settings

Json = dict[str, Any]


def source_configuration(current: Settings, description: Description) -> Json:
    """The source's configuration with the address and login of SOURCE_DSN, or of the local stack, filled in.

    Raises ApplyError when SOURCE_DSN is not a Postgres address.
    """
    url = urlsplit(current.source_dsn)
    if url.scheme not in ("postgresql", "postgres") or not url.hostname or not url.username or url.path in ("", "/"):
        raise ApplyError("SOURCE_DSN must look like postgresql://user:password@host:5432/database")
    try:
        port = url.port or 5432
    except ValueError:
        raise ApplyError("SOURCE_DSN: the port is not a number from 0 to 65535") from None
    address: Json = {
        "host": url.hostname,
        "port": port,
        "database": unquote(url.path.lstrip("/")),
        "username": unquote(url.username),
        "password": unquote(url.password or ""),
    }
    mode = parse_qs(url.query).get("sslmode")
    configuration: Json = description.source["configuration"] | address
    return configuration | ({"ssl_mode": {"mode": mode[0]}} if mode else {})


def destination_configuration(current: Settings, description: Description) -> Json:
    """The destination's configuration for the deployment's project and location."""
    configuration: Json = dict(description.destination["configuration"])
    return configuration | {"project_id": current.bigquery_project, "dataset_location": current.bigquery_location}


def apply(current: Settings, description: Description) -> str:
    """Create or change what differs. Returns the connection's id."""
    airbyte = Airbyte(current)
    source = airbyte.find("source", description.source["name"])
    wanted = source_configuration(current, description)
    source_id = _save(
        "source",
        description.source["name"],
        source,
        _differs(source, wanted) or _secret_changed(current, wanted),
        lambda: airbyte.save_source(source, description.source["name"], wanted),
        "source_id",
    )
    _note_secret(current, wanted)
    lacking = description.lacking(airbyte.columns(source_id))
    if lacking:
        raise ApplyError(lacking)
    destination = airbyte.find("destination", description.destination["name"])
    place = destination_configuration(current, description)
    destination_id = _save(
        "destination",
        description.destination["name"],
        destination,
        _differs(destination, place),
        lambda: airbyte.save_destination(destination, description.destination["name"], place),
        "destination_id",
    )
    connection = airbyte.find("connection", description.name)
    if connection is not None and (connection.source_id, connection.destination_id) != (source_id, destination_id):
        # Its ends were deleted and made anew: what it remembers is of another database.
        airbyte.delete_connection(connection.connection_id)
        connection = None
    body = connection_body(description)
    return _save(
        "connection",
        description.name,
        connection,
        connection is None or _json(connection, body) != body,
        lambda: airbyte.save_connection(connection, description, source_id, destination_id),
        "connection_id",
    )


def _save(kind: str, name: str, found: Any | None, differs: bool, save: Any, identity: str) -> str:
    if found is not None and not differs:
        print(f"{kind:12} {name}: as described")
        return str(getattr(found, identity))
    print(f"{kind:12} {name}: {'create' if found is None else 'change'}", flush=True)
    return str(save())


def _json(found: Any, like: Json) -> Json:
    """The fields of an answer that `like` has, as plain values."""
    answer = json.loads(found.model_dump_json(by_alias=True, exclude_none=True))
    return {name: _shaped(answer.get(name), value) for name, value in like.items()}


def _shaped(value: Any, like: Any) -> Any:
    """`value` without what `like` does not mention."""
    if isinstance(like, dict) and isinstance(value, dict):
        return {name: _shaped(value.get(name), inner) for name, inner in like.items()}
    if isinstance(like, list) and isinstance(value, list) and len(like) == len(value):
        return [_shaped(item, inner) for item, inner in zip(value, like, strict=True)]
    return value


def _differs(found: Any | None, wanted: Json) -> bool:
    """Whether the configuration in force differs; secrets are never shown, so they cannot be compared here."""
    if found is None:
        return True
    visible = {name: value for name, value in wanted.items() if name != "password"}
    return _json(found.configuration, visible) != visible


def _secret_file(current: Settings) -> Any:
    return current.local_dir / "airbyte" / "applied.sha256"


def _digest(current: Settings, wanted: Json) -> str:
    return hashlib.sha256(f"{current.airbyte_url}\0{wanted.get('password')}".encode()).hexdigest()


def _secret_changed(current: Settings, wanted: Json) -> bool:
    """Whether the password is another one than the last that was applied from here."""
    path = _secret_file(current)
    return not path.exists() or path.read_text() != _digest(current, wanted)


def _note_secret(current: Settings, wanted: Json) -> None:
    path = _secret_file(current)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(_digest(current, wanted))


def main() -> int:
    """The command line. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m airbyte.connections.apply", description=__doc__).parse_args()
    try:
        apply(settings.load(), load())
    except (ApplyError, StackError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
