"""The bootstrap knows what it needs and what it has; the locks hold no address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack import bootstrap
from stack.settings import ROOT, load


@pytest.mark.parametrize("name", ["tools", *bootstrap.ENVIRONMENTS, *bootstrap.OPTIONAL])
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    packages = re.split(r"\n(?=\S)", text.strip())
    assert packages
    assert all("==" in package and "--hash=sha256:" in package for package in packages)


def test_what_only_writers_need_is_not_made_for_a_demo() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipes = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", makefile, re.M))
    asking = {name for name, recipe in recipes.items() if re.search(r"bootstrap\.py --also (docs|dev)", recipe)}
    assert asking == {"test", "docs", "hooks", "audit"}
    assert not set(bootstrap.OPTIONAL) & set(bootstrap.ENVIRONMENTS)


def test_a_checkout_in_a_path_with_a_space_is_told_to_move(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {name: ok for name, ok, _ in bootstrap.check()}["folder"]
    spaced = tmp_path / "my projects"
    spaced.mkdir()
    monkeypatch.setattr(bootstrap, "ROOT", spaced)
    assert ("folder", False, f"{spaced}: move it to a path without a space") in bootstrap.check()


def test_a_python_that_cannot_make_an_environment_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name: ok for name, ok, _ in bootstrap.check()}["python3"]
    monkeypatch.setattr(bootstrap, "find_spec", lambda _: None)
    monkeypatch.setattr(bootstrap, "_is_current", lambda _: False)
    ok, said = next((ok, said) for name, ok, said in bootstrap.check() if name == "python3")
    assert not ok
    assert "python3-venv" in said


def test_two_installs_at_once_make_each_environment_once(tmp_path: Path) -> None:
    """As two terminals: each by a process of its own, since a lock of one's own keeps nobody out."""
    code = (
        "import pathlib, sys, time\n"
        "from stack import bootstrap\n"
        "bootstrap.VENV = pathlib.Path(sys.argv[1])\n"
        "def run(what, command, **_):\n"
        "    print(what, flush=True)\n"
        "    (bootstrap.VENV / 'tools').mkdir(parents=True, exist_ok=True)\n"
        "    time.sleep(2)\n"
        "bootstrap._run = run\n"
        "bootstrap.install(['tools'])\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".venv")]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(each.communicate(timeout=60)[0] for each in both)
    assert [each.returncode for each in both] == [0, 0]
    assert said.count("installing uv\n") - said.count("tools: installing uv\n") == 1
    assert said.count("waiting for it") == 1


@pytest.mark.parametrize("installed", [True, False])
def test_disk_is_asked_for_where_something_is_to_be_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=4_960_000_000)
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(bootstrap, "_is_current", lambda _: installed)
    disk = next(result for result in bootstrap.check() if result[0] == "disk")
    assert disk[1] == installed
    assert disk[2] == "4.9 GB free" + ("" if installed else f": 5 GB are needed under {ROOT}")


def test_a_jar_with_another_content_is_not_accepted(tmp_path) -> None:
    jar = tmp_path / "delta.jar"
    jar.write_bytes(b"not the released one")
    assert not bootstrap._matches(jar, next(iter(bootstrap.JARS.values())))


def test_installed_jars_are_the_released_ones() -> None:
    for coordinate, checksum in bootstrap.JARS.items():
        assert bootstrap._matches(bootstrap.JARS_DIR / bootstrap.jar_name(coordinate), checksum)


def test_the_example_environment_names_every_setting() -> None:
    settings, containers = (ROOT / ".env.example").read_text().split("# Containers only")
    listed = set(re.findall(r"^# ([A-Z_]+)=", settings, re.M))
    known = set(load().environment()) | {"SOURCE_DSN", "DELTA_JARS_DIR", "CHROMIUM"}
    assert known <= listed | {"SOURCE_DSN"}
    assert listed <= known
    compose = (ROOT / "docker-compose.yml").read_text()
    for name in re.findall(r"^# ([A-Z_]+)=", containers, re.M):
        assert name == "COMPOSE_PROFILES" or f"${{{name}:" in compose, name


def test_a_browser_is_the_one_that_is_named_and_a_wrong_name_is_said(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "my-chromium"
    monkeypatch.setenv("CHROMIUM", str(program))
    with pytest.raises(bootstrap.Missing, match="my-chromium: no such program"):
        bootstrap.browser()
    program.touch(mode=0o755)
    assert bootstrap.browser() == str(program)


def test_a_machine_without_a_browser_is_told_how_to_get_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHROMIUM", "PLAYWRIGHT_BROWSERS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    if not bootstrap.Path("/Applications/Google Chrome.app").exists():
        with pytest.raises(bootstrap.Missing, match="`apt-get install chromium`"):
            bootstrap.browser()


def test_no_secret_shows_in_the_settings_text() -> None:
    current = load()
    for secret in (current.postgres_password, current.source_reader_password):
        assert secret not in repr(current)
