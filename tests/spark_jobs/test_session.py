"""Which jars a session takes for Delta's."""

from __future__ import annotations

from pathlib import Path

import pytest

from spark_jobs import session
from spark_jobs.errors import JobError


def test_the_jars_are_those_of_the_version_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "JARS_DIR", tmp_path)
    wanted = ["delta-spark_4.2_2.13-4.4.0.jar", "delta-storage-4.4.0.jar"]
    # Of other versions, all later in the order of texts.
    for name in ("delta-spark_4.2_2.13-4.5.0-rc1.jar", "delta-storage-5.0.0.jar"):
        (tmp_path / name).touch()
    with pytest.raises(JobError, match=r"no delta-spark_4\.2_2\.13-4\.4\.0\.jar in .*: install it with `make install`"):
        session.delta_jars()
    for name in wanted:
        (tmp_path / name).touch()
    assert [jar.name for jar in session.delta_jars()] == wanted
