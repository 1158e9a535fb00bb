"""The stack of docker-compose.yml as a deployment of a test's own: project, ports, volumes and secrets that go at the end."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import yaml

from benchmarks.repeating import Repeating
from stack import compose_env
from stack.processes import free_port
from stack.settings import ROOT, VARIABLES
from tests.compose.engine import Engine
from tests.e2e.deployment import SHORT_LIVED_JVM, Deployment

COMPOSE_FILE = ROOT / "docker-compose.yml"
PROJECT = "marketplace-elt-test"
SAMPLE_SECONDS = 3.0


@dataclass
class Containers(Deployment):
    """As a `Deployment`, `run` calls a program of the project in it: in a container of the service `pipeline`."""

    engine: Engine = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.local_dir.mkdir(parents=True, exist_ok=True)
        self._file = self.local_dir / "test.env"
        # Images of the tests' own name: those of a checkout's own stack stay.
        self.variables |= {"DASHBOARD_PORT": str(free_port()), "MARKETPLACE_TAG": "test"}
        self._file.write_text("".join(f"{name}={value}\n" for name, value in self.variables.items()))
        compose_env.complete(self._file)
        self.variables |= dict(line.split("=", 1) for line in self._file.read_text().splitlines())
        described = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
        ours: dict[str, dict[str, Any]] = {name: {} for name in described}
        for name, service in described.items():
            if name.startswith("spark-"):
                # The executors', too.
                ours[name]["environment"] = {"JDK_JAVA_OPTIONS": SHORT_LIVED_JVM}
            if self.engine.is_own and "build" in service:
                # It has no bridge for what is built.
                ours[name]["build"] = {"network": "host"}
        self._files = [COMPOSE_FILE, self.local_dir / "of-the-test.yml"]
        self._files[1].write_text(yaml.safe_dump({"services": {name: own for name, own in ours.items() if own}}))

    @property
    def env(self) -> dict[str, str]:
        """Nothing of what a user set for a stack of theirs: only the file counts."""
        names = VARIABLES | set(compose_env.WANTED) | set(self.variables)
        names |= {"PYTHON_IMAGE", "POSTGRES_IMAGE", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME"}
        return {name: value for name, value in self.engine.env.items() if name not in names}

    @property
    def secrets(self) -> list[str]:
        """The values that must show nowhere."""
        return [self.variables[name] for name in compose_env.WANTED if name.endswith(("PASSWORD", "SECRET", "KEY"))]

    def compose(self, *arguments: str, timeout: float = 600, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Compose on the project."""
        command = [*self.engine.compose, "--project-name", PROJECT, "--env-file", str(self._file)]
        command += [option for file in self._files for option in ("--file", str(file))]
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
        return done

    def run(self, module: str, *arguments: str, timeout: float = 2400) -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm pipeline module arguments`."""
        if (module, *arguments[:1]) == ("stack", "demo"):
            arguments = (*arguments, "--no-start")
        return self.compose(
            "run", "--rm", "--no-deps", "-T", "pipeline", module, *arguments, timeout=timeout, check=False
        )

    def ledger(self) -> dict[str, Any]:
        """The generator's ledger, which lives in a volume."""
        path = "/var/lib/marketplace-elt/source/ledger.json"
        return json.loads(
            self.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "cat", "pipeline", path).stdout
        )

    def inspect(self) -> dict[str, dict[str, Any]]:
        """{service: what the engine knows of its container}, those that have ended included."""
        listed = self.engine.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}")
        if not listed.stdout.split():
            return {}
        known = json.loads(self.engine.docker("inspect", *listed.stdout.split()).stdout)
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in known}

    def wait_until_healthy(self, seconds: float) -> None:
        """Wait until every service is healthy. Fails with the last words of one that is not."""
        deadline = time.monotonic() + seconds
        while unwell := {name: state for name, state in self.states().items() if state not in ("healthy", "done")}:
            failed = [name for name, state in unwell.items() if state.startswith(("exited", "unhealthy", "dead"))]
            if failed or time.monotonic() > deadline:
                said = self.compose("logs", "--tail=40", "--no-color", *(failed or unwell), check=False).stdout
                raise AssertionError(f"not healthy: {unwell}\n{said[-8000:]}")
            time.sleep(1)

    def states(self) -> dict[str, str]:
        """{service: "healthy", "starting", "unhealthy", "done" (it has ended well), or the engine's word with the exit status}."""
        found = {}
        for name, container in self.inspect().items():
            state = container["State"]
            health = (state.get("Health") or {}).get("Status")
            ended = "done" if state["ExitCode"] == 0 else f"exited {state['ExitCode']}"
            found[name] = str(health or state["Status"]) if state["Running"] else ended
        return found

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")

    def leftovers(self) -> list[str]:
        """What the engine still has of the project."""
        mine = f"label=com.docker.compose.project={PROJECT}"
        kinds = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
        return [
            line for kind in kinds for line in self.engine.docker(*kind, "--quiet", "--filter", mine).stdout.split()
        ]


class Memory(Repeating):
    """A context manager that samples what each container uses; `peaks` are MiB by service, `total` the most they used together.

    `highest` is the same as `total` since it was last set to 0.
    """

    def __init__(self, containers: Containers) -> None:
        """Of these containers."""
        super().__init__(SAMPLE_SECONDS)
        self.peaks: dict[str, float] = defaultdict(float)
        self.total = self.highest = 0.0
        self._containers = containers

    def tick(self) -> None:
        """Sample once."""
        done = self._containers.engine.docker(
            "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", check=False
        )
        used = {}
        for line in done.stdout.splitlines():
            name, amount, *_ = line.split()
            # Compose's versions put different signs between project, service and number.
            mine = re.fullmatch(rf"{PROJECT}[_-](.+?)(?:[_-]run[_-]\w+|[_-]\d+)", name)
            if mine and amount[0].isdigit():
                used[mine[1]] = _megabytes(amount)
        for service, megabytes in used.items():
            self.peaks[service] = max(self.peaks[service], megabytes)
        together = sum(used.values())
        self.total = max(self.total, together)
        self.highest = max(self.highest, together)


def _megabytes(text: str) -> float:
    """Docker's "1.2GiB" in MiB."""
    for unit, factor in {"GiB": 1024.0, "MiB": 1.0, "KiB": 1 / 1024, "kB": 1 / 1024, "B": 1 / 2**20}.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
