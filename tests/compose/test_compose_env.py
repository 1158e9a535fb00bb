"""The environment file of the containers: made once, for its owner's eyes, and never over what a user has set."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
import sys
from pathlib import Path

from stack import compose_env
from stack.settings import ROOT


def held(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")


def test_a_new_file_has_everything_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert compose_env.complete(path) == list(compose_env.WANTED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = held(path)
    assert values.keys() == compose_env.WANTED.keys()
    assert values["COMPOSE_PROFILES"] == "source,bigquery,spark,dashboard"
    # Itself in make, in a shell, in a compose file and in a URL.
    assert all(re.fullmatch(r"[\w,=-]{16,}", value) for value in values.values())
    assert len(base64.urlsafe_b64decode(values["AIRFLOW_FERNET_KEY"])) == 32
    assert len(values["AIRFLOW_JWT_SECRET"]) >= 64


def test_two_files_share_no_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compose_env.complete(tmp_path / name)
    one, other = held(tmp_path / "a"), held(tmp_path / "b")
    assert {name for name in one if one[name] == other[name]} == {"COMPOSE_PROFILES"}


def test_what_a_user_has_set_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nexport AIRFLOW_PASSWORD=chosen\nCOMPOSE_PROFILES=spark\nPOSTGRES_PASSWORD=\nSCALE=1")
    path.chmod(0o644)
    added = compose_env.complete(path)
    assert set(added) == compose_env.WANTED.keys() - {"AIRFLOW_PASSWORD", "COMPOSE_PROFILES"}
    text = path.read_text()
    assert text.startswith("# mine\nexport AIRFLOW_PASSWORD=chosen\nCOMPOSE_PROFILES=spark\n")
    assert "\nSCALE=1\n" in text
    # The later line counts.
    assert len(held(path)["POSTGRES_PASSWORD"]) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert compose_env.complete(path) == []
    assert path.read_text() == text


def test_the_command_names_what_it_added_without_the_values(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    command = [sys.executable, str(ROOT / "stack" / "compose_env.py"), "--file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "added COMPOSE_PROFILES, POSTGRES_PASSWORD" in done.stdout
    assert not [value for name, value in held(path).items() if name != "COMPOSE_PROFILES" and value in done.stdout]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith(": complete\n")


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "stack" / "compose_env.py"), "--file", str(tmp_path / "none" / ".env")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"error: No such file or directory: \S+\n", done.stderr)
