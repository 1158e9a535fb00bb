"""Metrics of the semantic layer, as MetricFlow asks for them: its SQL, on the deployment's warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.cloud.bigquery import Client
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.big_query import BigQuerySqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

from stack import bigquery

# MetricFlow only renders here: it asks its client for the dialect, and never for rows.
DIALECT: Any = SimpleNamespace(sql_engine_type=SqlEngine.BIGQUERY, sql_plan_renderer=BigQuerySqlPlanRenderer())


def statement(target: Path, metrics: Sequence[str], group_by: Sequence[str] = ()) -> str:
    """The SQL of these metrics, ordered by `group_by`. `target` is the folder of dbt's artifacts."""
    semantics = parse_manifest_from_dbt_generated_manifest((target / "semantic_manifest.json").read_text())
    engine = MetricFlowEngine(SemanticManifestLookup(semantics), DIALECT)
    request = MetricFlowQueryRequest.create(
        metric_names=metrics, group_by_names=group_by or None, order_by_names=group_by or None
    )
    return engine.explain(request).sql_statement.sql


def values(client: Client, target: Path, metrics: Sequence[str], group_by: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row per group, with a column per metric and per item of `group_by`."""
    return bigquery.query(client, statement(target, metrics, group_by))
