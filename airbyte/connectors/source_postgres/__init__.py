"""PostgreSQL as an Airbyte source: full refresh, and every change by `xmin` (docs/decisions/0002-xmin-replication.md)."""
