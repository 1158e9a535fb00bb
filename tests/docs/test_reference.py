"""The generated reference pages say what their sources say, and every number of a discussion is that of the file it links to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from unittest import mock

import pytest
import yaml

from airbyte.server.app import create
from airbyte.server.credentials import Credentials
from stack import settings
from stack.settings import ROOT
from website import reference

DOCS = ROOT / "docs"
LINK = re.compile(r'\[([^\]]+)\]\(([^)\s]+)(?: "([^"]+)")?\)')
NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")


def test_the_settings_page_has_every_setting_and_no_secret() -> None:
    page = reference.settings_page()
    with mock.patch.dict(os.environ, clear=True):
        current = settings.load()
    for name in [*current.environment(), "SOURCE_DSN"]:
        assert f"| `{name}` |" in page, name
    for secret in (current.postgres_password, current.source_reader_password):
        assert secret not in page


def test_the_example_environments_defaults_are_the_real_ones() -> None:
    with mock.patch.dict(os.environ, clear=True):
        real = settings.load().environment()
    for _, variables in reference.example_settings():
        for name, example in variables:
            if name in real and real[name] and not name.endswith(("_DIR", "_URI")):
                assert example.strip() == real[name], name


def test_the_commands_page_has_every_target_and_names_programs_that_exist() -> None:
    page = reference.commands_page()
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony is not None
    assert {name for name, _ in reference.make_targets()} == set(phony[1].split())
    assert "`make demo`" in page
    assert "`ENGINE=auto|dbt|spark`" in page.replace("\\|", "|")
    known = dict(reference.programs(*reference.PROGRAMS))
    assert {"stack", "source.day", "airbyte.connections.apply", "stack.bigquery", "website"} <= known.keys()
    assert "website.reference" not in known
    assert all(known.values())
    # main's Python, which the page names, has neither Airflow nor the emulator.
    assert reference.ELSEWHERE.keys() <= known.keys()
    assert not [module for module in reference.ELSEWHERE if f"`{module}`" in page]


@pytest.mark.parametrize("dataset", reference.DATASETS)
def test_the_tables_pages_have_every_column_described(dataset: str) -> None:
    page = reference.tables_page(dataset)
    assert "{{" not in page
    for node in reference.nodes(dataset):
        part = page.split(f"## {node['name']}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \|.* (\S+) \|$", part, re.M)
        assert [name for name, _ in rows] == [column["name"] for column in node["columns"]]


def test_every_model_is_on_a_page() -> None:
    known = {node["name"] for dataset in reference.DATASETS for node in reference.nodes(dataset)}
    assert {path.stem for path in (ROOT / "dbt" / "models").rglob("*.sql")} <= known


def test_the_api_page_has_every_route(tmp_path: Path) -> None:
    page = reference.api_page()
    for path, operations in create(tmp_path, Credentials("id", "secret")).openapi()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in page


def test_every_decision_is_in_the_index() -> None:
    page = reference.decisions_page()
    for path in (DOCS / "decisions").glob("[0-9]*.md"):
        assert f"({path.name})" in page


def pages_with_figures() -> list[Path]:
    alone = [ROOT / "README.md", DOCS / "architecture.md", DOCS / "engine-choice.md"]
    return [*sorted((DOCS / "discussion").glob("*.md")), *alone]


def figures(page: Path) -> list[tuple[str, Path, str]]:
    """(the number as it is written, the file that it links to, the place in that file) of every linked number."""
    return [
        (text, (page.parent / target).resolve(), place)
        for text, target, place in LINK.findall(page.read_text())
        if NUMBER.fullmatch(text)
    ]


@pytest.mark.parametrize("page", pages_with_figures(), ids=lambda path: path.stem)
def test_a_linked_number_is_that_of_its_file(page: Path) -> None:
    for text, source, place in figures(page):
        if source.suffix == ".md":
            assert text in source.read_text(), f"{text}: not in {source.name}"
            continue
        value = json.loads(source.read_text())
        assert place, f"{text}: say which figure of {source.name} it is"
        for key in place.split("."):
            value = value[key]
        decimals = len(text.partition(".")[2])
        assert float(text.replace(",", "")) == round(value, decimals), (
            f"{text} is not {place} of {source.name}: {value}"
        )


def test_the_scalability_page_links_its_numbers() -> None:
    assert len(figures(DOCS / "discussion" / "scalability.md")) >= 25


def test_actions_of_the_workflow_are_pinned_and_it_may_only_read() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)] == []
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    targets = {name for name, _ in reference.make_targets()}
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert {command.removeprefix("make ") for command in commands if command.startswith("make ")} <= targets


def test_the_hooks_are_programs_of_our_own_environments() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    locked = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in ("main", "dev"))
    packages = {"check-added-large-files": "pre-commit-hooks", "check-merge-conflict": "pre-commit-hooks"}
    packages |= {"detect-private-key": "pre-commit-hooks", "detect-secrets-hook": "detect-secrets", "python": "mypy"}
    for hook in config["repos"][0]["hooks"]:
        environment, program = re.match(r"\.venv/(main|dev)/bin/(\S+)", hook["entry"]).groups()
        assert environment in ("main", "dev")
        assert re.search(rf"^{packages.get(program, program)}==", locked, re.M), program
