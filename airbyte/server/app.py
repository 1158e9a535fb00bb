"""The HTTP side: routes of the public API, their answers, and errors as Airbyte words them.

Every answer of success is 200 with JSON: the SDK takes nothing else (a 201 is an error to it).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from airbyte.server import catalog, drift, models, programs, secret_fields
from airbyte.server.credentials import TOKEN_SECONDS, Credentials
from airbyte.server.jobs import Jobs
from airbyte.server.models import (
    ActorBody,
    ActorPatch,
    ConnectionBody,
    ConnectionPatch,
    JobBody,
    ProblemBody,
    StreamBody,
    StreamCountBody,
    TokenBody,
    WorkspaceBody,
)
from airbyte.server.programs import DESTINATIONS, SOURCES, ConnectorFailure, Definition
from airbyte.server.store import CONNECTION, DESTINATION, REFRESH, SOURCE, SYNC, WORKSPACE, Busy, Store

Json = dict[str, Any]
PREFIX = "/api/public/v1"
PROBLEMS = {
    400: "The request cannot be read.",
    401: "A token, or the right credentials, is needed.",
    404: "There is no such thing.",
    409: "Not in the present state.",
    422: "Not valid, or the source says no.",
}
BEARER = HTTPBearer(auto_error=False, description="From POST /applications/token.")
JOB_TYPES = (SYNC, REFRESH)
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
TOKEN_REQUEST = {
    "required": True,
    "content": {
        kind: {"schema": {"$ref": f"#/components/schemas/{TokenBody.__name__}"}}
        for kind in ("application/json", *FORMS)
    },
}


class Problem(HTTPException):
    """An error answer: status and one sentence."""

    def __init__(self, status: int, detail: str) -> None:
        """`detail` is shown to the caller."""
        super().__init__(status, detail)


def create(folder: Path, credentials: Credentials) -> FastAPI:
    """The application on the data directory `folder`."""
    store = Store(folder)
    jobs = Jobs(store, folder)
    if not store.documents(WORKSPACE):
        store.create(WORKSPACE, {"name": "Default Workspace"})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        jobs.open()
        yield
        jobs.close()

    app = FastAPI(
        title="Airbyte public API",
        version="1",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
        responses={
            # By content, not by model: a route that answers text says its problems in JSON too.
            status: {"description": text, "content": {"application/json": {"schema": ProblemBody.model_json_schema()}}}
            for status, text in PROBLEMS.items()
        },
    )
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ConnectorFailure, _connector_failure)
    app.add_exception_handler(catalog.CatalogError, _unprocessable)

    def authorized(request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credentials.is_valid(token):
            raise Problem(401, "a valid access token is needed: POST /applications/token with your client credentials")

    open_routes = APIRouter()

    @open_routes.get("/health", response_class=PlainTextResponse)
    def health() -> PlainTextResponse:
        return PlainTextResponse("Successful operation")

    @open_routes.post("/applications/token", openapi_extra={"requestBody": TOKEN_REQUEST})
    async def token(request: Request) -> Json:
        given = await _token_body(request)
        if not credentials.accepts(given.client_id, given.client_secret):
            raise Problem(
                401, "client_id and client_secret are not those of this server (`make credentials` shows them)"
            )
        return {"access_token": credentials.token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    app.include_router(open_routes, prefix=PREFIX)
    app.include_router(open_routes, include_in_schema=False)
    guarded = APIRouter(prefix=PREFIX, dependencies=[Depends(BEARER), Depends(authorized)])
    guarded.include_router(_workspaces(store))
    guarded.include_router(_actors(store, SOURCE, SOURCES))
    guarded.include_router(_actors(store, DESTINATION, DESTINATIONS))
    guarded.include_router(_connections(store, jobs))
    guarded.include_router(_jobs(store, jobs, folder))
    guarded.include_router(_streams(store))
    app.include_router(guarded)
    app.openapi = partial(_document, app.openapi)  # type: ignore[method-assign]
    return app


def _document(made: Callable[[], Json]) -> Json:
    """The published document, with the one body in it that is not declared by a parameter."""
    document = made()
    document["components"]["schemas"][TokenBody.__name__] = TokenBody.model_json_schema()
    return document


async def _token_body(request: Request) -> TokenBody:
    """What a request for a token says, in JSON or as a form."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in FORMS:
        given: Any = dict(await request.form())
    else:
        try:
            given = await request.json()
        except (ValueError, RecursionError):
            raise Problem(400, "the body is neither JSON nor, by its content type, a form") from None
    try:
        return TokenBody.model_validate(given)
    except ValidationError as error:
        # As FastAPI says it of other bodies.
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from None


