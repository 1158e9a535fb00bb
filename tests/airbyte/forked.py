"""Print how forks of this process end, as JSON: run by test_forks.py, as a fork wants a process of one thread."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from airbyte.server import forks, workers


def ended(run):
    """How a child that does `run` ends: its status, stdout and stderr."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, Path(os.devnull).open() as nothing:
        pid = forks.child(run, ["python", "-m", "a.name"], (nothing.fileno(), output.fileno(), errors.fileno()))
        fork = forks.Fork(pid)
        fork.wait()
        output.seek(0)
        errors.seek(0)
        return [fork.returncode, output.read().decode(), errors.read().decode()]


def unheard():
    """How a child ends whose stdout nobody reads any more."""
    reads, writes = os.pipe()
    os.close(reads)
    with Path(os.devnull).open("r+") as nothing:
        fork = forks.Fork(forks.child(lambda: print("said"), ["python"], (nothing.fileno(), writes, nothing.fileno())))
    os.close(writes)
    fork.wait()
    return fork.returncode


def fail():
    raise ValueError("on purpose")


workers.import_connectors()
answers = {}
for name, (module, *arguments) in json.loads(sys.argv[1]).items():
    with tempfile.TemporaryFile() as errors:
        fork = forks.program(module, arguments, errors=errors.fileno(), environment={"COLUMNS": "80"})
        said = fork.stdout.read().decode()
        fork.wait()
        errors.seek(0)
        answers[name] = [fork.returncode, said, errors.read().decode()]
# What the parent has open, and what it has not written yet, is not its child's.
os.open(os.devnull, os.O_RDONLY)
print("before", end=" ")
answers["open files"] = ended(lambda: print(sorted(path.name for path in Path("/proc/self/fd").iterdir())))
answers["command line"] = ended(lambda: print(Path("/proc/self/cmdline").read_text().rstrip("\0")))
answers["an exception"] = ended(fail)
answers["a reason"] = ended(lambda: sys.exit("a reason"))
answers["nobody reads"] = unheard()
answers["killed"] = ended(lambda: os.kill(os.getpid(), 9))
answers["terminated"] = ended(lambda: (os.kill(os.getpid(), 15), time.sleep(60)))
print(json.dumps(answers))
