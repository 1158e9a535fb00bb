"""LOCAL_DIR: whose folder it is, and who is at work on the stack in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from stack.processes import StackError
from stack.settings import ROOT, Settings

# In a folder that held nothing before the stack used it, and may be deleted whole.
OWN = ".marketplace-elt"
# Held by whoever starts, stops or deletes the stack. The system lets go of it when its holder ends, killed or not.
LOCK = "stack.lock"


@dataclass
class _Hold:
    file: TextIO
    holders: int = 0


_holds: dict[Path, _Hold] = {}
_mutex = threading.Lock()


def claim(settings: Settings) -> None:
    """Make LOCAL_DIR and mark it as the stack's own, unless there is something in it already."""
    settings.local_dir.mkdir(parents=True, exist_ok=True)
    if not any(settings.local_dir.iterdir()):
        (settings.local_dir / OWN).touch()


def require_own(settings: Settings) -> None:
    """Raise StackError where LOCAL_DIR held something before the stack used it."""
    folder = settings.local_dir
    if folder.exists() and folder != ROOT / ".local" and not (folder / OWN).exists():
        raise StackError(
            f"{folder} held something before the stack used it, and nothing is deleted: delete by hand what goes"
        )


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Claim LOCAL_DIR and hold its lock, for the whole process: a second `with` in it, of any thread, is let in at once, another process waits."""
    with _mutex:
        hold = _holds.get(settings.local_dir) or _Hold(_acquire(settings))
        _holds[settings.local_dir] = hold
        hold.holders += 1
    try:
        yield
    finally:
        with _mutex:
            hold.holders -= 1
            if not hold.holders:
                del _holds[settings.local_dir]
                hold.file.close()


def _acquire(settings: Settings) -> TextIO:
    path = settings.local_dir / LOCK
    while True:
        claim(settings)
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  another command starts or stops the stack in {settings.local_dir}: waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        # Deleted while we waited (`delete`): whoever comes now would not see ours.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


def delete(settings: Settings) -> None:
    """Delete LOCAL_DIR, which the caller has locked: lock and mark last, so that who comes meanwhile waits."""
    for path in settings.local_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in (LOCK, OWN):
            path.unlink()
    for name in (LOCK, OWN):
        (settings.local_dir / name).unlink(missing_ok=True)
    settings.local_dir.rmdir()
