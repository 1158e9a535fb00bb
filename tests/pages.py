"""Plays a documentation page: every block of it is run, written, applied or compared, as its language and title say.

| block | what is done |
|---|---|
| `sh` | run in bash, in the checkout's folder; a status that is not 0 is a failure |
| `sh title="until Ctrl-C: …"` | run until it says `serving`; then what the test wants to see is looked at, and it is interrupted |
| `sh title="not run here: …"` | checked for bash's syntax only, as it needs what no test has; the page says so to the reader |
| `sql` | run on the warehouse |
| `sql`, `yaml` with a path as title | written to that file |
| `diff` | applied by `git apply` |
| `ini` | every name in it must be a setting |
| `text title="output"` | must be what the block before it printed: its lines, in order, but for seconds, times, ids and ports; `…` stands for anything |
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack import bigquery
from stack.settings import ROOT
from tests.e2e.deployment import Deployment

DOCS = ROOT / "docs"
NOT_RUN = "not run here: "
SERVES = "until Ctrl-C: "
# What is another one in each run, and says nothing.
VOLATILE = {
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?": "TIME",
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "ID",
    r"\b\d+(\.\d+)? s\b": "SECONDS",
    r"(?<=127\.0\.0\.1:)\d+": "PORT",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title, its text, the section it is in and the line at which it begins."""

    page: str
    section: str
    language: str
    title: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"docs/{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The page's blocks, in their order. Raises ValueError when one has no end."""
    found: list[Block] = []
    section, start, head, body = "", 0, "", list[str]()
    for number, line in enumerate((DOCS / page).read_text().splitlines(), 1):
        if start and line == "```":
            language, _, rest = head.partition(" ")
            title = re.search(r'title="([^"]*)"', rest)
            found.append(Block(page, section, language, title[1] if title else "", "\n".join(body) + "\n", start))
            start = 0
        elif start:
            body.append(line)
        elif line.startswith("```"):
            start, head, body = number, line.removeprefix("```"), []
        elif line.startswith("## "):
            section = line.removeprefix("## ")
    if start:
        raise ValueError(f"docs/{page}:{start}: a block without an end")
    return found


def sections(page: str) -> list[str]:
    """The headings of the second level that have a block below them."""
    return list(dict.fromkeys(block.section for block in blocks(page)))


def plain(line: str) -> str:
    """A line of output without what differs from run to run."""
    for pattern, word in VOLATILE.items():
        line = re.sub(pattern, word, line)
    return " ".join(line.split())


def missing(expected: str, printed: str) -> str | None:
    """The first line of `expected` that `printed` does not have after the line before; None when all are there."""
    lines = iter([plain(line) for line in printed.splitlines()])
    for line in filter(None, map(plain, expected.splitlines())):
        pattern = re.compile("".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", line)))
        if line != "…" and not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def checkout(folder: Path) -> Path:
    """A copy of the repository's files, for pages that change some. It has no environments: programs of the project run in it, not make."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, target)
    return folder


@dataclass
class Player:
    """Plays pages on a deployment, in a checkout. `replaced` are texts of the pages that mean something else here, such as a host's name."""

    deployment: Deployment
    folder: Path = ROOT
    replaced: dict[str, str] = field(default_factory=dict)
    played: set[Block] = field(default_factory=set)

    def play(self, page: str, section: str, serving: Callable[[str], None] | None = None, **variables: str) -> str:
        """Play a section. Returns everything that it printed. `serving` is called with the address of what serves; `variables` go to the environment."""
        wanted = [block for block in blocks(page) if block.section == section]
        assert wanted, f"docs/{page} has no block under {section!r}: {sections(page)}"
        everything, printed = "", ""
        for block in wanted:
            self.played.add(block)
            if block.language == "text":
                assert block.title == "output", f"{block}: a text block that nobody can run, and that is no output"
                lacking = missing(self._here(block.text), printed)
                assert lacking is None, f"{block}: {lacking!r} is not what is printed:\n{printed}"
            else:
                printed = self._do(block, serving, variables)
                everything += printed
        return everything

    def _here(self, text: str) -> str:
        for name, meaning in self.replaced.items():
            text = text.replace(name, meaning)
        return text

    def _do(self, block: Block, serving: Callable[[str], None] | None, variables: Mapping[str, str]) -> str:
        text = self._here(block.text)
        if block.language == "sh":
            return self._shell(block, text, serving, variables)
        if block.language == "sql" and not block.title:
            return bigquery.as_table(bigquery.query(bigquery.client(self.deployment.settings), text))
        if block.language == "diff":
            self._demand_a_copy(block)
            done = subprocess.run(
                ["git", "apply", "-"], cwd=self.folder, input=text, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block}: {done.stderr}"
            return ""
        if block.language in ("sql", "yaml") and "/" in block.title:
            self._demand_a_copy(block)
            (self.folder / block.title).write_text(text)
            return ""
        assert block.language == "ini", f"{block}: nobody knows what to do with a {block.language} block"
        demand_known_settings(block)
        return ""

    def _demand_a_copy(self, block: Block) -> None:
        assert self.folder != ROOT, f"{block} changes files: play it in a copy"

    def _shell(
        self, block: Block, text: str, serving: Callable[[str], None] | None, variables: Mapping[str, str]
    ) -> str:
        if block.title.startswith(NOT_RUN):
            done = subprocess.run(["/bin/bash", "-n"], input=text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block}: {done.stderr}"
            return ""
        # A target of make would make environments in the copy.
        assert self.folder == ROOT or not re.search(r"^make ", text, re.M), f"{block}: make in a copy"
        command = ["/bin/bash", "-e", "-o", "pipefail", "-c", text.replace(".local", str(self.deployment.local_dir))]
        options = {"cwd": self.folder, "env": self._environment(variables), "text": True}
        if block.title.startswith(SERVES):
            return self._served(block, command, options, serving)
        done = subprocess.run(command, capture_output=True, check=False, timeout=2200, **options)
        assert done.returncode == 0, f"{block}: status {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        # What the make that runs the tests was called with is not for the make of a page.
        inherited = {name: value for name, value in self.deployment.env.items() if not name.startswith("MAKE")}
        path = f"{Path(sys.executable).parent}:{inherited.get('PATH', os.defpath)}"
        return inherited | {"PATH": path, "PYTHONPATH": str(self.folder)} | dict(variables)

    @staticmethod
    def _served(block: Block, command: list[str], options: dict, serving: Callable[[str], None] | None) -> str:
        assert serving is not None, f"{block} serves until Ctrl-C: say what to look at"
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if address := re.search(r"^serving (http://\S+)", line):
                    serving(address[1])
                    break
            else:
                raise AssertionError(f"{block}: ended without serving: {said}")
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.communicate(timeout=300)
            except subprocess.TimeoutExpired:
                # What does not end must not hold its port for the next block; that it did not end is an error all the same.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return said


def demand_known_settings(block: Block) -> None:
    """Every line of an `ini` block sets something that the project knows."""
    listed = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))
    for line in block.text.splitlines():
        name = line.partition("=")[0]
        assert name in listed or line.startswith("#"), f"{block}: {name} is no setting"
