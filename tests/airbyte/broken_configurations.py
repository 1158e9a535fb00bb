"""Configurations that cannot work, each with what the user is told."""

from __future__ import annotations

import json
from typing import Any

# (what is changed in a source configuration that works, where it is refused, what is said)
SOURCES: list[tuple[dict[str, Any], str, str]] = [
    ({"host": ""}, "spec", "lacks host"),
    ({"username": None, "database": None}, "spec", "lacks database, username"),
    ({"port": "5432"}, "spec", 'port must fit type "integer"'),
    ({"port": 70000}, "spec", "port must fit maximum 65535"),
    ({"schemas": "public"}, "spec", 'schemas must fit type "array"'),
    ({"ssl_mode": {"mode": "maybe"}}, "spec", "ssl_mode.mode must fit enum"),
    ({"replication_method": {"method": "CDC"}}, "spec", 'replication_method.method must fit const "Xmin"'),
    ({"replication_method": {"method": "CDC"}}, "check", "replication_method 'CDC' is not supported: use Xmin"),
    ({"host": "nowhere.invalid"}, "check", "Postgres at nowhere.invalid:{port}/marketplace does not answer"),
    ({"port": 1}, "check", "Postgres at 127.0.0.1:1/marketplace does not answer"),
    ({"password": "wrong"}, "check", "refuses the password of user marketplace: check user and password"),
    ({"password": None}, "check", "refuses the password of user marketplace: check user and password"),
    ({"username": "nobody"}, "check", "refuses the password of user nobody: check user and password"),
    ({"database": "nowhere"}, "check", 'database "nowhere" does not exist'),
    ({"ssl_mode": {"mode": "require"}}, "check", "server does not support SSL: set ssl_mode to prefer"),
    (
        {"schemas": ["empty"]},
        "check",
        "can read no table in schema empty of database marketplace: create the tables, or",
    ),
    ({"schemas": []}, "check", "can read no table in schema public"),
    (
        {"username": "stranger", "password": "stranger_secret"},
        "check",
        "user stranger can read no table in schema public of database marketplace: create the tables, or grant select on them",
    ),
]

KEY = {"type": "service_account", "client_email": "a@b", "token_uri": "https://c", "private_key": "no key"}
DESTINATIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"project_id": ""}, "spec", "lacks project_id"),
    ({"dataset_id": 7}, "spec", 'dataset_id must fit type "string"'),
    ({"credentials_json": "not json"}, "check", "credentials_json is not a service account key"),
    ({"credentials_json": "{}"}, "check", "credentials_json is not a service account key"),
    ({"credentials_json": "[]"}, "check", "credentials_json is not a service account key"),
    ({"credentials_json": json.dumps(KEY)}, "check", "credentials_json is not a service account key"),
    (
        {"dataset_id": "with-dash"},
        "check",
        "dataset_id 'with-dash' is no name for a dataset: use letters, digits and _",
    ),
]
