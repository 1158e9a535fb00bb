"""Background processes of the embedded stack: started in a session of their own, remembered by pid and birth, stopped whole.

A pid file holds the process' pid, its birth and the boot that they are of, so that a pid which the system has given to somebody else is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Two readings of one process' time of creation differ by less.
_CLOCK_SECONDS = 0.5
# Set when the program is interrupted: only its main thread hears of that by an exception, those that start services ask here.
interrupted = threading.Event()


class StackError(RuntimeError):
    """A service cannot start, answer or stop; the message is one line that says what to do."""


@dataclass(frozen=True)
class Process:
    """One long-running program of the stack.

    Attributes:
        name: as shown to the user; also names the pid file and the log.
        command: program and arguments.
        run_dir: where pid file and log live.
        env: the whole environment of the program.
        stop_signal: what asks it to end cleanly.
        user: the uid to run as, or None for the caller's.
        group: the gid to run as, likewise.
        cwd: the working directory, or None for the caller's.
        stop_seconds: how long it may take to end before it is killed.
        ports: what it listens on, by the environment variable that chooses it.
    """

    name: str
    command: Sequence[str]
    run_dir: Path
    env: dict[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    user: int | None = None
    group: int | None = None
    cwd: Path | None = None
    stop_seconds: float = 20.0
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def pid_file(self) -> Path:
        """Where pid and birth are kept."""
        return self.run_dir / f"{self.name}.pid"

    @property
    def log_file(self) -> Path:
        """Where the program's output goes."""
        return self.run_dir / f"{self.name}.log"

    def running(self) -> psutil.Process | None:
        """The process that this stack started and that still lives, else None."""
        recorded = _recorded(self.pid_file)
        return None if recorded is None or is_zombie(recorded) else recorded

    def start(self, is_healthy: Callable[[], bool], timeout: float) -> bool:
        """Start unless it runs already, and wait until `is_healthy`.

        Returns whether it was started now: one that ran and ends while it is asked is started again. Raises StackError when a port
        is taken, the program ends, or `timeout` seconds pass; what was started is stopped again then.
        """
        if self.running() and self._wait(is_healthy, timeout):
            return False
        # The leader is gone (killed): what it left behind must not hold the ports.
        self.stop()
        for variable, port in self.ports.items():
            require_free_port(port, self.name, variable)
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                user=self.user,
                group=self.group,
                extra_groups=None if self.user is None else [],
                start_new_session=True,
            )
        record = {"pid": child.pid, "born": birth(child.pid), "boot": _boot()}
        temporary = self.pid_file.with_suffix(".pid.new")
        temporary.write_text(json.dumps(record))
        temporary.replace(self.pid_file)
        try:
            if not self._wait(is_healthy, timeout):
                raise StackError(
                    f"{self.name} ended with status {child.wait()}: {self.last_log_line()} (log: {self.log_file})"
                )
        except BaseException:
            self.stop()
            raise
        return True

    def _wait(self, is_healthy: Callable[[], bool], timeout: float) -> bool:
        """Wait until `is_healthy`. False when the program has ended before: one that was killed is still there for a moment."""
        deadline = time.monotonic() + timeout
        while not is_healthy():
            if not self.running():
                return False
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not answer within {timeout:.0f} s (log: {self.log_file})")
            if interrupted.wait(0.1):
                raise StackError(f"interrupted while {self.name} started")
        return True

    def last_log_line(self) -> str:
        """The last line of the log that is not empty, shortened; "" without a log."""
        try:
            lines = self.log_file.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def stop(self) -> bool:
        """Stop the process, everything in its session and all that those have started. Returns whether anything was running."""
        leader = self.running()
        members = _family(self.pid_file, leader)
        if leader:
            _signal(leader, self.stop_signal)
            psutil.wait_procs([leader], timeout=self.stop_seconds)
        # What the leader started and did not take along: Airflow's scheduler leaves its children behind, and the tasks' programs have sessions of their own.
        left = members | _family(self.pid_file, leader)
        end([process for process in left if process.is_running() and not is_zombie(process)])
        # As long as the leader is a zombie, Postgres takes it for the server that holds the data, and does not start.
        if recorded := _recorded(self.pid_file):
            psutil.wait_procs([recorded], timeout=self.stop_seconds)
        self.pid_file.unlink(missing_ok=True)
        return bool(leader or members)


def birth(pid: int) -> str:
    """What tells a process from all that have its number before or after it, and stays when the clock is set. Raises psutil.NoSuchProcess.

    The time of creation that psutil tells does not stay: it is reckoned from the time of day now.
    """
    boot = _boot()
    try:
        # The program's name, in brackets, may hold anything. The 22nd field: ticks from the boot to the start.
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        ticks = ""
    return f"{boot} {ticks}" if boot and ticks else str(psutil.Process(pid).create_time())


def living(pid: int, born: str | None) -> psutil.Process | None:
    """The process `pid` whose birth was noted as `born`, a zombie too; None when it is gone, also when the number is another's now.

    A number is the time of creation, of systems that tell no more.
    """
    try:
        process = psutil.Process(pid)
        try:
            is_same = abs(process.create_time() - float(born or 0.0)) < _CLOCK_SECONDS
        except ValueError:
            is_same = birth(pid) == born
    except (TypeError, ValueError, psutil.Error):
        return None
    return process if is_same else None


def _recorded(pid_file: Path) -> psutil.Process | None:
    """The process that the file is about, a zombie too; None when it is gone."""
    try:
        record = json.loads(pid_file.read_text())
        return living(int(record["pid"]), record["born"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended: its parent has yet to ask, or has."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _boot() -> str:
    """Which boot of which system, or container, the numbers of processes are of: the next one gives them anew."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _session(pid_file: Path) -> list[psutil.Process]:
    """The living processes of the session that the file's process founded, also when that is gone; empty when its number is somebody else's by now.

    As long as a session has a member, no other process gets the number that it goes by.
    """
    try:
        record = json.loads(pid_file.read_text())
        leader, boot = int(record["pid"]), record["boot"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    if boot != _boot() or (psutil.pid_exists(leader) and _recorded(pid_file) is None):
        return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (OSError, psutil.Error):
            continue
    return members


def _family(pid_file: Path, leader: psutil.Process | None) -> set[psutil.Process]:
    """The session's processes, the leader, and what any of them has started: of a leader that was killed, the others are the parents of the tasks' programs."""
    members = {*_session(pid_file), *([leader] if leader else ())}
    return members.union(*map(_descendants, members))


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def end(processes: list[psutil.Process]) -> None:
    """Ask the processes to end, and kill those that do not."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for process in processes:
            _signal(process, number)
        _, processes = psutil.wait_procs(processes, timeout=patience)
        if not processes:
            return


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts TCP connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free_port(port: int, service: str, variable: str) -> None:
    """Raise StackError, naming the holder where the system tells it, when `port` is in use."""
    if not is_listening(port):
        return
    raise StackError(
        f"port {port}, which {service} needs, is in use by {_holder(port)}: stop that, or set {variable} to a free port"
    )


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
