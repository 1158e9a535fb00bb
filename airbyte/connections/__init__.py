"""Connections as code: what is synced, how, and why, in YAML; `apply` makes an Airbyte match it."""
