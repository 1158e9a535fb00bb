"""The bodies of requests. Field names are the public API's; unknown ones are refused where they would change what happens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

Json = dict[str, Any]


class Body(BaseModel):
    """Every request body."""

    model_config = ConfigDict(extra="ignore")


class WorkspaceBody(Body):
    """Create or change a workspace."""

    name: str = Field(min_length=1)


class ActorBody(Body):
    """Create a source or destination."""

    name: str = Field(min_length=1)
    workspaceId: str
    configuration: Json
    definitionId: str | None = None


class ActorPatch(Body):
    """Change a source or destination."""

    name: str | None = Field(default=None, min_length=1)
    configuration: Json | None = None


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


class SelectedField(Body):
    """A column that is read."""

    fieldPath: list[str] = Field(min_length=1, max_length=1)


class StreamBody(Body):
    """One stream of a connection."""

    name: str = Field(min_length=1)
    namespace: str | None = None
    syncMode: str | None = None
    cursorField: list[str] | None = None
    primaryKey: list[list[str]] | None = None
    selectedFields: list[SelectedField] | None = None


class Configurations(Body):
    """The streams of a connection."""

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


class JobBody(Body):
    """Start a job."""

    connectionId: str
    jobType: str = Field(
        default="sync", description="sync, or refresh: forget how far each stream was read, then sync."
    )


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