# errors


async def _problem(request: Request, error: Any) -> JSONResponse:
    headers = getattr(error, "headers", None)
    if error.status_code == 405:
        headers = {"Allow": ", ".join(_methods(request))}
    return _error(error.status_code, str(error.detail), headers)


def _methods(request: Request) -> list[str]:
    """What the address of the request may be asked."""
    found: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), request.url.path):
            found |= {method.upper() for method in operations}
    return sorted(found)


async def _invalid(_: Request, error: Any) -> JSONResponse:
    said = "; ".join(
        f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
    )
    return _error(422, f"the request is not valid: {said}")


async def _connector_failure(_: Request, error: Exception) -> JSONResponse:
    return _error(422, str(error))


async def _unprocessable(_: Request, error: Exception) -> JSONResponse:
    return _error(422, str(error))


def _error(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = {"status": status, "type": "about:blank", "title": detail, "detail": detail, "message": detail}
    return JSONResponse(body, status, headers)


def _found(document: Json | None, kind: str, identity: object) -> Json:
    if document is None:
        raise Problem(404, f"there is no {kind} {identity}")
    return document


Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0)]
# What SQLite keeps as a whole number.
JobId = Annotated[int, PathParameter(ge=0, le=2**63 - 1)]
Workspaces = Annotated[list[str] | None, Query()]


def _page(items: list[Json], limit: int, offset: int, request: Request) -> Json:
    """One page of the list that was asked for, with the addresses of its neighbours under the same filters."""

    def address(start: int) -> str:
        url = request.url.include_query_params(limit=limit, offset=start)
        return f"{url.path}?{url.query}"

    return {
        "data": items[offset : offset + limit],
        "previous": address(max(0, offset - limit)) if offset else "",
        "next": address(offset + limit) if offset + limit < len(items) else "",
    }


def _taking(body: type) -> Callable[[Callable[..., Json]], Callable[..., Json]]:
    """Give a route's parameter `body` a class that is only known at run time."""

    def annotated(route: Callable[..., Json]) -> Callable[..., Json]:
        route.__annotations__["body"] = body
        return route

    return annotated


# workspaces


def _workspaces(store: Store) -> APIRouter:
    routes = APIRouter(prefix="/workspaces", tags=["workspaces"])

    def answer(document: Json) -> Json:
        return {
            "workspaceId": document["id"],
            "name": document["name"],
            "dataResidency": "auto",
            "notifications": {},
        }

    @routes.get("")
    def listed(request: Request, workspaceIds: Workspaces = None, limit: Limit = 20, offset: Offset = 0) -> Json:
        items = [answer(d) for d in store.documents(WORKSPACE) if not workspaceIds or d["id"] in workspaceIds]
        return _page(items, limit, offset, request)

    @routes.post("")
    def create(body: WorkspaceBody) -> Json:
        return answer(_found(store.get(WORKSPACE, store.create(WORKSPACE, {"name": body.name})), WORKSPACE, ""))

    @routes.get("/{workspaceId}")
    def get(workspaceId: str) -> Json:
        return answer(_found(store.get(WORKSPACE, workspaceId), WORKSPACE, workspaceId))

    @routes.patch("/{workspaceId}")
    def patch(workspaceId: str, body: WorkspaceBody) -> Json:
        return answer(_found(store.update(WORKSPACE, workspaceId, {"name": body.name}), WORKSPACE, workspaceId))

    @routes.delete("/{workspaceId}")
    def delete(workspaceId: str) -> Json:
        _found(store.get(WORKSPACE, workspaceId), WORKSPACE, workspaceId)
        for kind in (SOURCE, DESTINATION):
            if any(d["workspaceId"] == workspaceId for d in store.documents(kind)):
                raise Problem(409, f"workspace {workspaceId} still has a {kind}: delete that first")
        store.delete(WORKSPACE, workspaceId)
        return {}

    return routes


