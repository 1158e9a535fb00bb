"""`python -m tests.dbt.mutation`: plants one mistake at a time in a copy of the dbt project and says which test notices.

The catalogue is tests/dbt/mutants.yml. A mutant is judged by the project's own tests, the cheapest first, until one is red:

1. the unit tests of the models that the mistake changes;
2. after the first sync of tests/dbt/scenario.py: `dbt build` of what the mistake can reach, models and data tests, stopped at the first failure;
3. the expectations of `TestFirstRun` (tests/dbt/test_marts.py);
4. after the second sync: an incremental run from the tables that the sound project left, and the expectations of `TestSecondSync`;
5. a full refresh, which must make the same rows as the incremental run.

Prints a line per mutant and `caught / planted`. The exit status is 1 when one survives, or is no mutant at all: its SQL does not run.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import inspect
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack import bigquery, emulator
from stack import settings as stack_settings
from stack.processes import free_port
from stack.settings import ROOT, Settings
from tests.content import content, differences
from tests.dbt import raw_tables, scenario, test_marts
from tests.dbt.invocation import failures, invoke

CATALOGUE = Path(__file__).with_name("mutants.yml")
LAYERS = ("intermediate", "marts", "quarantine")
# What the sound project left after the first sync is kept here, and is what each incremental run starts from.
KEPT = "kept"


@dataclass(frozen=True)
class Mutant:
    """One mistake: in `file` (below dbt/), the text `old`, which occurs there once, becomes `new`; `breaks` is the rule that is broken then."""

    id: str
    file: str
    old: str
    new: str
    breaks: str


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: `caught` by a test, `survived`, or `broken` (it does not run, so it proves nothing)."""

    mutant: Mutant
    outcome: str
    by: str
    seconds: float


class CatalogueError(ValueError):
    """An entry does not fit the project (any more); the message names it and says what to do."""


def catalogue(path: Path = CATALOGUE) -> list[Mutant]:
    """Every mutant. Raises CatalogueError on an id that occurs twice."""
    mutants = [Mutant(**entry) for entry in yaml.safe_load(path.read_text())]
    ids = [mutant.id for mutant in mutants]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise CatalogueError(f"more than one mutant is called {sorted(twice)}")
    return mutants


def mutated(mutant: Mutant, text: str) -> str:
    """The file's text with the mistake in it. Raises CatalogueError unless the old text occurs exactly once."""
    if (count := text.count(mutant.old)) != 1:
        raise CatalogueError(
            f"mutant {mutant.id}: the text to replace occurs {count} times in dbt/{mutant.file}, not once: "
            "write down what stands there now"
        )
    return text.replace(mutant.old, mutant.new)


def downstream_first(mutant: Mutant) -> tuple[int, str]:
    """A sort key: a mistake in a mart is judged before one in what the mart reads, so that each build also repairs what the mutant before left."""
    rooms = ("models/quarantine", "models/marts", "models/ops", "models/intermediate", "models/staging", "macros")
    return next(i for i, room in enumerate(rooms) if mutant.file.startswith(room)), mutant.file


