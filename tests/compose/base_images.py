"""The images that ours are built on. Where no registry can be reached, stand-ins for them, made of Debian's packages and this machine's Python.

A stand-in has the released image's name, so that the files under test need no change; it is made only in an engine that the tests started themselves.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.compose.engine import Engine, EngineError

HERE = Path(__file__).resolve().parent
LABEL = "marketplace-elt.stand-in"
PULL_SECONDS = 300
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# What Python's own modules load, as in the released image.
PYTHON_PACKAGES = "ca-certificates,netbase,tzdata,libbz2-1.0,libexpat1,libffi8,libgdbm6,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g"


def require(engine: Engine) -> dict[str, str]:
    """Have every base image in the engine. Returns {name: "pulled", "there already" or "stand-in …"}. Raises EngineError when one cannot be had."""
    return {name: _have(engine, name, make) for name, make in STAND_INS.items()}


def _have(engine: Engine, name: str, make: Callable[[Engine, str, Path], None]) -> str:
    held = engine.docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name, check=False)
    if held.returncode == 0:
        return f"stand-in {held.stdout.strip()}, made before" if held.stdout.strip() else "there already"
    pulled = engine.docker("pull", "--quiet", name, timeout=PULL_SECONDS, check=False)
    if pulled.returncode == 0:
        return "pulled"
    if not engine.is_own:
        raise EngineError(f"{name} cannot be pulled: {pulled.stderr.strip()}")
    if not shutil.which("mmdebstrap"):
        raise EngineError(
            f"{name} cannot be pulled, and without mmdebstrap no stand-in can be made: {pulled.stderr.strip()}"
        )
    with tempfile.TemporaryDirectory(prefix="marketplace-elt-image-") as folder:
        make(engine, name, Path(folder) / "root")
    return "stand-in, made now"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"{command[0]}: {' | '.join(done.stderr.strip().splitlines()[-4:])}")


def _debian(root: Path, packages: str) -> None:
    """A small Debian 12 with these packages."""
    # A mirror may be frozen, and then its lists are old.
    options = [f'--aptopt=Acquire::{check} "false"' for check in ("Check-Valid-Until", "Check-Date")]
    _run("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={packages}", *options, "bookworm", str(root))


def _trust(root: Path) -> None:
    """Have it trust whom this machine trusts: its packages may come from a mirror with a certificate of its own."""
    own = root / "usr" / "local" / "share" / "ca-certificates"
    own.mkdir(parents=True, exist_ok=True)
    for certificate in Path("/usr/local/share/ca-certificates").rglob("*.crt"):
        shutil.copy(certificate, own)
    _run("chroot", str(root), "update-ca-certificates")


def _imported(engine: Engine, name: str, what: str, root: Path, *changes: str) -> None:
    """The folder as an image."""
    options = [f"--change={change}" for change in (f"LABEL {LABEL}={what}", *changes)]
    with subprocess.Popen(
        [
            "tar",
            "--numeric-owner",
            "--exclude=./dev/*",
            "--exclude=./proc/*",
            "--exclude=./sys/*",
            "-C",
            str(root),
            "-c",
            ".",
        ],
        stdout=subprocess.PIPE,
    ) as packed:
        done = subprocess.run(
            ["docker", "import", *options, "-", name],
            env=engine.env,
            stdin=packed.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or packed.returncode:
        raise EngineError(f"docker import {name}: {done.stderr.strip()}")


def _python(engine: Engine, name: str, root: Path) -> None:
    """Debian with the Python of this environment in /usr/local."""
    _debian(root, PYTHON_PACKAGES)
    _trust(root)
    unneeded = shutil.ignore_patterns("__pycache__", "test", "tests", "*.a")
    shutil.copytree(sys.base_prefix, root / "usr" / "local", symlinks=True, ignore=unneeded, dirs_exist_ok=True)
    _run("chroot", str(root), "ldconfig")
    _run(
        "chroot",
        str(root),
        "/usr/local/bin/python3",
        "-c",
        "import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib",
    )
    environment = f"ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE={BUNDLE} PIP_CERT={BUNDLE}"
    _imported(engine, name, "debian-12-python-3.13", root, environment, 'CMD ["python3"]')


def _postgres(engine: Engine, name: str, root: Path) -> None:
    """Debian with its PostgreSQL 15, begun by a script that does of the released image's what is used here."""
    _debian(root, "postgresql-15")
    # The package makes a cluster at once.
    shutil.rmtree(root / "var" / "lib" / "postgresql" / "15", ignore_errors=True)
    shutil.copy(HERE / "postgres_stand_in.sh", root / "usr" / "local" / "bin" / "docker-entrypoint.sh")
    _run("chroot", str(root), "chmod", "0755", "/usr/local/bin/docker-entrypoint.sh")
    # As in the released image: memory that is mounted there keeps the mode, not the owner.
    _run("chroot", str(root), "install", "-d", "-m", "3777", "/run/postgresql")
    data = "/var/lib/postgresql/data"
    _run("chroot", str(root), "install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", data)
    environment = (
        f"ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA={data} LANG=C.UTF-8"
    )
    changes = (environment, 'ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["postgres"]')
    _imported(engine, name, "debian-12-postgresql-15", root, *changes)


STAND_INS: dict[str, Callable[[Engine, str, Path], None]] = {
    "python:3.13-slim-bookworm": _python,
    "postgres:15-alpine": _postgres,
}
