"""Make the project's environments from python3, git, make and Java alone, or say what is missing (`--check`).

Runs under the system's Python, standard library only. Every package is pinned and hashed in requirements/; Delta's jars are
pinned by version and checksum below. A second run that finds everything in place ends in a moment.
`--only NAME…` makes single environments, and `jars`: what the layers of an image are.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
ENVIRONMENTS = ("main", "emulator", "airflow")
# Made only where they are asked for (`--also`), with the target that does.
OPTIONAL = {"docs": "make docs", "dev": "make hooks", "bench": "make bench"}
WANTED = (*ENVIRONMENTS, "jars")
PYTHON_VERSION = "3.13"
JAVA_VERSIONS = (17, 21)
MIN_DISK_GB = 5

# Delta 4.4.0 for Spark 4.2: https://docs.delta.io/releases/. The checksums are those of the released artifacts.
JARS = {
    "io.delta:delta-spark_4.2_2.13:4.4.0": "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead",
    "io.delta:delta-storage:4.4.0": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
}
# What Delta's modules pull in and Spark's own distribution already has, or Delta does not need for files.
JAR_EXCLUDES = "org.*:*,com.*:*,io.unitycatalog:*,io.airlift:*,javax.*:*,commons-*:*,io.delta:delta-kernel-*"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
JARS_DIR = Path(os.environ.get("DELTA_JARS_DIR") or ROOT / ".cache" / "jars")


class Missing(Exception):
    """A prerequisite is not there; the message says how to get it."""


def java_version() -> str:
    """The version of the Java that spark-submit will use. Raises Missing when there is none or Spark does not run on it."""
    how = "install a JDK 17 (Debian: `apt-get install openjdk-17-jre-headless`; macOS: `brew install openjdk@17`) or set JAVA_HOME to one"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not java or not Path(java).exists():
        raise Missing(f"Java not found{f' at {java}' if java else ''}: Spark needs Java 17; {how}")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', answer.stderr + answer.stdout)
    if not found:
        raise Missing(f"{java} -version says nothing that looks like a version: Spark needs Java 17; {how}")
    if int(found.group(1)) not in JAVA_VERSIONS:
        raise Missing(f"Java {found.group(1)} at {java}: Spark needs Java 17 or 21; {how}")
    return found.group(0).split('"')[1]


def browser() -> str:
    """The Chromium that drives the dashboard's tests: CHROMIUM, else one in a usual place. Raises Missing when there is none."""
    chosen = os.environ.get("CHROMIUM")
    if chosen and not os.access(chosen, os.X_OK):
        raise Missing(f"CHROMIUM={chosen}: no such program")
    playwright = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    places = [
        chosen,
        *(shutil.which(name) for name in BROWSERS),
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ]
    places += map(str, sorted(playwright.glob("chromium-*/chrome-linux*/chrome"), reverse=True))
    for place in filter(None, places):
        if os.access(place, os.X_OK):
            return place
    raise Missing(
        "no Chromium found: the dashboard's tests in a browser are skipped; `apt-get install chromium`, or "
        "`.venv/main/bin/playwright install chromium`, or set CHROMIUM to one"
    )


def _python3() -> tuple[str, bool, str]:
    """Whether the Python that runs this can make the first environment."""
    version = ".".join(map(str, sys.version_info[:3]))
    is_recent = sys.version_info >= (3, 11)
    if not is_recent:
        return "python3", False, f"{version}: 3.11 or later is needed"
    # Debian and Ubuntu have it in a package of its own, and their slim images and servers are without.
    if find_spec("ensurepip") is None and not _is_current("tools"):
        return "python3", False, f"{version}: without its module ensurepip; `apt-get install python3-venv`"
    return "python3", True, version


