"""The bodies of requests. Field names are the public API's.

Of those that this server does not have, the ones that would change what is read or what lands are refused, as is whatever is unknown of a stream or a job:
a misspelt syncMode would change that too. Null, and what says that nothing is asked for, is taken. Other fields, such as tags, are ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, create_model, model_validator

Json = dict[str, Any]


class Body(BaseModel):
    """Every request body."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _text(cls, given: Any) -> Any:
        r"""JSON may have half of a character in it, such as "\ud800", which no answer can say."""
        try:
            json.dumps(given, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("a text in it is no Unicode") from None
        return given


class StrictBody(Body):
    """A body, or a part of one, whose every field changes what happens."""

    # As published: null is nothing.
    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "null"}})

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        for name, value in given.items() if isinstance(given, dict) else ():
            if name not in cls.model_fields and value is not None:
                raise ValueError(f"{name} is not known here: the fields are {', '.join(cls.model_fields)}")
        return given


def _without(advice: str) -> AfterValidator:
    """Refuses all that asks for something, with `advice`."""

    def checked(value: Any) -> Any:
        if value:
            raise ValueError(advice)
        return value

    return AfterValidator(checked)


NO_LIST = {"anyOf": [{"type": "array", "maxItems": 0}, {"type": "null"}]}
NO_TEXT = {"anyOf": [{"type": "string", "maxLength": 0}, {"type": "null"}]}
UNSUPPORTED = "Empty: not supported here."


def _column(path: list[str]) -> list[str]:
    if len(path) != 1:
        raise ValueError('a column is a list of its one name, such as ["id"]: fields within a column are not supported')
    return path


# A column, as Airbyte's API names it: the path to a field.
Column = Annotated[
    list[str],
    AfterValidator(_column),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}),
]


class TokenBody(Body):
    """Client credentials. `grant_type` (or `grant-type`) is client_credentials, if anything."""

    client_id: str
    client_secret: str
    grant_type: str | None = None


class WorkspaceBody(Body):
    """Create or change a workspace."""

    name: str = Field(min_length=1)


# What a consent screen (OAuth) has stored.
NoConsent = Annotated[
    str | None,
    _without("there is no consent screen here, and so no secretId: put the credentials into the configuration"),
    WithJsonSchema(NO_TEXT),
]


class ActorBody(Body):
    """Create a source or destination."""

    name: str = Field(min_length=1)
    workspaceId: str
    configuration: Json
    definitionId: str | None = None
    secretId: NoConsent = Field(default=None, description=UNSUPPORTED)


class ActorPatch(Body):
    """Change a source or destination."""

    name: str | None = Field(default=None, min_length=1)
    configuration: Json | None = None
    secretId: NoConsent = Field(default=None, description=UNSUPPORTED)


def actor_body(kind: str, specs: dict[str, Json]) -> type[ActorBody]:
    """The body that creates a `kind`, with the connectors' own configuration fields in its published schema. `specs`: {type: spec}."""
    schema = {"anyOf": [_configuration(kind, name, spec, required=True) for name, spec in specs.items()]}
    return create_model(
        f"{kind.title()}Body", __base__=ActorBody, configuration=(Annotated[Json, WithJsonSchema(schema)], ...)
    )


def actor_patch(kind: str, specs: dict[str, Json]) -> type[ActorPatch]:
    """The body that changes a `kind`: some of the fields, or all."""
    schema = {"anyOf": [_configuration(kind, name, spec, required=False) for name, spec in specs.items()]}
    return create_model(
        f"{kind.title()}Patch", __base__=ActorPatch, configuration=(Annotated[Json, WithJsonSchema(schema)], None)
    )


def _configuration(kind: str, name: str, spec: Json, required: bool) -> Json:
    """A connector's configuration as clients send it: with its type, and without what only matters to a form."""
    fields = spec["connectionSpecification"]
    properties = {f"{kind}Type": {"const": name}} | fields["properties"]
    schema = {"type": "object", "properties": properties, "additionalProperties": True}
    return schema | ({"required": [f"{kind}Type", *fields["required"]]} if required else {})


class SelectedField(StrictBody):
    """A column that is read."""

    fieldPath: Column


class StreamBody(StrictBody):
    """One stream of a connection. What it cannot be asked for here: mappers, files, a destination object."""

    name: str = Field(min_length=1)
    namespace: str | None = None
    syncMode: str | None = None
    cursorField: list[str] | None = None
    primaryKey: list[Column] | None = None
    selectedFields: list[SelectedField] | None = None
    mappers: Annotated[
        list[Json] | None,
        _without(
            "mappers are not supported here, values land as they are at the source: leave a column out with selectedFields, or use a real Airbyte"
        ),
        WithJsonSchema(NO_LIST),
    ] = Field(default=None, exclude=True, description=UNSUPPORTED)
    includeFiles: Annotated[
        bool | None,
        _without("files are not moved: leave includeFiles out"),
        WithJsonSchema({"anyOf": [{"const": False}, {"type": "null"}]}),
    ] = Field(default=None, exclude=True, description=UNSUPPORTED)
    destinationObjectName: Annotated[
        str | None,
        _without("a stream lands in the table of its name: leave destinationObjectName out"),
        WithJsonSchema(NO_TEXT),
    ] = Field(default=None, exclude=True, description=UNSUPPORTED)


class Configurations(StrictBody):
    """The streams of a connection. None of them means all tables when it is created, and those that there are when it is changed."""

    streams: list[StreamBody] = []


class Schedule(Body):
    """When the connection syncs by itself. This server leaves that to the orchestrator: it keeps a cron expression and never acts on it."""

    scheduleType: Literal["manual", "cron"] = "manual"
    cronExpression: str | None = None


class ConnectionPatch(Body):
    """Change a connection."""

    name: str | None = Field(default=None, min_length=1)
    configurations: Configurations | None = None
    schedule: Schedule | None = None
    namespaceDefinition: Literal["destination"] | None = None
    namespaceFormat: str | None = None
    nonBreakingSchemaUpdatesBehavior: (
        Literal["ignore", "disable_connection", "propagate_columns", "propagate_fully"] | None
    ) = None
    prefix: Literal[""] | None = None
    status: Literal["active", "inactive"] | None = None


class ConnectionBody(ConnectionPatch):
    """Create a connection."""

    sourceId: str
    destinationId: str


class JobBody(StrictBody):
    """Start a job, of all streams of the connection."""

    connectionId: str
    jobType: str = Field(
        default="sync", description="sync, or refresh: forget how far each stream was read, then sync."
    )
    streams: Annotated[
        list[Json] | None,
        _without("a job is of all streams of its connection: leave streams out, or make a connection of these"),
        WithJsonSchema(NO_LIST),
    ] = Field(default=None, description=UNSUPPORTED)


class ProblemBody(BaseModel):
    """An error, as Airbyte words it. `detail` is one sentence."""

    status: int
    type: str
    title: str
    detail: str
    message: str


class StreamCountBody(BaseModel):
    """One stream of a job. `status`: pending, running, complete (the destination has committed it) or failed."""

    streamName: str
    status: Literal["pending", "running", "complete", "failed"]
    rowsSynced: int
    bytesSynced: int
    seconds: float
    rowsPerSecond: int
