"""Pages that are made of their own source at every build, so that they cannot drift: settings, commands, tables, API, glossary, decisions.

Each function returns Markdown. Nothing here needs a running stack.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from airbyte.connections.description import load as load_connection
from airbyte.server.app import PROBLEMS, create
from airbyte.server.credentials import Credentials
from airbyte.server.programs import DESTINATIONS, SOURCES
from stack import settings
from stack.glossary import doc_blocks
from stack.settings import ROOT

Json = dict[str, Any]
DBT = ROOT / "dbt"
# Folders of packages whose modules are programs; those of spark_jobs have a table of their own.
PROGRAMS = ("stack", "source", "airbyte", "dashboards", "benchmarks", "website")
# Programs that main's Python does not run: {module: the environment below .venv that does}. The stack starts them, nobody by hand.
ELSEWHERE = {"stack.airflow_standalone": "airflow", "stack.bigquery_emulator.app": "emulator"}
DATASETS = {
    "staging": "Views of raw: live rows, names and types of the warehouse, nothing judged yet.",
    "intermediate": "What the marts are made of. The five heavy tables are written by dbt or by Spark, and judged by the same tests.",
    "quarantine": "Rows that break a rule, with the reason. They leave by themselves once they are repaired at the source.",
    "marts": "What analysts and the dashboard read.",
    "ops": "What the pipeline remembers of itself.",
}
MADE = "<!-- Made at every build by website/reference.py: change the source that it names. -->"


def pages() -> dict[str, str]:
    """{path below docs/: Markdown} of every generated page."""
    made = {
        "reference/settings.md": settings_page(),
        "reference/commands.md": commands_page(),
        "reference/airbyte-api.md": api_page(),
        "reference/glossary.md": glossary_page(),
        "reference/tables/index.md": tables_index(),
        "reference/tables/raw.md": raw_page(),
        "decisions/index.md": decisions_page(),
    }
    return made | {f"reference/tables/{dataset}.md": tables_page(dataset) for dataset in DATASETS}


def cell(text: Any) -> str:
    """Text as one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows])


# settings


def example_settings() -> list[tuple[str, list[tuple[str, str]]]]:
    """.env.example as (what is said of a group, [(variable, its example value)])."""
    found: list[tuple[list[str], list[tuple[str, str]]]] = []
    for paragraph in (ROOT / ".env.example").read_text().split("\n\n"):
        found.append(([], []))
        for line in paragraph.splitlines():
            said, variables = found[-1]
            if match := re.fullmatch(r"# ([A-Z_]+)=(.*)", line):
                variables.append((match[1], match[2]))
            elif variables:
                found.append(([line.removeprefix("#").strip()], []))
            else:
                said.append(line.removeprefix("#").strip())
    return [(" ".join(said), variables) for said, variables in found]


def field_comments() -> dict[str, str]:
    """{field of Settings: the comment above its group in stack/settings.py}."""
    body = (ROOT / "stack" / "settings.py").read_text().split("class Settings:")[1].split("@property")[0]
    comments: dict[str, str] = {}
    comment = ""
    lines: Iterator[str] = iter(body.splitlines())
    for line in map(str.strip, lines):
        if line.startswith("#"):
            comment = line.removeprefix("# ")
        elif not line:
            comment = ""
        elif match := re.match(r"(\w+): ", line):
            comments[match[1]] = comment
    return comments


