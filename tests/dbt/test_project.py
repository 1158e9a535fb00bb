"""What the dbt project promises about itself, read from its own manifest: described, keyed, contracted, and nothing unused. Part of `make lint`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from dbt.cli.main import dbtRunner

from stack import settings
from stack.settings import ROOT

PROJECT = ROOT / "dbt"
# SQL that the emulator takes and that fails, or says something else, elsewhere; decision 0004 has what to write instead.
TREACHEROUS = {
    r"\bwith\s+recursive\b": "BigQuery takes it at the top of a statement only, and dbt wraps tests and contracted models",
    r"\bgreatest\(": "Spark leaves nulls out of it, BigQuery is null for one: a case expression",
    r"\btrim\(": "which white space it takes is the engine's: trimmed()",
}
# dbt calls these by name.
CALLED_BY_DBT = re.compile(r"^(generate_schema_name|test_.*|default__.*|bigquery__.*|spark__.*)$")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The parsed project; needs no warehouse."""
    target = str(tmp_path_factory.mktemp("target"))
    places = [
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(PROJECT),
        "--target-path",
        target,
        "--log-path",
        target,
    ]
    with mock.patch.dict(os.environ, settings.load().environment()):
        answer = dbtRunner().invoke(["parse", "--no-partial-parse", "--quiet", *places])
    assert answer.success, answer.exception
    return answer.result


def nodes(manifest: Any, *kinds: str) -> list[Any]:
    """The project's own nodes of these resource types; never none."""
    found = [node for node in manifest.nodes.values() if node.resource_type in kinds]
    assert found
    return found


def test_everything_is_described(manifest: Any) -> None:
    missing = []
    for node in [*nodes(manifest, "model", "seed", "snapshot"), *manifest.sources.values()]:
        missing += [node.name] if not node.description.strip() else []
        missing += [f"{node.name}.{column.name}" for column in node.columns.values() if not column.description.strip()]
    assert missing == []


def test_descriptions_of_models_end_in_the_grain(manifest: Any) -> None:
    grain = re.compile(r"(^|\. )One row per [^.]+\.$", re.DOTALL)
    assert [node.name for node in nodes(manifest, "model") if not grain.search(node.description.strip())] == []


def keys_of(manifest: Any) -> dict[str, list[str]]:
    """{unique_id of a node: the columns of its key test}."""
    generic = [node for node in nodes(manifest, "test") if getattr(node, "test_metadata", None)]
    return {n.attached_node: n.test_metadata.kwargs["columns"] for n in generic if n.test_metadata.name == "key"}


def test_every_model_has_a_tested_key(manifest: Any) -> None:
    keyed = keys_of(manifest)
    assert [n.name for n in nodes(manifest, "model", "snapshot", "seed") if n.unique_id not in keyed] == []


def test_every_model_outside_staging_has_an_enforced_contract(manifest: Any) -> None:
    open_models = [
        node.name for node in nodes(manifest, "model") if node.schema != "staging" and not node.contract.enforced
    ]
    assert open_models == []


def test_a_contracted_table_names_the_key_that_is_tested(manifest: Any) -> None:
    tested = keys_of(manifest)
    for node in nodes(manifest, "model"):
        if node.contract.enforced and node.config.materialized != "view":
            assert [constraint.columns for constraint in node.constraints] == [tested[node.unique_id]], node.name


def test_no_model_source_or_seed_is_unused(manifest: Any) -> None:
    """Marts, quarantine and ops are read by people and by the DAG; everything else must be read by a model."""
    read = {parent for node in nodes(manifest, "model", "snapshot") for parent in node.depends_on.nodes}
    inner = [node for node in nodes(manifest, "model", "seed") if node.schema in ("staging", "intermediate")]
    assert [node.name for node in [*inner, *manifest.sources.values()] if node.unique_id not in read] == []


def test_no_macro_is_unused(manifest: Any) -> None:
    own = {name: macro for name, macro in manifest.macros.items() if macro.package_name == "marketplace"}
    users = [*manifest.nodes.values(), *own.values()]
    called = {name for user in users for name in user.depends_on.macros}
    assert [
        macro.name for name, macro in own.items() if name not in called and not CALLED_BY_DBT.match(macro.name)
    ] == []


def test_every_file_of_the_models_folder_belongs_to_a_model(manifest: Any) -> None:
    known = {Path(node.original_file_path) for node in nodes(manifest, "model")}
    known |= {path.with_suffix(".yml") for path in known}
    known |= {Path("models") / name for name in ("staging/sources.yml", "exposures.yml", "semantic/metrics.yml")}
    known |= {Path("models/columns.md"), Path("models/glossary.md")}
    found = {path.relative_to(PROJECT) for path in (PROJECT / "models").rglob("*") if path.is_file()}
    assert found - known == set()


def test_no_column_description_is_unused(manifest: Any) -> None:
    """`columns.md` and `glossary.md` say each column once; a block that no YAML quotes is about a column that is gone."""
    text = "".join(path.read_text() for path in PROJECT.rglob("*.yml"))
    blocks = [doc.name for doc in manifest.docs.values() if doc.package_name == "marketplace"]
    assert [name for name in blocks if f"doc('{name}')" not in text and not name.startswith("__")] == []


@pytest.mark.parametrize("sql", TREACHEROUS)
def test_nothing_is_written_that_only_the_emulator_takes_as_meant(sql: str) -> None:
    """The text of models, tests and macros, without comments; only engine.sql, where each engine has a text of its own, may."""
    files = [path for path in PROJECT.rglob("*.sql") if path.name != "engine.sql" and "target" not in path.parts]
    assert files
    texts = {path: re.sub(r"\{#.*?#\}|--[^\n]*", "", path.read_text(), flags=re.DOTALL) for path in files}
    found = [str(path.relative_to(PROJECT)) for path, text in texts.items() if re.search(sql, text, re.IGNORECASE)]
    assert found == [], TREACHEROUS[sql]


def test_every_rule_that_may_surprise_has_a_unit_test(manifest: Any) -> None:
    """Models with a decision of their own; those that only join and rename are judged by the scenario."""
    tested = {test.model for test in manifest.unit_tests.values()}
    decisive = {
        "stg_marketplace__orders",
        "stg_marketplace__products",
        "stg_marketplace__event_log",
        "int_category_paths",
        "int_fx_rates_daily",
        "int_order_items_usd",
        "int_order_payments",
        "int_orders_enriched",
        "int_orders_usd",
        "int_payments_deduplicated",
        "int_payments_usd",
        "int_seller_tier_scd2",
        "fct_customer_cohorts",
        "fct_daily_events",
        "fct_order_items",
        "fct_payment_reconciliation",
        "fct_seller_performance",
    }
    assert decisive - tested == set()


def test_metrics_and_exposures_are_there(manifest: Any) -> None:
    assert {metric.name for metric in manifest.metrics.values()} >= {
        "gmv",
        "orders",
        "average_order_value",
        "take_rate",
        "retention",
    }
    assert all(exposure.depends_on.nodes for exposure in manifest.exposures.values())
    assert manifest.exposures
