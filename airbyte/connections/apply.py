"""`python -m airbyte.connections.apply`: make Airbyte match marketplace.yaml. Shows a plan, then does it; a second run changes nothing."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from typing import Any

from airbyte.connections.api import Airbyte, ApplyError, connection_body
from airbyte.connections.description import Description, load
from airbyte.connections.source import source_configuration
from airbyte.connectors.protocol import ConfigError
from stack import settings
from stack.failures import one_line
from stack.processes import StackError
from stack.settings import Settings

Json = dict[str, Any]


def _source_configuration(current: Settings, description: Description) -> Json:
    try:
        return source_configuration(current, description)
    except ConfigError as error:
        raise ApplyError(str(error)) from None


def destination_configuration(current: Settings, description: Description) -> Json:
    """The destination's configuration for the deployment's project and location."""
    configuration: Json = dict(description.destination["configuration"])
    return configuration | {"project_id": current.bigquery_project, "dataset_location": current.bigquery_location}


@dataclass(frozen=True)
class Step:
    """One of the three things that Airbyte must have: what is there, and what must be done."""

    kind: str
    name: str
    found: Any | None
    action: str

    @property
    def identity(self) -> str:
        """The id of what is there."""
        return str(getattr(self.found, f"{self.kind}_id"))

    def __str__(self) -> str:
        """A line of the plan."""
        return f"{self.kind:12} {self.name}: {self.action}"


CREATE, CHANGE, RECREATE, NOTHING = "create", "change", "delete and create", "as described"


def plan(airbyte: Airbyte, current: Settings, description: Description) -> tuple[Step, Step, Step]:
    """What must be done to the source, the destination and the connection, in this order. Changes nothing."""
    wanted, place = _source_configuration(current, description), destination_configuration(current, description)
    source = airbyte.find("source", description.source["name"])
    destination = airbyte.find("destination", description.destination["name"])
    connection = airbyte.find("connection", description.name)
    if connection is not None and (connection.source_id, connection.destination_id) != (
        getattr(source, "source_id", None),
        getattr(destination, "destination_id", None),
    ):
        # Its ends were deleted and will be made anew: what it remembers is of another database.
        action = RECREATE
    else:
        body = connection_body(description)
        action = _action(connection, connection is None or _json(connection, body) != body)
    return (
        Step(
            "source",
            description.source["name"],
            source,
            _action(source, _differs(source, wanted) or _secret_changed(current, wanted)),
        ),
        Step(
            "destination",
            description.destination["name"],
            destination,
            _action(destination, _differs(destination, place)),
        ),
        Step("connection", description.name, connection, action),
    )


def _action(found: Any | None, differs: bool) -> str:
    return CREATE if found is None else CHANGE if differs else NOTHING


def apply(current: Settings, description: Description, only_plan: bool = False) -> str:
    """Show the plan, then create or change what differs. Returns the connection's id, "" when there is none (`only_plan`)."""
    airbyte = Airbyte(current)
    source, destination, connection = steps = plan(airbyte, current, description)
    for step in steps:
        print(step, flush=True)
    if only_plan:
        return connection.identity if connection.found is not None else ""
    wanted, place = _source_configuration(current, description), destination_configuration(current, description)
    source_id = source.identity if source.found else ""
    if source.action != NOTHING:
        source_id = airbyte.save_source(source.found, source.name, wanted)
    _note_secret(current, wanted)
    lacking = description.lacking(airbyte.columns(source_id))
    if lacking:
        raise ApplyError(lacking)
    destination_id = destination.identity if destination.found else ""
    if destination.action != NOTHING:
        destination_id = airbyte.save_destination(destination.found, destination.name, place)
    if connection.action == NOTHING:
        return connection.identity
    found = connection.found
    if connection.action == RECREATE:
        airbyte.delete_connection(connection.identity)
        found = None
    return airbyte.save_connection(found, description, source_id, destination_id)


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
    parser = argparse.ArgumentParser(prog="python -m airbyte.connections.apply", description=__doc__)
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    chosen = parser.parse_args()
    try:
        apply(settings.load(), load(), chosen.plan)
    except (ApplyError, StackError, ValueError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
