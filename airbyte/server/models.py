"""The bodies of requests. Field names are the public API's; unknown ones are refused where they would change what happens."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    jobType: str = "sync"