def settings_page() -> str:
    """Every environment variable, with its default as stack/settings.py has it."""
    with mock.patch.dict(os.environ, clear=True):
        defaults = settings.load()
    known = {field.name.upper(): field for field in fields(defaults)} | {
        "SOURCE_DSN": next(field for field in fields(defaults) if field.name == "source_dsn_override")
    }
    comments = field_comments()
    parts = [
        "# Settings",
        MADE,
        "Every address, path and secret is an environment variable. Copy `.env.example` to `.env` and change what differs. "
        "Only `make` and Compose read that file; for the commands that begin with `python`, in each shell first: `set -a; . ./.env; set +a`. "
        "A value is the same to make and to a shell when it has no quotes, no spaces and none of `$ # & ; ( ) < > | ~ \\` or a backtick: "
        "in an address, percent-encode them (`$` is `%24`). "
        "An empty value counts as not set. The same names hold for the embedded stack, for containers and for production; "
        "`stack/settings.py` is the only place that reads them.",
    ]
    for said, variables in example_settings():
        rows: list[tuple[str, str, str, str]] = []
        before = ""
        for name, example in variables:
            field = known.get(name)
            is_secret = field is not None and not field.repr
            held = field is not None and bool(getattr(defaults, field.name))
            default = f"`{example.strip()}`" if example.strip() else "none"
            if is_secret:
                default = "a secret; the local one is in `.env.example`" if held else "none; a secret"
            kind = {"int": "number", "Path": "path"}.get(str(field.type) if field else "", "text")
            # What is said of a group is said once.
            what = comments.get(field.name, "") if field else ""
            rows.append((f"`{name}`", default, kind, "" if what == before else what))
            before = what
        # The file's own first line is about the file.
        parts.append("## Where everything is" if said.startswith("Every setting") else f"**{said.rstrip('.')}.**")
        parts.append(table(("variable", "default", "type", "what it is"), rows))
    return "\n\n".join(parts) + "\n"


# commands


def make_targets() -> list[tuple[str, str]]:
    """(target, what it does) as `make help` lists them."""
    found = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(), re.M)
    return [(name, text) for name, text in found]


def programs(*folders: str) -> list[tuple[str, str]]:
    """(module, first sentence of its docstring) of everything in these folders that is run as a program."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            if path.name != "__main__.py" and '\nif __name__ == "__main__":' not in text:
                continue
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
            docstring = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
            found.append((module, re.sub(rf"^`python -m {re.escape(module)}[^`]*`: ", "", docstring)))
    return found


def commands_page() -> str:
    """The Makefile's targets and the programs behind them."""
    options = re.search(r"echo 'demo options: (.*?)'", (ROOT / "Makefile").read_text())
    assert options is not None, "the Makefile's help no longer says the demo's options"
    return (
        "\n\n".join(
            [
                "# Commands",
                MADE,
                "## make",
                "`make help` prints this list. `make demo` takes "
                + ", ".join(f"`{option}`" for option in options[1].split())
                + ".",
                table(("target", "what it does"), [(f"`make {name}`", text) for name, text in make_targets()]),
                "## Programs",
                "Each of them is run as `python -m NAME`, `python` being `.venv/main/bin/python`, from the checkout's folder; `--help` tells its options.",
                table(
                    ("program", "what it does"),
                    [(f"`{name}`", text) for name, text in programs(*PROGRAMS) if name not in ELSEWHERE],
                ),
                "## Spark jobs",
                "Run by `spark-submit spark_jobs/NAME.py`, as [at a Spark cluster](../how-to/spark-cluster.md); `--help` tells their options.",
                table(
                    ("job", "what it does"),
                    [(f"`{name.removeprefix('spark_jobs.')}`", text) for name, text in programs("spark_jobs")],
                ),
            ]
        )
        + "\n"
    )


# tables


def described(text: str, blocks: dict[str, str]) -> str:
    """A YAML description with its `doc()` filled in. Raises KeyError for a block that is not there."""
    return re.sub(r"\{\{ doc\('(\w+)'\) \}\}", lambda match: blocks[match[1]], text or "")


def nodes(dataset: str) -> list[Json]:
    """The models of a dataset, and its seeds and snapshots, as their YAML has them, by name."""
    folders = [DBT / "models" / dataset]
    folders += [DBT / "seeds"] if dataset == "staging" else []
    found: list[Json] = []
    for folder in folders:
        for path in sorted(folder.glob("*.yml")):
            document = yaml.safe_load(path.read_text())
            found += [*document.get("models", []), *document.get("seeds", [])]
    return sorted(found, key=lambda node: str(node["name"]))


