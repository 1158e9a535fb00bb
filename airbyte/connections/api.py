"""The `airbyte-api` SDK, logged in, and what apply and find need of it. Works against the embedded server and a real Airbyte."""

from __future__ import annotations

from typing import Any

import httpx
from airbyte_api import AirbyteAPI, api, models
from airbyte_api.errors import AirbyteAPIError
from airbyte_api.errors.no_response_error import NoResponseError

from airbyte.connections.description import Description
from stack.airbyte import client_credentials
from stack.settings import Settings

Json = dict[str, Any]
REQUEST_SECONDS = 120


class ApplyError(RuntimeError):
    """Airbyte cannot be made to match; the message is one line that says what to do."""


class Airbyte:
    """One workspace of an Airbyte: the first one that it lists."""

    def __init__(self, settings: Settings) -> None:
        """Log in. Raises ApplyError when nobody answers or the credentials are refused."""
        credentials = client_credentials(settings)
        self._settings = settings
        self._url = settings.airbyte_url
        self._sdk = AirbyteAPI(
            server_url=settings.airbyte_url,
            client=httpx.Client(timeout=REQUEST_SECONDS, follow_redirects=True),
            security=models.Security(
                client_credentials=models.SchemeClientCredentials(
                    client_id=credentials["AIRBYTE_CLIENT_ID"],
                    client_secret=credentials["AIRBYTE_CLIENT_SECRET"],
                    token_url=f"{settings.airbyte_url}/applications/token",
                )
            ),
        )
        found = self.call(self._sdk.workspaces.list_workspaces, api.ListWorkspacesRequest()).workspaces_response
        if not found or not found.data:
            raise ApplyError(f"Airbyte at {self._url} has no workspace: make one first")
        self.workspace_id = found.data[0].workspace_id

    def call(self, function: Any, request: Any) -> Any:
        """Call the SDK; its errors become ApplyError with the server's own reason."""
        try:
            return function(request=request)
        except AirbyteAPIError as error:
            raise ApplyError(f"Airbyte: {_reason(error)}") from None
        except (httpx.HTTPError, NoResponseError) as error:
            raise ApplyError(
                f"Airbyte does not answer at {self._url}: {error}: `make up` starts the embedded one"
            ) from None

    def find(self, kind: str, name: str) -> Any | None:
        """The source, destination or connection of this name, None when there is none. `kind` is that word."""
        listing, request = {
            "source": (self._sdk.sources.list_sources, api.ListSourcesRequest),
            "destination": (self._sdk.destinations.list_destinations, api.ListDestinationsRequest),
            "connection": (self._sdk.connections.list_connections, api.ListConnectionsRequest),
        }[kind]
        offset, limit = 0, 100
        while True:
            answer = self.call(listing, request(workspace_ids=[self.workspace_id], limit=limit, offset=offset))
            page = getattr(answer, f"{kind}s_response").data
            for item in page:
                if item.name == name:
                    return item
            if len(page) < limit:
                return None
            offset += limit

    def save_source(self, found: Any | None, name: str, configuration: Json) -> str:
        """Make the source or change its configuration; returns its id."""
        typed = models.SourcePostgres.model_validate(configuration)
        if found is None:
            made = self.call(
                self._sdk.sources.create_source,
                models.SourceCreateRequest(
                    name=name,
                    workspace_id=self.workspace_id,
                    configuration=typed,
                    definition_id=self._settings.airbyte_source_definition_id or None,
                ),
            )
            return str(made.source_response.source_id)
        body = models.SourcePatchRequest(configuration=typed)
        self.call(
            self._sdk.sources.patch_source, api.PatchSourceRequest(source_id=found.source_id, source_patch_request=body)
        )
        return str(found.source_id)

    def save_destination(self, found: Any | None, name: str, configuration: Json) -> str:
        """Make the destination or change its configuration; returns its id."""
        typed = models.DestinationBigquery.model_validate(configuration)
        if found is None:
            made = self.call(
                self._sdk.destinations.create_destination,
                models.DestinationCreateRequest(
                    name=name,
                    workspace_id=self.workspace_id,
                    configuration=typed,
                    definition_id=self._settings.airbyte_destination_definition_id or None,
                ),
            )
            return str(made.destination_response.destination_id)
        body = models.DestinationPatchRequest(configuration=typed)
        request = api.PatchDestinationRequest(destination_id=found.destination_id, destination_patch_request=body)
        self.call(self._sdk.destinations.patch_destination, request)
        return str(found.destination_id)

    def columns(self, source_id: str) -> dict[str, set[str]]:
        """{stream: its columns} as the source has them now."""
        request = api.GetStreamPropertiesRequest(source_id=source_id, ignore_cache=True)
        found = self.call(self._sdk.streams.get_stream_properties, request).stream_properties_response
        return {stream.stream_name: {path[0] for path in stream.property_fields} for stream in found or []}

    def save_connection(self, found: Any | None, description: Description, source_id: str, destination_id: str) -> str:
        """Make the connection or change its streams and settings; returns its id."""
        body = connection_body(description)
        if found is None:
            request = models.ConnectionCreateRequest.model_validate(
                body | {"sourceId": source_id, "destinationId": destination_id, "status": "active"}
            )
            made = self.call(self._sdk.connections.create_connection, request)
            return str(made.connection_response.connection_id)
        patch = models.ConnectionPatchRequest.model_validate(body)
        self.call(
            self._sdk.connections.patch_connection,
            api.PatchConnectionRequest(connection_id=found.connection_id, connection_patch_request=patch),
        )
        return str(found.connection_id)

    def delete_connection(self, connection_id: str) -> None:
        """Forget a connection and how far it was read."""
        self.call(self._sdk.connections.delete_connection, api.DeleteConnectionRequest(connection_id=connection_id))


def connection_body(description: Description) -> Json:
    """The connection as the API's create and patch take it, without its two ends."""
    streams = [
        {"name": s.name, "syncMode": s.sync_mode, "primaryKey": [[column] for column in s.primary_key]}
        for s in description.streams
    ]
    return {"name": description.name, "configurations": {"streams": streams}} | description.settings


def _reason(error: AirbyteAPIError) -> str:
    import json

    try:
        body = json.loads(error.body)
        return str(body.get("detail") or body.get("message") or error.body)
    except (ValueError, AttributeError):
        return str(error.body or error)[:500]
