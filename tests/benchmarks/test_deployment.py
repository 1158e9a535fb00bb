"""A benchmark's deployment ends with the benchmark."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.deployment import report
from stack.settings import ROOT

BENCHMARK = """
import sys, time
from benchmarks.deployment import deployment

class Service:
    def start(self, current):
        pass
    def stop(self, current):
        print("stopped", flush=True)

with deployment([Service()]) as current:
    print(current.local_dir, flush=True)
    time.sleep(300)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_benchmark_that_is_ended_stops_its_services_and_leaves_no_folder(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", BENCHMARK], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(number)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode != 0
    assert not folder.exists()


def test_each_figure_is_printed_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    report({"share": 0.5, "rows": 12345, "alone": True}, {"share": "missed (>= 0.9)"})
    assert [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()] == [
        ["share", "0.50", "missed (>= 0.9)"],
        ["rows", "12,345"],
        ["alone", "True"],
    ]