def check(wanted: Sequence[str] = WANTED) -> list[tuple[str, bool, str]]:
    """Every prerequisite of what is wanted as (name, is there, what was found or how to get it)."""
    results = []
    results.append(_python3())
    for tool in ("git", "make"):
        path = shutil.which(tool)
        results.append((tool, path is not None, path or "not found: install it with your system's package manager"))
    try:
        results.append(("java", True, java_version()))
    except Missing as missing:
        results.append(("java", False, str(missing)))
    # Spark's own scripts split it there.
    has_space = any(map(str.isspace, str(ROOT)))
    results.append(("folder", not has_space, f"{ROOT}: move it to a path without a space" if has_space else str(ROOT)))
    free = shutil.disk_usage(ROOT).free / 1e9
    # What is installed needs no room for being installed.
    enough = free >= MIN_DISK_GB or not _missing(wanted)
    # Rounded down: what is too little by a hair must not look enough.
    found = f"{math.floor(free * 10) / 10:.1f} GB free"
    results.append(("disk", enough, found + ("" if enough else f": {MIN_DISK_GB} GB are needed under {ROOT}")))
    return results


def _run(what: str, command: list[str], **kwargs: object) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False, **kwargs)  # type: ignore[call-overload]
    if result.returncode:
        lines = [line for line in (result.stderr or result.stdout).strip().splitlines() if line.strip()]
        raise Missing(f"{what} failed: " + " | ".join(lines[-4:]))


