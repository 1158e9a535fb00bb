"""The configuration that the destination takes. Imports nothing heavy: the server and its jobs read it too."""

from __future__ import annotations

from airbyte.connectors.protocol import Json

SPEC: Json = {
    "documentationUrl": "https://docs.airbyte.com/integrations/destinations/bigquery",
    "supportsIncremental": True,
    "supported_destination_sync_modes": ["overwrite", "append", "append_dedup"],
    "connectionSpecification": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "BigQuery Destination Spec",
        "type": "object",
        "required": ["project_id", "dataset_location", "dataset_id"],
        "additionalProperties": True,
        "properties": {
            "project_id": {"type": "string", "title": "Project ID", "minLength": 1, "order": 0},
            "dataset_location": {"type": "string", "title": "Dataset Location", "minLength": 1, "order": 1},
            "dataset_id": {"type": "string", "title": "Default Dataset ID", "minLength": 1, "order": 2},
            "credentials_json": {
                "type": "string",
                "title": "Service Account Key JSON",
                "description": "Application default credentials are used when this is empty.",
                "airbyte_secret": True,
                "order": 3,
            },
        },
    },
}
