"""What the emulator's wrapper puts in the place of the emulator's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from stack.settings import ROOT


def test_tables_are_found_as_the_emulator_finds_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / ".venv" / "emulator" / "bin" / "python", Path(__file__).parent / "emulator_objects.py", tmp_path],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer for answer in answers if answer[2] != answer[3]] == []
    assert any(answer[2] for answer in answers)