# sources and destinations


def _actors(store: Store, kind: str, definitions: dict[str, Definition]) -> APIRouter:
    """Sources and destinations differ in nothing but their connectors."""
    routes = APIRouter(prefix=f"/{kind}s", tags=[f"{kind}s"])
    type_field = f"{kind}Type"
    by_id = {definition.id: definition for definition in definitions.values()}

    def answer(document: Json) -> Json:
        definition = definitions[document[type_field]]
        masked = definition.masked(document["configuration"]) | {type_field: definition.type}
        return {
            f"{kind}Id": document["id"],
            "name": document["name"],
            type_field: definition.type,
            "definitionId": definition.id,
            "workspaceId": document["workspaceId"],
            "configuration": masked,
            "createdAt": document["createdAt"],
        }

    # Told to clients, so that what the document calls valid is accepted.
    create_body = models.actor_body(kind, {name: d.spec for name, d in definitions.items()})
    patch_body = models.actor_patch(kind, {name: d.spec for name, d in definitions.items()})

    def checked(definition: Definition, configuration: Json) -> Json:
        """The configuration without its type; Problem when it does not fit the connector's spec."""
        cleaned = {name: value for name, value in configuration.items() if name != type_field}
        found = programs.problems(definition, cleaned)
        if found:
            raise Problem(422, f"the configuration of the {definition.name} {kind}: {'; '.join(found)}")
        return cleaned

    def definition_of(body: ActorBody) -> Definition:
        definition = by_id.get(body.definitionId or "") or definitions.get(str(body.configuration.get(type_field)))
        if definition is None:
            known = ", ".join(definitions)
            raise Problem(
                422, f"{type_field} {body.configuration.get(type_field)!r} is not known here; these are: {known}"
            )
        return definition

    @routes.get("")
    def listed(
        request: Request,
        workspaceIds: Workspaces = None,
        limit: Limit = 20,
        offset: Offset = 0,
        includeDeleted: bool = False,
    ) -> Json:
        items = [answer(d) for d in store.documents(kind) if not workspaceIds or d["workspaceId"] in workspaceIds]
        return _page(items, limit, offset, request)

    @routes.post("")
    @_taking(create_body)
    def create(body: ActorBody) -> Json:
        definition = definition_of(body)
        configuration = checked(definition, body.configuration)
        _found(store.get(WORKSPACE, body.workspaceId), WORKSPACE, body.workspaceId)
        document = {
            "name": body.name,
            "workspaceId": body.workspaceId,
            type_field: definition.type,
            "configuration": configuration,
        }
        return answer(_found(store.get(kind, store.create(kind, document)), kind, ""))

    @routes.get("/{actorId}")
    def get(actorId: str) -> Json:
        return answer(_found(store.get(kind, actorId), kind, actorId))

    def change(actorId: str, body: ActorPatch, keep: bool) -> Json:
        document = _found(store.get(kind, actorId), kind, actorId)
        changes: Json = {"name": body.name} if body.name else {}
        if body.configuration is not None:
            # A secret that comes back masked stays as it is.
            given = secret_fields.restored(body.configuration, document["configuration"])
            kept = document["configuration"] if keep else {}
            changes["configuration"] = checked(definitions[document[type_field]], kept | given)
        return answer(_found(store.update(kind, actorId, changes), kind, actorId))

    @routes.patch("/{actorId}")
    @_taking(patch_body)
    def patch(actorId: str, body: ActorPatch) -> Json:
        return change(actorId, body, keep=True)

    @routes.put("/{actorId}")
    @_taking(patch_body)
    def put(actorId: str, body: ActorPatch) -> Json:
        return change(actorId, body, keep=False)

    @routes.delete("/{actorId}")
    def delete(actorId: str) -> Json:
        _found(store.get(kind, actorId), kind, actorId)
        if any(c[f"{kind}Id"] == actorId for c in store.documents(CONNECTION)):
            raise Problem(409, f"{kind} {actorId} still has a connection: delete that first")
        store.delete(kind, actorId)
        return {}

    return routes


