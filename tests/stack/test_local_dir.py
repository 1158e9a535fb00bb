"""Commands that start, stop or delete the stack at once wait for each other, and one that is interrupted ends soon."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stack import __main__ as commands
from stack import local_dir, postgres
from stack.processes import free_port
from stack.settings import ROOT, Settings

STARTS = "from stack import postgres, settings; print(postgres.start(settings.load()))"
# Holds the lock, says so, and lets go when it is told to.
HOLDS = (
    "from stack import local_dir, settings\n"
    "with local_dir.locked(settings.load()):\n"
    "    print('held', flush=True)\n"
    "    input()\n"
)
# `make up` with a service that takes long and, as a thread that waits for an answer, hears of no interrupt.
SLOW = (
    "import signal, sys, time\n"
    # As in a terminal, however the tests are run.
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "deaf = sys.argv.pop(1) == 'deaf'\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)\n"
    "from stack import __main__ as commands\n"
    "class Slow:\n"
    "    def process(self, _): return self\n"
    "    def running(self): return None\n"
    "    def start(self, _):\n"
    "        print('slow', flush=True)\n"
    "        time.sleep(60)\n"
    "name = sys.argv.pop(1)\n"
    "commands.services = lambda _: {name: Slow()}\n"
    "sys.exit(commands.main())\n"
)


def program(code: str, local: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | {"LOCAL_DIR": str(local)} | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_first_starts_of_postgres_at_once_start_it_once(settings: Settings, tmp_path: Path) -> None:
    own = dataclasses.replace(settings, local_dir=tmp_path / "local", postgres_port=free_port())
    both = [program(STARTS, own.local_dir, POSTGRES_PORT=str(own.postgres_port)) for _ in range(2)]
    try:
        said = [each.communicate(timeout=200) for each in both]
        assert sorted(out.split()[-1] for out, _ in said) == ["False", "True"], said
        assert sum("waiting for it" in out for out, _ in said) == 1
    finally:
        postgres.stop(own)
        postgres.remove(own)


def test_down_waits_for_who_starts_and_a_killed_one_holds_nothing(settings: Settings, tmp_path: Path) -> None:
    own = dataclasses.replace(settings, local_dir=tmp_path)
    with program(HOLDS, tmp_path) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        (tmp_path / "run").mkdir()
        stopping = threading.Thread(target=commands.down, args=[own], daemon=True)
        stopping.start()
        stopping.join(1)
        assert stopping.is_alive()
        holder.kill()
        stopping.join(60)
        assert not stopping.is_alive()


def test_the_lock_lets_its_own_process_in_again_and_is_of_the_folder_that_is_there(
    settings: Settings, tmp_path: Path
) -> None:
    own = dataclasses.replace(settings, local_dir=tmp_path / "local")
    with local_dir.locked(own), local_dir.locked(own), program(HOLDS, own.local_dir) as second:
        assert second.stdout
        assert "waiting for it" in second.stdout.readline()
        # As clean-data ends: what the other waits for is gone, and it makes all anew.
        local_dir.delete(own)
        assert not own.local_dir.exists()
        threading.Timer(0.5, lambda: local_dir._holds[own.local_dir].file.close()).start()
        assert second.stdout.readline() == "held\n"
        assert (own.local_dir / local_dir.OWN).exists()
        second.communicate("\n")


def test_initdb_s_reason_is_the_line_that_tells_it() -> None:
    said = (
        "2026-11-28 UTC [7] FATAL:  could not create lock file\n"
        "child process exited with exit code 1\n"
        'initdb: removing contents of data directory "data.new"'
    )
    assert postgres._reason(said) == "2026-11-28 UTC [7] FATAL:  could not create lock file"
    assert postgres._reason("initdb: error: no space\ninitdb: hint: free some") == "initdb: error: no space"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("service", ["postgres", "airflow"])
def test_an_interrupted_start_ends_soon(tmp_path: Path, number: signal.Signals, service: str) -> None:
    # To Ctrl-C a script's `make up &` is deaf.
    with program(SLOW, tmp_path, "hears" if number == signal.SIGINT else "deaf", service, "up") as up:
        assert up.stdout
        assert "slow\n" in up.stdout
        began = time.monotonic()
        up.send_signal(number)
        _, said = up.communicate(timeout=50)
        assert up.returncode == 130
        assert said == "interrupted: `make status` shows what still runs, `make down` stops it\n"
        assert time.monotonic() - began < 20


def test_a_start_under_way_hears_of_an_interrupt_and_takes_back_what_it_began(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from stack import __main__ as commands\n"
        "from stack.processes import Process\n"
        "local = pathlib.Path(os.environ['LOCAL_DIR'])\n"
        "class Never:\n"
        "    def process(self, _): return Process('never', ['sleep', '300'], local / 'run', dict(os.environ))\n"
        "    def start(self, current): self.process(current).start(lambda: print('asked', flush=True), 300)\n"
        "commands.services = lambda _: {'airflow': Never()}\n"
        "sys.exit(commands.main())\n"
    )
    with program(code, tmp_path, "up") as up:
        assert up.stdout
        assert "asked\n" in up.stdout
        assert (tmp_path / "run" / "never.pid").exists()
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=50)
        assert up.returncode == 130
        assert not (tmp_path / "run" / "never.pid").exists()