def _python() -> str:
    """What to give uv as --python: UV_PYTHON, else pyenv's 3.13, else the version, which uv finds or downloads."""
    if os.environ.get("UV_PYTHON"):
        return os.environ["UV_PYTHON"]
    if shutil.which("pyenv"):
        listed = subprocess.run(
            ["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False
        ).stdout.split()
        for version in sorted((v for v in listed if v.startswith(f"{PYTHON_VERSION}.")), reverse=True):
            prefix = subprocess.run(
                ["pyenv", "prefix", version], capture_output=True, text=True, check=False
            ).stdout.strip()
            if prefix:
                return str(Path(prefix) / "bin" / "python")
    return PYTHON_VERSION


def _missing(wanted: Sequence[str]) -> list[str]:
    """What of it is not there, or older than its requirements file."""
    missing = [name for name in ("tools", *ENVIRONMENTS, *OPTIONAL) if name in {"tools", *wanted}]
    return [name for name in missing if not _is_current(name)] + (
        ["jars"] if "jars" in wanted and not _has_jars() else []
    )


def install(wanted: Sequence[str] = WANTED) -> None:
    """Make what is wanted and missing, or older than its requirements file; uv always. Raises Missing when something cannot be had."""
    if _missing(wanted):
        with _only_one():
            _install(wanted)


@contextmanager
def _only_one() -> Iterator[None]:
    """Wait for another install: each would empty what the other fills. The system lets go of the lock when its holder ends, killed or not."""
    VENV.mkdir(parents=True, exist_ok=True)
    with (VENV / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another command installs in {VENV}: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(wanted: Sequence[str]) -> None:
    uv = VENV / "tools" / "bin" / "uv"
    if not _is_current("tools"):
        print("tools: installing uv", flush=True)
        _run("making the tools environment", [sys.executable, "-m", "venv", "--clear", str(VENV / "tools")])
        _run(
            "installing uv",
            [
                str(VENV / "tools" / "bin" / "pip"),
                "install",
                "--quiet",
                "--require-hashes",
                "-r",
                str(_requirements("tools")),
            ],
        )
        _mark("tools")
    for name in (*ENVIRONMENTS, *OPTIONAL):
        if name not in wanted or _is_current(name):
            continue
        print(f"{name}: installing {_requirements(name).read_text().count('==')} packages", flush=True)
        target = VENV / name
        _run(
            f"making the environment {name}",
            [str(uv), "venv", "--quiet", "--clear", "--python", _python(), str(target)],
        )
        _run(
            f"installing the environment {name}",
            [
                str(uv),
                "pip",
                "sync",
                "--quiet",
                # Where PYTHONDONTWRITEBYTECODE is set, as in containers, each start would compile all that it imports: half of a connector's start.
                "--compile-bytecode",
                "--python",
                str(target / "bin" / "python"),
                "--require-hashes",
                str(_requirements(name)),
            ],
        )
        _mark(name)
    if "jars" in wanted:
        _jars()


def _requirements(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


def _stamp(name: str) -> str:
    return hashlib.sha256(_requirements(name).read_bytes() + str(VENV).encode()).hexdigest()


def _is_current(name: str) -> bool:
    mark = VENV / name / ".installed"
    return mark.exists() and mark.read_text() == _stamp(name)


def _mark(name: str) -> None:
    (VENV / name / ".installed").write_text(_stamp(name))


def jar_name(coordinate: str) -> str:
    """The file in JARS_DIR of one of JARS."""
    _, artifact, version = coordinate.split(":")
    return f"{artifact}-{version}.jar"


def _matches(path: Path, checksum: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == checksum


def _has_jars() -> bool:
    return all(_matches(JARS_DIR / jar_name(jar), checksum) for jar, checksum in JARS.items())


def _jars() -> None:
    """Resolve Delta's jars by Spark's own resolver (so a mirror is set as for any Spark), and check them."""
    if _has_jars():
        return
    print("jars: resolving Delta", flush=True)
    ivy = ROOT / ".cache" / "ivy"
    python = VENV / "main" / "bin" / "python"
    options = {
        "spark.master": "local[1]",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.jars.ivy": str(ivy),
        "spark.jars.packages": ",".join(JARS),
        "spark.jars.excludes": JAR_EXCLUDES,
    }
    code = f"from pyspark.sql import SparkSession as S; S.builder.config(map={options!r}).getOrCreate().stop()"
    env = {**os.environ, "PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"}
    _run("resolving Delta's jars", [str(python), "-c", code], env=env, cwd=str(VENV))
    JARS_DIR.mkdir(parents=True, exist_ok=True)
    for coordinate, checksum in JARS.items():
        name = jar_name(coordinate)
        resolved = ivy / "jars" / f"{coordinate.split(':')[0]}_{name}"
        if not _matches(resolved, checksum):
            raise Missing(
                f"{name} does not have the released checksum: delete {ivy} and try again, or look at your Maven mirror"
            )
        shutil.copyfile(resolved, JARS_DIR / name)


def main() -> int:
    """Check, or check and install. The exit status is 1 when something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is there and what is missing")
    parser.add_argument("--also", nargs="+", choices=list(OPTIONAL), default=[], help="an environment that few need")
    parser.add_argument(
        "--only", nargs="+", choices=("tools", *ENVIRONMENTS, "jars"), help="make these, and check nothing"
    )
    arguments = parser.parse_args()
    wanted = arguments.only or (*WANTED, *arguments.also)
    results = [] if arguments.only else check(wanted)
    if arguments.check:
        for name, ok, text in results:
            print(f"{'ok     ' if ok else 'MISSING'} {name:8} {text}")
        for name in ("tools", *ENVIRONMENTS, *OPTIONAL):
            maker = OPTIONAL.get(name, "make install")
            print(
                f"{'ok     ' if _is_current(name) else 'later  '} {'env':8} {name}{'' if _is_current(name) else f': `{maker}` makes it'}"
            )
        docker = shutil.which("docker")
        print(
            f"{'ok     ' if docker else 'later  '} {'docker':8} {docker or 'not found: only the containers need it (docs/containers.md)'}"
        )
        try:
            print(f"ok      {'browser':8} {browser()}")
        except Missing as absent:
            print(f"later   {'browser':8} {absent}")
    missing = [f"{name}: {text}" for name, ok, text in results if not ok]
    for line in missing:
        print(f"error: {line}", file=sys.stderr)
    if missing or arguments.check:
        return bool(missing)
    try:
        install(wanted)
    except Missing as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