def tests_of(node: Json) -> list[str]:
    """The rules that a table's YAML demands, in words."""
    said = []
    for test in node.get("data_tests", []):
        kind, body = (test, {}) if isinstance(test, str) else next(iter(test.items()))
        arguments = body.get("arguments", {})
        if kind == "key":
            said.append(f"key: `{', '.join(arguments['columns'])}`")
        elif kind == "holds":
            # A macro's call reads well enough without its braces.
            rules = {name: re.sub(r"\{\{ (.*?) \}\}", r"\1", rule) for name, rule in arguments["rules"].items()}
            said += [f"{name.replace('_', ' ')}: `{rule}`" for name, rule in rules.items()]
        elif kind == "shares_are_usual":
            said += [
                f"`{share['condition']}` in at most {share['at_most']:.0%} of the rows (warns)"
                for share in arguments["shares"]
            ]
        else:
            said.append(
                kind.replace("_", " ") + (" (warns)" if body.get("config", {}).get("severity") == "warn" else "")
            )
    return said


def tables_page(dataset: str) -> str:
    """Every table of a dataset with its columns."""
    blocks = doc_blocks()
    parts = [f"# {dataset}", MADE, DATASETS[dataset]]
    for node in nodes(dataset):
        columns = node["columns"]
        has_types = any("data_type" in column for column in columns)
        head = ("column", "type", "what it is") if has_types else ("column", "what it is")
        rows = []
        for column in columns:
            text = described(column["description"], blocks)
            kind = (f"{column['data_type'].upper()}",) if has_types else ()
            rows.append((f"`{column['name']}`", *kind, text))
        parts += [f"## {node['name']}", described(node["description"], blocks).strip(), table(head, rows)]
        if demanded := tests_of(node):
            parts.append("Tested: " + "; ".join(demanded) + ".")
    return "\n\n".join(parts) + "\n"


def tables_index() -> str:
    """The datasets, and how many tables and views each has."""
    rows = [
        ("[raw](raw.md)", len(load_connection().streams) + 1, "The source as Airbyte lands it, and the ECB's rates.")
    ]
    rows += [(f"[{name}]({name}.md)", len(nodes(name)), text) for name, text in DATASETS.items()]
    return (
        "\n\n".join(
            [
                "# Tables",
                MADE,
                "What is where in the warehouse, from the dbt project's own YAML: every description ends with the grain, and every key is tested. "
                "`make dbt-docs` writes the same with the lineage, of the tables as they are, as one HTML file. "
                "How a layer comes from the one before is in [Architecture](../../architecture.md).",
                table(("dataset", "tables and views", "what it holds"), rows),
                "`ops.run_ledger` and `ops.parity_audit` are written by the DAGs, not by dbt: see [Architecture](../../architecture.md#ops).",
            ]
        )
        + "\n"
    )


def raw_page() -> str:
    """What Airbyte lands: streams, keys and the columns that the pipeline needs."""
    sources = yaml.safe_load((DBT / "models" / "staging" / "sources.yml").read_text())["sources"]
    grain = {item["name"]: item["description"] for source in sources for item in source["tables"]}
    parts = [
        "# raw",
        MADE,
        sources[0]["description"].strip(),
        "Types and the added columns: [Architecture](../../architecture.md#source-raw). Further columns of the source are landed, too; no model reads them.",
    ]
    for stream in load_connection().streams:
        parts += [
            f"## {stream.name}",
            f"{grain[stream.name]} Key `{', '.join(stream.primary_key)}`, sync mode `{stream.sync_mode}`. {stream.reason}",
            ", ".join(f"`{column}`" for column in stream.columns),
        ]
    parts += [
        "## ecb_fx_rates",
        f"{sources[1]['description'].strip()} {grain['ecb_fx_rates']}",
        "`rate_date`, `currency`, `units_per_eur`, `_airbyte_extracted_at`",
    ]
    return "\n\n".join(parts) + "\n"


