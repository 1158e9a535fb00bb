"""What docker-compose.yml and its images promise, read from the files: no engine is needed."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import compose_env
from stack import settings as stack_settings
from stack.settings import ROOT, Settings

TEXT = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
# `run` by hand, not a service; and those that end when they have done their work.
BY_HAND = {"pipeline"}
ONCE = {"prepare", "airflow-migrate"}
LASTING = SERVICES.keys() - BY_HAND - ONCE
# What the released postgres image reads, beside names that are ours, too.
OF_POSTGRES = {"POSTGRES_INITDB_ARGS", "PGPORT"}
VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
NAMES = stack_settings.VARIABLES
# What containers have a value of their own for, or no use.
NOT_FOR_CONTAINERS = {"LOCAL_DIR", "BIND_HOST", "PUBLIC_HOST", "AIRBYTE_URL", "AIRFLOW_URL", "AIRFLOW_DATABASE_URL"}
NOT_FOR_CONTAINERS |= {"POSTGRES_HOST", "BIGQUERY_ENDPOINT", "BIGQUERY_STORAGE_ENDPOINT"}


def filled(value: str) -> str:
    """The value as Compose would fill it in with nothing set but what has no default."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == ":-" else f"<{found[1]}>", value)


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return stack_settings.load()


@pytest.mark.parametrize("name", SERVICES)
class TestEveryService:
    def test_is_confined(self, name: str) -> None:
        service = SERVICES[name]
        assert service["user"] in ("postgres", "10001:10001")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"] > 0
        assert "privileged" not in service
        assert "network_mode" not in service

    def test_has_a_bounded_log(self, name: str) -> None:
        options = SERVICES[name]["logging"]["options"]
        assert options.keys() == {"max-size", "max-file"}

    def test_has_its_healthcheck_or_ends(self, name: str) -> None:
        service = SERVICES[name]
        assert ("healthcheck" in service) == (name in LASTING)
        assert service["restart"] == ("unless-stopped" if name in LASTING else "no")

    def test_publishes_on_loopback_only_and_the_same_port_inside_and_outside(self, name: str) -> None:
        for place in SERVICES[name].get("ports", []):
            host, outside, inside = re.fullmatch(r"([\d.]+):(\$\{.*?\}):(\$\{.*?\})", place).groups()
            assert host == "127.0.0.1"
            assert outside == inside

    def test_mounts_volumes_only(self, name: str) -> None:
        for mount in SERVICES[name].get("volumes", []):
            assert mount.split(":")[0] in FILE["volumes"], mount

    def test_takes_its_settings_by_the_names_of_the_settings(self, name: str) -> None:
        known = NAMES | {"OPENLINEAGE_URL"} | (OF_POSTGRES if SERVICES[name]["user"] == "postgres" else set())
        assert environment(name).keys() <= known

    def test_has_no_secret_written_down(self, name: str) -> None:
        for variable, value in environment(name).items():
            if re.search(r"PASSWORD|SECRET|KEY|CLIENT_ID", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable
            assert not re.search(r"://[^/$]*:(?!\$\{)[^/@]*@", value), variable

    def test_waits_only_for_what_is_started_whenever_it_is(self, name: str) -> None:
        """Waiting for a service of a profile that is left out is an error."""
        for other, how in SERVICES[name].get("depends_on", {}).items():
            assert set(SERVICES[other].get("profiles", [])) <= set(SERVICES[name].get("profiles", []))
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how["condition"] == wanted

    def test_has_a_pinned_image(self, name: str) -> None:
        tag = filled(SERVICES[name]["image"]).rsplit(":", 1)[1]
        assert re.match(r"\d", tag)


def test_the_ports_are_those_of_the_settings(defaults: Settings) -> None:
    published = {
        VARIABLE.search(place)[1]: filled(place).split(":")[1]
        for service in SERVICES.values()
        for place in service.get("ports", [])
    }
    expected = {
        item.name.upper(): str(getattr(defaults, item.name)) for item in fields(Settings) if item.name.endswith("_port")
    }
    assert published == expected
    assert len(published) == 6


def test_what_both_have_a_default_for_has_the_same(defaults: Settings) -> None:
    ours = defaults.environment()
    # Containers have addresses and a cluster of their own, and a smaller driver, so that all fits.
    other = {"SPARK_MASTER", "LAKE_URI", "SPARK_DRIVER_MEMORY"}
    for name, operator, default in VARIABLE.findall(TEXT):
        if operator == ":-" and name in ours and name not in other:
            assert default == ours[name], name


def test_every_setting_that_a_user_may_choose_reaches_a_container() -> None:
    chosen = {variable for variable, _, _ in VARIABLE.findall(TEXT)}
    assert NAMES - chosen == NOT_FOR_CONTAINERS


def test_the_lake_and_that_of_the_parity_audit_beside_it_are_in_the_same_volume() -> None:
    uri = filled(environment("airflow-scheduler")["LAKE_URI"])
    for name in ("airflow-scheduler", "spark-worker-1"):
        folders = [place.split(":")[1] for place in SERVICES[name]["volumes"]]
        assert any(f"{uri}-audit".startswith(f"file://{folder}/") for folder in folders), name


def test_everything_that_runs_at_once_fits_eight_gigabytes() -> None:
    limits = {name: int(re.fullmatch(r"(\d+)m", service["mem_limit"])[1]) for name, service in SERVICES.items()}
    assert sum(limits[name] for name in LASTING | BY_HAND) <= 8 * 1024
    # Who ends first leaves its place to the scheduler, which waits for it.
    assert sum(limits[name] for name in ONCE) <= limits["airflow-scheduler"]


def test_no_default_holds_another_variable() -> None:
    """docker-compose 1.29 ends a variable at the first brace."""
    assert not re.search(r"\$\{[^}]*\$\{", TEXT)


def test_what_is_demanded_is_what_the_environment_file_gets() -> None:
    demanded = {name for name, operator, _ in VARIABLE.findall(TEXT) if operator == ":?"}
    assert demanded == compose_env.WANTED.keys() - {"COMPOSE_PROFILES"}
    assert not {name for name, operator, _ in VARIABLE.findall(TEXT) if not operator}


def test_the_profiles_are_those_of_the_environment_file() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert profiles == set(compose_env.PROFILES) | BY_HAND


def test_nobody_but_airbyte_has_its_database_with_the_secrets() -> None:
    with_it = [name for name, service in SERVICES.items() if "airbyte-state:" in " ".join(service.get("volumes", []))]
    assert with_it == ["airbyte"]


def test_every_volume_is_used() -> None:
    used = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert used == FILE["volumes"].keys()


def test_the_cluster_is_reached_from_inside_only() -> None:
    for name in ("spark-master", "spark-worker-1", "spark-worker-2", "airflow-database"):
        assert "ports" not in SERVICES[name]
    assert environment("airflow-scheduler")["SPARK_MASTER"] == "${SPARK_MASTER:-spark://spark-master:7077}"


def test_an_executor_fits_into_each_worker() -> None:
    conf = dict(
        line.split() for line in (ROOT / "docker/spark/spark-defaults.conf").read_text().splitlines() if line[0] != "#"
    )
    for name in ("spark-worker-1", "spark-worker-2"):
        command = SERVICES[name]["command"]
        assert command[command.index("--memory") + 1] == conf["spark.executor.memory"]
        assert command[command.index("--cores") + 1] == conf["spark.executor.cores"]


def stages() -> dict[str, list[str]]:
    """{stage: its lines} of the Dockerfile."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return {name: body.strip().splitlines() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def imports_of(path: Path) -> set[str]:
    """What a module imports of `stack`, as dotted names of modules or of what is in them."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in found if (node.module or "").partition(".")[0] == "stack"]
    return {f"{node.module}.{alias.name}" for node in ours for alias in node.names}


def test_the_emulators_image_has_every_module_that_it_imports() -> None:
    copied = [line for line in stages()["emulator"] if line.startswith("COPY stack")]
    assert copied == [
        "COPY stack/__init__.py stack/healthcheck.py stack/",
        "COPY stack/bigquery_emulator stack/bigquery_emulator",
    ]
    modules = list((ROOT / "stack" / "bigquery_emulator").glob("*.py"))
    assert len(modules) >= 9
    imported = {name for path in modules for name in imports_of(path)}
    assert {name for name in imported if not name.startswith("stack.bigquery_emulator.")} == set()
    assert imports_of(ROOT / "stack" / "healthcheck.py") == set()


def test_every_image_is_a_target_that_does_not_run_as_root() -> None:
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets == {"emulator", "elt", "airflow"}
    for target in targets:
        users = [line for line in stages()[target] if line.startswith("USER")]
        assert users[-1] == "USER 10001:10001"


def test_the_environments_are_installed_from_the_locked_requirements_with_hashes() -> None:
    assert not re.search(r"pip3? install|uv pip|curl|wget", DOCKERFILE)
    installed = set(re.findall(r"RUN python3 stack/bootstrap\.py --only (\w+)", DOCKERFILE))
    assert installed == {"tools", "emulator", "airflow", "main", "jars"}


def test_what_is_copied_is_in_the_build_context() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert source == "." or any(Path(source).is_relative_to(folder) for folder in allowed), source
            assert (ROOT / source).exists()
    for secret in (".env", ".local/airbyte/credentials.env", ".git/config", ".venv/main"):
        assert not any(Path(secret).is_relative_to(folder) or fnmatch(secret, folder) for folder in allowed)
