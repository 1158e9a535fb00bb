"""What containers need of the settings: addresses for people, and Airflow on a database of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stack import airflow, summary
from stack.settings import Settings

CONTAINED = {
    "public_host": "127.0.0.1",
    "airflow_url": "http://airflow:8080",
    "airbyte_url": "http://airbyte:8000/api/public/v1",
    "bigquery_endpoint": "http://bigquery:9050",
    "postgres_host": "source",
    "airflow_password": "chosen-by-somebody",
    "airbyte_client_id": "client",
    "airbyte_client_secret": "secret",
}


def test_an_address_for_people_has_the_public_host_and_the_rest_of_the_address(settings: Settings) -> None:
    plain = dataclasses.replace(settings, public_host="")
    assert plain.for_people("http://127.0.0.1:8080/dags?a=b") == "http://127.0.0.1:8080/dags?a=b"
    contained = dataclasses.replace(settings, public_host="example.org")
    assert contained.for_people("http://airflow:8080/dags?a=b#c") == "http://example.org:8080/dags?a=b#c"


def test_the_summary_of_a_run_in_containers_names_what_a_browser_reaches_and_no_password(settings: Settings) -> None:
    lines = "\n".join(summary.addresses(dataclasses.replace(settings, **CONTAINED)))
    assert "http://127.0.0.1:8080  (admin / AIRFLOW_PASSWORD)" in lines
    assert "http://127.0.0.1:8000/api/public/v1  (.env)" in lines
    assert "chosen-by-somebody" not in lines
    for name in ("//airflow", "//airbyte", "//bigquery", "source:"):
        assert name not in lines


def test_airflow_takes_its_database_and_secrets_from_the_settings(settings: Settings, tmp_path: Path) -> None:
    contained = dataclasses.replace(
        settings,
        **CONTAINED,
        local_dir=tmp_path,
        airflow_database_url="postgresql+psycopg://airflow:x@airflow-database:5432/airflow",
        airflow_fernet_key="fernet",
        airflow_jwt_secret="jwt",
    )
    env = airflow.environment(contained)
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == contained.airflow_database_url
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] == contained.airflow_database_url
    assert (env["AIRFLOW__CORE__FERNET_KEY"], env["AIRFLOW__API_AUTH__JWT_SECRET"]) == ("fernet", "jwt")
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow:8080/execution/"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"
    # Nothing is kept that somebody else keeps.
    assert not list(tmp_path.rglob("*.secret"))


def test_airflow_has_a_sqlite_and_secrets_of_its_own_by_default(settings: Settings, tmp_path: Path) -> None:
    alone = dataclasses.replace(
        settings, local_dir=tmp_path, airbyte_client_id="client", airbyte_client_secret="secret"
    )
    env = airflow.environment(alone)
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{tmp_path}/airflow/airflow.db"
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC" not in env
    assert airflow.environment(alone)["AIRFLOW__API_AUTH__JWT_SECRET"] == env["AIRFLOW__API_AUTH__JWT_SECRET"]
