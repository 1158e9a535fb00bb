"""A Docker engine for the tests: the user's where one answers, else one that they start as root and stop again.

The engine of our own has no part in the machine's network set-up: no firewall rules, no forwarding, no default bridge. So its containers reach each other and
nobody else, and what is built uses the machine's network. Its images and build cache stay in `.cache/docker` for the next time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stack.settings import ROOT

DATA = ROOT / ".cache" / "docker"
START_SECONDS = 90
NO_ENGINE = (
    "no Docker engine answers, and none can be started here: start yours, or, as root on Debian, "
    "`apt-get install docker.io docker-compose mmdebstrap`"
)
NO_COMPOSE = "neither `docker compose` nor `docker-compose` is there: install one of them"


class EngineError(RuntimeError):
    """There is no engine to work with; the message says what to do."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        is_own: it was started here: nobody else's images are in it.
        env: the environment of programs that talk to it.
        compose: the command line of Compose, without arguments.
    """

    is_own: bool
    env: dict[str, str] = field(repr=False)
    compose: tuple[str, ...]

    def docker(self, *arguments: str, timeout: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker program and return what it printed."""
        done = subprocess.run(
            ["docker", *arguments], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            raise EngineError(f"docker {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
        return done


@contextmanager
def found_or_started() -> Iterator[Engine]:
    """The engine that answers, else one of our own for as long as the context lasts. Raises EngineError when there is neither."""
    if not shutil.which("docker"):
        raise EngineError(NO_ENGINE)
    env = dict(os.environ)
    if _answers(env):
        yield Engine(False, env, _compose(env))
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise EngineError(NO_ENGINE)
    # A socket's path may have a hundred characters only, so it does not live in the checkout.
    with tempfile.TemporaryDirectory(prefix="marketplace-elt-docker-") as folder:
        # The classic builder: the newer one needs a plugin that not every machine has.
        env |= {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }
        with _started(Path(folder), env):
            yield Engine(True, env, _compose(env))


def _answers(env: dict[str, str]) -> bool:
    return subprocess.run(["docker", "info"], env=env, capture_output=True, check=False).returncode == 0


def _compose(env: dict[str, str]) -> tuple[str, ...]:
    for command in (("docker", "compose"), ("docker-compose",)):
        if not shutil.which(command[0]):
            continue
        if subprocess.run([*command, "version"], env=env, capture_output=True, check=False).returncode == 0:
            return command
    raise EngineError(NO_COMPOSE)


def _unmount(folder: Path) -> None:
    """What the engine leaves mounted below the folder: network namespaces."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((p for p in places if Path(p).is_relative_to(folder)), reverse=True):
        subprocess.run(["umount", place], check=False)


@contextmanager
def _started(folder: Path, env: dict[str, str]) -> Iterator[None]:
    DATA.mkdir(parents=True, exist_ok=True)
    log = DATA.with_suffix(".log")
    command = [
        "dockerd",
        "--data-root",
        str(DATA),
        "--exec-root",
        f"{folder}/exec",
        "--pidfile",
        f"{folder}/docker.pid",
    ]
    command += ["-H", env["DOCKER_HOST"], "--bridge=none"]
    command += [f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(env):
            if daemon.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise EngineError(f"the engine does not start: {''.join(last)} (log: {log})")
            time.sleep(0.5)
        yield
    finally:
        # Its containers' processes go with it.
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _unmount(folder)