class Laboratory:
    """A warehouse and a copy of the project, for one mutant at a time."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._project = folder / "dbt"
        self._state = folder / "sound"
        self._settings = own_settings(folder)
        # Models that the last mutant made, and the next build has to make again.
        self._spoilt: set[str] = set()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Run the warehouse; build the sound project on the first sync, which every test must pass."""
        shutil.copytree(ROOT / "dbt", self._project, ignore=shutil.ignore_patterns("target", "logs"))
        emulator.start(self._settings)
        try:
            self._land(scenario.first_sync())
            self._demand_green(failures(invoke(self._settings, self._project, "build")))
            # This view looks its tables up when it is made: now they are there.
            self._demand_green(failures(invoke(self._settings, self._project, "run", "--select", "path:models/ops")))
            self._state.mkdir()
            shutil.copy(self._folder / "target" / "manifest.json", self._state)
            self._demand_green(self._expectations(test_marts.TestFirstRun))
            yield
        finally:
            emulator.stop(self._settings)

    def after_first_sync(self, mutant: Mutant) -> str | None:
        """What notices the mutant, or None. Raises CatalogueError when its SQL does not run."""
        with self._planted(mutant):
            state = ("--fail-fast", "--state", str(self._state))
            # A unit test reads rows of its own, and so judges the changed models alone.
            rules = ("test", "--select", "state:modified,test_type:unit")
            if red := failures(invoke(self._settings, self._project, *rules, *state)):
                return first(red)
            reach = ("build", "--full-refresh", "--exclude", "resource_type:unit_test", "--select", "state:modified+")
            results = invoke(self._settings, self._project, *reach, *sorted(self._spoilt), *state)
            made = [r for r in results if r.node.resource_type == "model" and str(r.status) != "skipped"]
            self._spoilt = {result.node.name for result in made}
            red = failures(results)
            if broken := {name: message for name, message in red.items() if not message.startswith("fail")}:
                raise CatalogueError(f"mutant {mutant.id} does not run: {broken}")
            return first(red) or first(self._expectations(test_marts.TestFirstRun))

    def begin_second_sync(self) -> None:
        """The sound project again, its tables kept, and the second sync landed; the sound project must pass that, too."""
        self._demand_green(failures(invoke(self._settings, self._project, "run", "--full-refresh")))
        bq = bigquery.client(self._settings)
        bq.create_dataset(KEPT, exists_ok=True)
        for table in self._incremental():
            bigquery.query(bq, f"create or replace table {KEPT}.{table.replace('.', '__')} as select * from {table}")
        self._land(scenario.second_sync())
        self._demand_green(self._second_sync())

    def after_second_sync(self, mutant: Mutant) -> str | None:
        """What notices the mutant, or None."""
        bq = bigquery.client(self._settings)
        for table in self._incremental():
            bigquery.query(bq, f"create or replace table {table} as select * from {KEPT}.{table.replace('.', '__')}")
        with self._planted(mutant):
            return first(self._second_sync())

    def _second_sync(self) -> dict[str, str]:
        """{test: message} of what is red after an incremental run and a full refresh."""
        invoke(self._settings, self._project, "run", "--select", "config.materialized:view")
        pending = dict(self._rows("select raw_table, pending_rows from ops.pending_rows"))
        if red := failures(invoke(self._settings, self._project, "run", "--exclude", "config.materialized:view")):
            return red
        if red := self._expectations(test_marts.TestSecondSync, second_run=pending):
            return red
        incremental = content(self._settings, LAYERS, with_landing=True)
        arguments = ("--full-refresh", "--exclude", "config.materialized:view")
        if red := failures(invoke(self._settings, self._project, "run", *arguments)):
            return red
        differing = differences(incremental, content(self._settings, LAYERS, with_landing=True))
        return {"test_a_full_refresh_makes_the_same_tables": f"differ: {sorted(differing)}"} if differing else {}

    def _expectations(self, tests: type, **fixtures: Any) -> dict[str, str]:
        """Run the test methods of a class that ask for nothing but the warehouse and `fixtures`. {method: message} of the first that fails."""
        known = {"warehouse": self._rows, "emulator": self._settings} | fixtures
        for name, method in inspect.getmembers(tests(), inspect.ismethod):
            wanted = inspect.signature(method).parameters
            if not name.startswith("test_") or not wanted.keys() <= known.keys():
                continue
            try:
                method(**{parameter: known[parameter] for parameter in wanted})
            except Exception as error:
                return {f"{tests.__name__}.{name}": f"fail: {type(error).__name__}: {error}"}
        return {}

    @contextlib.contextmanager
    def _planted(self, mutant: Mutant) -> Iterator[None]:
        path = self._project / mutant.file
        sound = path.read_text()
        path.write_text(mutated(mutant, sound))
        try:
            yield
        finally:
            path.write_text(sound)

    def _incremental(self) -> list[str]:
        """dataset.table of each model that remembers its last run, or whose watermark says what is pending."""
        import json

        nodes = json.loads((self._state / "manifest.json").read_text())["nodes"].values()
        return sorted(
            f"{node['schema']}.{node['alias']}"
            for node in nodes
            if node["config"].get("materialized") == "incremental" or "heavy" in node.get("tags", ())
        )

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return test_marts.as_text(bigquery.query(bigquery.client(self._settings), sql))

    def _land(self, tables: scenario.Tables) -> None:
        raw_tables.replace(bigquery.client(self._settings), tables)

    @staticmethod
    def _demand_green(red: dict[str, str]) -> None:
        if red:
            raise RuntimeError(f"the project without a mutant is not green: {red}")


