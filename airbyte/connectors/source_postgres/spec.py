"""The configuration that the source takes. Imports nothing heavy: the server and its jobs read it too."""

from __future__ import annotations

from airbyte.connectors.protocol import Json

SPEC: Json = {
    "documentationUrl": "https://docs.airbyte.com/integrations/sources/postgres",
    "connectionSpecification": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Postgres Source Spec",
        "type": "object",
        "required": ["host", "port", "database", "username"],
        "additionalProperties": True,
        "properties": {
            "host": {"type": "string", "title": "Host", "minLength": 1, "order": 0},
            "port": {
                "type": "integer",
                "title": "Port",
                "default": 5432,
                "minimum": 0,
                "maximum": 65535,
                "order": 1,
            },
            "database": {"type": "string", "title": "Database Name", "minLength": 1, "order": 2},
            "schemas": {
                "type": "array",
                "title": "Schemas",
                "items": {"type": "string"},
                "default": ["public"],
                "order": 3,
            },
            "username": {"type": "string", "title": "Username", "minLength": 1, "order": 4},
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
