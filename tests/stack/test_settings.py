"""Whose settings count, and what containers need of them: addresses for people, and Airflow on a database of its own."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from unittest import mock

import pytest
from psycopg.conninfo import conninfo_to_dict

from benchmarks.deployment import deployment as benchmark
from stack import airflow, summary
from stack import settings as stack_settings
from stack.settings import Settings
from tests.e2e.deployment import Deployment

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


def test_the_variables_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = set()

    def reading(name: str, default: str) -> str:
        read.add(name)
        return default

    monkeypatch.setattr(stack_settings, "_env", reading)
    stack_settings.load()
    assert read == stack_settings.VARIABLES


USERS_OWN = {
    "BIGQUERY_EMULATOR": "false",
    "BIGQUERY_PROJECT": "production",
    "BIGQUERY_ENDPOINT": "http://bigquery.example.org",
    "SOURCE_DSN": "postgresql://reader@shop.example.org/shop",
}


def test_tests_and_benchmarks_work_on_nothing_of_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in USERS_OWN.items():
        monkeypatch.setenv(name, value)
    tests = Deployment(tmp_path)
    assert USERS_OWN.keys() & tests.env.keys() == set()
    handler = signal.getsignal(signal.SIGTERM)
    with mock.patch.dict(os.environ), benchmark([]) as benchmarks:
        for current in (tests.settings, benchmarks):
            assert current.is_emulator
            assert "example.org" not in current.bigquery_endpoint + current.source_dsn
            assert current.bigquery_project != USERS_OWN["BIGQUERY_PROJECT"]
    signal.signal(signal.SIGTERM, handler)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose passes one that `.env` does not name."""
    for name in stack_settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    plain = stack_settings.load()
    for name in stack_settings.VARIABLES:
        monkeypatch.setenv(name, "")
    assert stack_settings.load() == plain


@pytest.mark.parametrize("said", ["0", "false", "no", "False", "NO"])
def test_programs_get_the_warehouse_that_their_caller_has(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """An emulator of the usual address would take what is meant for the real BigQuery."""
    for name in stack_settings.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for own in ({}, {"BIGQUERY_EMULATOR": said}, {"SOURCE_DSN": "postgresql://reader@shop/shop"}):
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        current = stack_settings.load()
        assert current.is_emulator is ("BIGQUERY_EMULATOR" not in os.environ)
        with monkeypatch.context() as patch:
            for name in stack_settings.VARIABLES:
                patch.delenv(name, raising=False)
            for name, value in current.environment().items():
                patch.setenv(name, value)
            assert stack_settings.load() == current


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_what_is_no_port_is_refused_with_its_variable(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("AIRFLOW_PORT", port)
    with pytest.raises(ValueError, match="AIRFLOW_PORT must be a"):
        stack_settings.load()


def test_no_secret_is_in_the_settings_as_a_traceback_shows_them(settings: Settings) -> None:
    secret = {
        field.name
        for field in dataclasses.fields(settings)
        if any(word in field.name for word in ("password", "secret", "key", "dsn", "database_url"))
    }
    assert len(secret) >= 7
    shown = repr(dataclasses.replace(settings, **dict.fromkeys(secret, "hidden-value")))
    assert "hidden-value" not in shown
    assert settings.bigquery_project in shown


def test_a_folder_with_a_space_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_DIR", "/mnt/my disk")
    with pytest.raises(ValueError, match=r"LOCAL_DIR must be a path without a space, .*: /mnt/my disk"):
        stack_settings.load()


@pytest.mark.parametrize(
    ("said", "is_emulator"), [("off", False), ("No", False), ("0", False), ("on", True), ("", True)]
)
def test_the_emulator_is_left_by_any_word_for_it(monkeypatch: pytest.MonkeyPatch, said: str, is_emulator: bool) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR", said)
    assert stack_settings.load().is_emulator is is_emulator


def test_a_word_that_is_neither_on_nor_off_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR", "fasle")
    with pytest.raises(ValueError, match="BIGQUERY_EMULATOR must be true or false, not 'fasle'"):
        stack_settings.load()


def test_a_password_may_have_any_character(settings: Settings) -> None:
    odd = dataclasses.replace(settings, postgres_user="a/b", postgres_password="p/w@:?#%[] ", postgres_db="x/y")
    said = conninfo_to_dict(odd.admin_dsn)
    assert (said["user"], said["password"], said["dbname"]) == ("a/b", "p/w@:?#%[] ", "x/y")
    assert said["host"] == settings.postgres_host


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