def glossary_page() -> str:
    """The business terms, as every table's description quotes them."""
    blocks = doc_blocks("glossary.md")
    body = [f"`{name}`\n:   {' '.join(text.split())}" for name, text in blocks.items() if not name.startswith("__")]
    return "\n\n".join(["# Glossary", MADE, "What the business terms mean, by the column that has them.", *body]) + "\n"


def decisions_page() -> str:
    """The decision records by number."""
    rows = []
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        number, _, title = path.read_text().splitlines()[0].removeprefix("# ").partition(" ")
        rows.append((number, f"[{title}]({path.name})"))
    said = (
        "One page for each choice that a newcomer would question: what was known, what was tried, what was chosen, and what follows. "
        "A number that is not there was never used."
    )
    return "\n\n".join(["# Decisions", MADE, said, table(("", "decision"), rows)]) + "\n"


# the API


def api_page() -> str:
    """The embedded Airbyte server's routes, from the document that it publishes itself."""
    with tempfile.TemporaryDirectory() as folder:
        document = create(Path(folder), Credentials("id", "secret")).openapi()
    parts = [
        "# Airbyte API",
        MADE,
        "The part of Airbyte's public API that the embedded server speaks, as it publishes it at `/openapi.json`. A real Airbyte has the same and more; "
        "what only this server has are `/jobs/{jobId}/streams` and `/jobs/{jobId}/log`. Every answer of success is 200 and JSON, but for texts. "
        "All but `/health` and `/applications/token` want `Authorization: Bearer TOKEN`.",
        table(("status", "an error, as JSON"), list(PROBLEMS.items())),
    ]
    by_tag: dict[str, list[tuple[Any, ...]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["access"])[0]
            asked = [f"`{p['name']}`" for p in operation.get("parameters", []) if p["in"] == "query"]
            by_tag.setdefault(tag, []).append((f"`{method.upper()} {path}`", ", ".join(asked), _body(operation)))
    for tag, rows in by_tag.items():
        parts += [f"## {tag.title()}", table(("request", "query", "body"), rows)]
    parts.append("## Bodies")
    for name, schema in sorted(document["components"]["schemas"].items()):
        if not name.endswith(("Body", "Patch", "Configurations", "Schedule", "SelectedField")) or name == "ProblemBody":
            continue
        rows = [
            (
                f"`{field}`",
                _type(about),
                "yes" if field in schema.get("required", []) else "",
                about.get("description", ""),
            )
            for field, about in schema.get("properties", {}).items()
        ]
        parts += [f"### {name}", schema.get("description", ""), table(("field", "type", "needed", ""), rows)]
    parts.append("## Configurations of the connectors")
    for kind, definitions in (("source", SOURCES), ("destination", DESTINATIONS)):
        for name, definition in definitions.items():
            spec = definition.spec["connectionSpecification"]
            rows = [
                (
                    f"`{field}`",
                    _type(about),
                    "yes" if field in spec["required"] else "",
                    about.get("description", about.get("title", "")),
                )
                for field, about in spec["properties"].items()
            ]
            parts += [f"### {kind} {name}", table(("field", "type", "needed", "what it is"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _body(operation: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    for about in content.values():
        name = about["schema"].get("$ref", "").rsplit("/", 1)[-1]
        anchor = re.sub(r"[^a-z0-9]+", "-", name.lower())
        return f"[{name}](#{anchor})" + (", or as a form" if any("form" in other for other in content) else "")
    return ""


def _type(about: Json) -> str:
    """A JSON schema's type in a word or two."""
    if "$ref" in about:
        return str(about["$ref"]).rsplit("/", 1)[-1]
    if options := about.get("anyOf") or about.get("oneOf"):
        names = dict.fromkeys(_type(option) for option in options)
        names.pop("null", None)
        return " or ".join(names)
    if values := about.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if "const" in about:
        return f"`{about['const']}`"
    if about.get("type") == "array":
        return f"list of {_type(about.get('items', {}))}"
    return str(about.get("type", "any"))