# connections


def _connections(store: Store, jobs: Jobs) -> APIRouter:
    routes = APIRouter(prefix="/connections", tags=["connections"])

    def answer(document: Json) -> Json:
        return {
            "connectionId": document["id"],
            "name": document["name"],
            "sourceId": document["sourceId"],
            "destinationId": document["destinationId"],
            "workspaceId": document["workspaceId"],
            "status": document["status"],
            "schedule": document["schedule"],
            "dataResidency": "auto",
            "configurations": {"streams": document["streams"]},
            "createdAt": document["createdAt"],
            "tags": [],
            "namespaceDefinition": "destination",
            "nonBreakingSchemaUpdatesBehavior": document["nonBreakingSchemaUpdatesBehavior"],
            "prefix": "",
        }

    def streams_of(source: Json, wanted: list[StreamBody], known: Json) -> Json:
        discovered = programs.discover(SOURCES[source["sourceType"]], source["configuration"])
        streams = catalog.validate([s.model_dump(exclude_none=True) for s in wanted], discovered)
        return {"streams": streams, "catalog": drift.accepted(known, discovered, streams)}

    @routes.get("")
    def listed(request: Request, workspaceIds: Workspaces = None, limit: Limit = 20, offset: Offset = 0) -> Json:
        items = [answer(d) for d in store.documents(CONNECTION) if not workspaceIds or d["workspaceId"] in workspaceIds]
        return _page(items, limit, offset, request)

    @routes.post("")
    def create(body: ConnectionBody) -> Json:
        source = _found(store.get(SOURCE, body.sourceId), SOURCE, body.sourceId)
        _found(store.get(DESTINATION, body.destinationId), DESTINATION, body.destinationId)
        document = {
            "name": body.name or f"{source['name']} to BigQuery",
            "sourceId": body.sourceId,
            "destinationId": body.destinationId,
            "workspaceId": source["workspaceId"],
            "status": body.status or "active",
            "schedule": body.schedule.model_dump(exclude_none=True) if body.schedule else {"scheduleType": "manual"},
            "nonBreakingSchemaUpdatesBehavior": body.nonBreakingSchemaUpdatesBehavior or "ignore",
            **streams_of(source, body.configurations.streams if body.configurations else [], known={}),
        }
        return answer(_found(store.get(CONNECTION, store.create(CONNECTION, document)), CONNECTION, ""))

    @routes.get("/{connectionId}")
    def get(connectionId: str) -> Json:
        return answer(_found(store.get(CONNECTION, connectionId), CONNECTION, connectionId))

    @routes.patch("/{connectionId}")
    def patch(connectionId: str, body: ConnectionPatch) -> Json:
        document = _found(store.get(CONNECTION, connectionId), CONNECTION, connectionId)
        fields = ("name", "status", "nonBreakingSchemaUpdatesBehavior")
        changes: Json = {name: getattr(body, name) for name in fields if getattr(body, name) is not None}
        # As in Airbyte, a change that names no stream keeps those that there are: all tables are the default of a new connection.
        wanted = body.configurations.streams if body.configurations else []
        if body.status == "active" and document["status"] != "active" and not wanted:
            # Whoever activates a connection again accepts the source as it is now.
            source = _found(store.get(SOURCE, document["sourceId"]), SOURCE, document["sourceId"])
            discovered = programs.discover(SOURCES[source["sourceType"]], source["configuration"])
            changes["catalog"] = drift.accepted(document["catalog"], discovered, document["streams"])
        if body.schedule:
            changes["schedule"] = body.schedule.model_dump(exclude_none=True)
        if wanted:
            source = _found(store.get(SOURCE, document["sourceId"]), SOURCE, document["sourceId"])
            changes |= streams_of(source, wanted, document["catalog"])
        return answer(_found(store.update(CONNECTION, connectionId, changes), CONNECTION, connectionId))

    @routes.delete("/{connectionId}")
    def delete(connectionId: str) -> Json:
        _found(store.get(CONNECTION, connectionId), CONNECTION, connectionId)
        for job in store.jobs(connectionId):
            jobs.cancel(job)
        store.delete(CONNECTION, connectionId)
        return {}

    return routes


