"""Programs that start with everything imported: the child of a process that has it becomes the program.

A connector's imports take longer than reading nine tables in which nothing is new. What is started is the same program with the same command line, pipes and
exit status; only the interpreter is not a new one.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

import setproctitle


@dataclass
class Fork:
    """A child: our ends of its pipes as far as it has any, and how it ended (as `subprocess.Popen` says it)."""

    pid: int
    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    returncode: int | None = field(default=None, init=False)

    def wait(self) -> resource.struct_rusage:
        """Wait for its end. Returns what it used."""
        _, status, usage = os.wait4(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return usage


def program(
    module: str,
    arguments: Sequence[str],
    *,
    errors: int,
    reads: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Fork:
    """Start `python -m module arguments`, stderr going to the file descriptor `errors`, stdout through a pipe, and stdin too when it `reads`.

    This process must have one thread: a lock that another one holds would be held in the child for good.
    """

    def run() -> None:
        os.environ.update(environment or {})
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__")

    theirs_in, ours_in = os.pipe() if reads else (os.open(os.devnull, os.O_RDONLY), None)
    ours_out, theirs_out = os.pipe()
    try:
        pid = child(run, ["python", "-m", module, *arguments], (theirs_in, theirs_out, errors))
    finally:
        os.close(theirs_in)
        os.close(theirs_out)
    return Fork(pid, None if ours_in is None else os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb"))


def child(
    run: Callable[[], object], command: Sequence[str], standard: tuple[int, int, int], own_group: bool = False
) -> int:
    """Fork; the child does `run` with `standard` as its stdin, stdout and stderr and nothing else open, and ends. Returns its process id.

    Tools show it as `command`. With `own_group` it leads a process group.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    pid = os.fork()
    if pid:
        if own_group:
            _lead(pid)
        return pid
    status = 1
    try:
        if own_group:
            _lead(0)
        _settle(command, standard)
        run()
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)
    return pid


def _lead(pid: int) -> None:
    """By parent and child: whoever comes first."""
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)


def _settle(command: Sequence[str], standard: tuple[int, int, int]) -> None:
    """What a new process would have: three open files, signals at their defaults, and nothing to tidy up of its parent's."""
    # The parent's objects stay in memory unused; to finalize one would close a descriptor that is another's by now.
    gc.freeze()
    for name in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(name, signal.SIG_DFL)
    # First out of the way: one of them may be where another one belongs.
    copies = [os.dup(descriptor) for descriptor in standard]
    for number, copy in enumerate(copies):
        os.dup2(copy, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb", closefd=False))
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False))
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True)
    setproctitle.setproctitle(" ".join(command))


def _leave(status: int) -> None:
    """End without the interpreter's own end, which would run what the parent has registered for its."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 1
    os._exit(status)