def own_settings(folder: Path) -> Settings:
    """A deployment in a folder, on free ports; for this process and its children."""
    os.environ["LOCAL_DIR"] = str(folder)
    for name in ("BIGQUERY_PORT", "BIGQUERY_GRPC_PORT"):
        os.environ[name] = str(free_port())
    return stack_settings.load()


def first(red: dict[str, str]) -> str | None:
    """The name of a red test."""
    return next(iter(red), None)


def judge(mutants: list[Mutant]) -> list[Verdict]:
    """Judge the mutants one by one in a laboratory of their own. What dbt prints goes to the laboratory's log."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    verdicts: dict[str, Verdict] = {}

    def note(mutant: Mutant, test: Callable[[Mutant], str | None]) -> bool:
        """Whether it is still alive."""
        started = time.monotonic()
        before = verdicts[mutant.id].seconds if mutant.id in verdicts else 0.0
        try:
            by = test(mutant)
            outcome = "caught" if by else "survived"
        except CatalogueError as error:
            by, outcome = str(error), "broken"
        verdicts[mutant.id] = Verdict(mutant, outcome, by or "", before + time.monotonic() - started)
        print(f"{outcome}: {mutant.id} {by or ''}", file=sys.stderr, flush=True)
        return outcome == "survived"

    with (folder / "log").open("w") as log, contextlib.redirect_stdout(log):
        laboratory = Laboratory(folder / "laboratory")
        with laboratory.open():
            alive = [mutant for mutant in mutants if note(mutant, laboratory.after_first_sync)]
            if alive:
                laboratory.begin_second_sync()
            for mutant in alive:
                note(mutant, laboratory.after_second_sync)
    shutil.rmtree(folder, ignore_errors=True)
    return list(verdicts.values())


def run(mutants: list[Mutant], jobs: int) -> list[Verdict]:
    """Judge all mutants in `jobs` laboratories at once."""
    mutants = sorted(mutants, key=downstream_first)
    share = -(-len(mutants) // jobs)
    shares = [mutants[start : start + share] for start in range(0, len(mutants), share)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(len(shares), mp_context=context) as pool:
        return [verdict for verdicts in pool.map(judge, shares) for verdict in verdicts]


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.dbt.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="ID", action="append", help="only this mutant; may be repeated")
    parser.add_argument(
        "--jobs", type=int, default=1, help="laboratories at once; each wants a core and 0.7 GB (default 1)"
    )
    parser.add_argument("--list", action="store_true", help="print the catalogue and judge nothing")
    chosen = parser.parse_args(arguments)
    try:
        mutants = catalogue()
        for mutant in mutants:
            mutated(mutant, (ROOT / "dbt" / mutant.file).read_text())
        if unknown := set(chosen.only or ()) - {mutant.id for mutant in mutants}:
            raise CatalogueError(f"no mutant is called {sorted(unknown)}: --list names them")
    except CatalogueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.only:
        mutants = [mutant for mutant in mutants if mutant.id in chosen.only]
    if chosen.list:
        for mutant in mutants:
            print(f"{mutant.id:42} {mutant.file:52} {mutant.breaks}")
        return 0
    started = time.monotonic()
    verdicts = run(mutants, max(1, chosen.jobs))
    for verdict in verdicts:
        name = {"survived": "SURVIVED", "broken": "BROKEN"}.get(verdict.outcome, verdict.outcome)
        by = verdict.by or f"nothing: {verdict.mutant.breaks}"
        print(f"{name:9} {verdict.seconds:5.1f} s  {verdict.mutant.id:42} by {by}")
    caught = sum(verdict.outcome == "caught" for verdict in verdicts)
    print(f"{caught} / {len(verdicts)} caught in {time.monotonic() - started:.0f} s")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