# jobs


def _jobs(store: Store, jobs: Jobs, folder: Path) -> APIRouter:
    routes = APIRouter(prefix="/jobs", tags=["jobs"])

    def answer(job: Json) -> Json:
        return {
            "jobId": job["id"],
            "status": job["status"],
            "jobType": job["job_type"],
            "connectionId": job["connection_id"],
            "startTime": _time(job["started_at"]),
            "lastUpdatedAt": _time(job["updated_at"]),
            "duration": f"PT{max(0.0, job['updated_at'] - job['started_at']):.3f}S",
            "rowsSynced": job["rows_synced"],
            "bytesSynced": job["bytes_synced"],
        }

    def current(job_id: int) -> Json:
        return jobs.refresh(_found(store.job(job_id), "job", job_id))

    @routes.get("")
    def listed(
        request: Request,
        connectionId: str | None = None,
        status: str | None = None,
        jobType: str | None = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> Json:
        items = [
            answer(job)
            for job in map(jobs.refresh, store.jobs(connectionId))
            if status in (None, job["status"]) and jobType in (None, job["job_type"])
        ]
        return _page(items, limit, offset, request)

    @routes.post("")
    def create(body: JobBody) -> Json:
        connection = _found(store.get(CONNECTION, body.connectionId), CONNECTION, body.connectionId)
        if body.jobType not in JOB_TYPES:
            raise Problem(422, f"jobType {body.jobType} is not supported here; these are: {', '.join(JOB_TYPES)}")
        if connection["status"] != "active":
            raise Problem(409, f"connection {body.connectionId} is inactive: set its status to active first")
        try:
            return answer(current(jobs.start(body.connectionId, body.jobType)))
        except Busy:
            raise Problem(409, f"a sync of connection {body.connectionId} is already running") from None

    @routes.get("/{jobId}")
    def get(jobId: JobId) -> Json:
        return answer(current(jobId))

    @routes.delete("/{jobId}")
    def cancel(jobId: JobId) -> Json:
        return answer(jobs.cancel(_found(store.job(jobId), "job", jobId)))

    @routes.get("/{jobId}/streams")
    def streams(jobId: JobId) -> list[StreamCountBody]:
        job = current(jobId)
        return [StreamCountBody(streamName=name, **count) for name, count in json.loads(job["streams"]).items()]

    @routes.get("/{jobId}/log", response_class=PlainTextResponse)
    def log(jobId: JobId) -> PlainTextResponse:
        _found(store.job(jobId), "job", jobId)
        path = folder / "jobs" / f"{jobId}.log"
        return PlainTextResponse(path.read_text(errors="replace") if path.exists() else "")

    return routes


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# streams


def _streams(store: Store) -> APIRouter:
    routes = APIRouter(prefix="/streams", tags=["streams"])

    @routes.get("")
    def listed(sourceId: str, destinationId: str | None = None, ignoreCache: bool = False) -> list[Json]:
        source = _found(store.get(SOURCE, sourceId), SOURCE, sourceId)
        return [
            {
                "streamName": stream["name"],
                "streamnamespace": stream["namespace"],
                "syncModes": list(catalog.SYNC_MODES),
                "defaultCursorField": [],
                "sourceDefinedCursorField": True,
                "sourceDefinedPrimaryKey": stream["source_defined_primary_key"],
                "propertyFields": [[name] for name in stream["json_schema"]["properties"]],
            }
            for stream in programs.discover(SOURCES[source["sourceType"]], source["configuration"])
        ]

    return routes
