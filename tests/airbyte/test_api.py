"""The published API: no request makes the server fault or answer what its document does not say; secrets stay inside; a terminal shows how a sync goes."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from faults import syncs
from rich.console import Console

from airbyte.connections import apply, find, jobs
from airbyte.connections.api import Airbyte, ApplyError
from airbyte.connections.description import load
from airbyte.server import secret_fields
from airbyte.server.app import create
from airbyte.server.credentials import Credentials
from airbyte.server.secret_fields import MASK
from stack.settings import ROOT, Settings

Json = dict[str, Any]
EXAMPLES = 8


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(address, token) of a server that knows nothing, in this process."""
    credentials = Credentials("client", "the secret of the client")
    served = uvicorn.Server(uvicorn.Config(create(tmp_path / "data", credentials), port=0, log_level="critical"))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        time.sleep(0.05)
    port = served.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", credentials.token()
    served.should_exit = True
    thread.join()


def test_schemathesis_finds_no_fault(fresh_server: tuple[str, str], tmp_path: Path) -> None:
    address, token = fresh_server
    done = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{address}/openapi.json"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--phases", "examples,coverage,fuzzing,stateful"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("path", ["/api/public/v1/workspaces", "/api/public/v1/jobs/1"])
def test_a_method_that_is_not_there_is_answered_with_those_that_are(fresh_server: tuple[str, str], path: str) -> None:
    address, token = fresh_server
    answer = httpx.request("TRACE", f"{address}{path}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_the_neighbours_of_a_page_are_under_the_same_filters(fresh_server: tuple[str, str]) -> None:
    address, token = fresh_server
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as api:
        path = "/api/public/v1/workspaces"
        made = [api.post(path, json={"name": name}).json()["workspaceId"] for name in "abc"]
        page = api.get(path, params={"workspaceIds": [made[0], made[2]], "limit": 1}).json()
        following = api.get(page["next"]).json()
        assert [w["workspaceId"] for w in page["data"] + following["data"]] == [made[0], made[2]]
        assert following["next"] == ""
        assert api.get(following["previous"]).json() == page


def test_a_command_outlives_its_token(
    fresh_server: tuple[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{fresh_server[0]}/api/public/v1"
    known = replace(
        settings, airbyte_url=address, airbyte_client_id="client", airbyte_client_secret="the secret of the client"
    )
    ended: list[str] = []
    is_valid = Credentials.is_valid
    monkeypatch.setattr(Credentials, "is_valid", lambda self, token: token not in ended and is_valid(self, token))
    with find.session(known) as api:
        first = api.get("jobs")
        assert first.status_code == 200
        ended.append(first.request.headers["Authorization"].removeprefix("Bearer "))
        # Tokens of the same second are the same.
        time.sleep(1)
        assert api.get("jobs").status_code == 200
    with (
        pytest.raises(httpx.HTTPStatusError, match="401"),
        find.session(replace(known, airbyte_client_secret="x")) as api,
    ):
        api.get("jobs")


def test_secrets_are_masked_at_any_depth_and_kept_when_the_mask_comes_back() -> None:
    kept = {
        "password": "pass-word",
        "tunnel": {"ssh_key": "a key", "host": "h", "users": [{"token": "a token"}]},
        "port": 1,
    }
    shown = secret_fields.masked(kept, frozenset({"host"}))
    mask = secret_fields.MASK
    assert shown == {"password": mask, "tunnel": {"ssh_key": mask, "host": mask, "users": [{"token": mask}]}, "port": 1}
    assert secret_fields.restored(shown, kept) == kept
    assert secret_fields.restored(shown | {"password": "new"}, kept)["password"] == "new"
    assert sorted(secret_fields.values(kept, frozenset())) == ["a key", "a token", "pass-word"]


@pytest.mark.parametrize(
    ("kept", "shown", "secrets"),
    [
        ({"api_tokens": ["tok-plain", "tok-2"]}, {"api_tokens": [MASK, MASK]}, ["tok-plain", "tok-2"]),
        ({"tunnel_user_password": 12345678}, {"tunnel_user_password": MASK}, ["12345678"]),
        (
            {"credential": {"credential_type": "HMAC_KEY", "hmac_key_access_id": "AKIA-PLAIN", "hmac_key_secret": "x"}},
            {"credential": {"credential_type": "HMAC_KEY", "hmac_key_access_id": MASK, "hmac_key_secret": MASK}},
            ["AKIA-PLAIN"],
        ),
        ({"secrets": {"of": [{"any": "depth"}]}}, {"secrets": {"of": [{"any": MASK}]}}, ["depth"]),
        ({"X-Postmark-Server-Token": "abcd"}, {"X-Postmark-Server-Token": MASK}, ["abcd"]),
        ({"apiKeySecret": "abcd"}, {"apiKeySecret": MASK}, ["abcd"]),
        ({"credentials": {"auth_type": "Client", "client_id": "abcd"}}, {"credentials": {"auth_type": "Client", "client_id": MASK}}, ["abcd"]),
        ({"credentials": "user:word"}, {"credentials": MASK}, ["user:word"]),
        *(
            (plain, plain, [])
            for plain in (
                {"token_refresh_endpoint": "https://x/y", "access_token_expires_at": "2026-01-01"},
                {"primary_key": "id", "public_key": "abcd", "keyspace": "abcd", "tunnel_method": "NO_TUNNEL"},
                {"password": None, "token": "", "use_ssh_key": True, "secrets": []},
            )
        ),
    ],
)  # fmt: skip
def test_what_is_shown_as_a_mask_is_what_is_kept_out_of_logs(kept: Json, shown: Json, secrets: list[str]) -> None:
    nothing: frozenset[str] = frozenset()
    assert secret_fields.masked(kept, nothing) == shown
    assert secret_fields.values(kept, nothing) == secrets
    assert secret_fields.restored(shown, kept) == kept


def test_no_secret_is_in_an_answer_or_a_log(marketplace: Settings, airbyte_server: Settings) -> None:
    secret = airbyte_server.source_reader_password
    connection = apply.apply(airbyte_server, load())
    with psycopg.connect(airbyte_server.admin_dsn) as db:
        # Reading the table ends with an error that quotes the secret.
        db.execute("alter table categories enable row level security")
        db.execute(f"create policy quoting on categories using (('{secret}' || id)::int > 0)")
    with syncs.client(airbyte_server) as api:
        job = syncs.wait(api, syncs.start(api, connection))
        answers = [
            api.get(path).text
            for path in (
                *("/sources", "/destinations", "/connections", "/jobs", "/workspaces"),
                *(f"/jobs/{job['jobId']}", f"/jobs/{job['jobId']}/log", f"/jobs/{job['jobId']}/streams"),
            )
        ]
        source = api.get("/sources").json()["data"][0]
        wrong = {"configuration": source["configuration"] | {"host": "", "password": secret}}
        answers.append(api.patch(f"/sources/{source['sourceId']}", json=wrong).text)
        api.delete(f"/connections/{connection}")
    assert job["status"] == "failed"
    assert all(secret not in text for text in answers)
    assert "********" in answers[0]
    folder = airbyte_server.local_dir / "airbyte"
    logs = [*folder.glob("jobs/*.log"), airbyte_server.local_dir / "run" / "airbyte-server.log"]
    assert logs
    assert all(secret not in path.read_text(errors="replace") for path in logs)
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("jobs/*.log"))


def test_the_terminal_shows_a_sync_its_streams_and_what_went_before(
    marketplace: Settings, airbyte_server: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(jobs.JobError, match="Airbyte has no connection"):
        jobs.run(airbyte_server, "sync", Console(file=io.StringIO()))
    connection = apply.apply(airbyte_server, load())
    screen = io.StringIO()
    job = jobs.run(airbyte_server, "sync", Console(file=screen, width=120))
    assert job["status"] == "succeeded"
    lines = {line.split()[0]: line.split() for line in screen.getvalue().splitlines() if line.strip()}
    assert lines["orders"][1:3] == ["complete", "500"]
    assert lines["all"][1] == f"{job['rowsSynced']:,}"
    assert jobs.main(["show", str(job["jobId"])]) == 0
    assert "orders: 500 rows committed" in capsys.readouterr().out
    assert jobs.main([]) == 0
    assert str(job["jobId"]) in capsys.readouterr().out
    assert jobs.main(["show", "987654"]) == 1
    assert "error: there is no job 987654" in capsys.readouterr().err
    with syncs.client(airbyte_server) as api:
        counts = {s["streamName"]: s for s in api.get(f"/jobs/{job['jobId']}/streams").json()}
        assert len(counts) == 9
        assert counts["orders"]["rowsSynced"] == 500
        assert counts["orders"]["bytesSynced"] > 100_000
        assert counts["orders"]["rowsPerSecond"] > 0
        api.delete(f"/connections/{connection}")


def test_apply_shows_what_it_would_do_and_does_it(
    marketplace: Settings, airbyte_server: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(only_plan: bool = True, **changed: str) -> list[str]:
        apply.apply(replace(airbyte_server, **changed), load(), only_plan)
        return [line.split(": ")[-1] for line in capsys.readouterr().out.splitlines()]

    before = planned()
    assert planned() == before, "a plan changes nothing"
    planned(only_plan=False)
    assert planned() == ["as described"] * 3
    assert planned(bigquery_location="EU") == ["as described", "change", "as described"]
    with syncs.client(airbyte_server) as api:
        for connection in api.get("/connections").json()["data"]:
            api.delete(f"/connections/{connection['connectionId']}")
        assert planned() == ["as described", "as described", "create"]


def test_the_connectors_definitions_may_be_others(airbyte_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    airbyte = Airbyte(replace(airbyte_server, airbyte_source_definition_id="11111111-1111-4111-8111-111111111111"))
    monkeypatch.setattr(Airbyte, "call", lambda self, function, request: sent.append(request) or _stop())
    with pytest.raises(ApplyError):
        airbyte.save_source(None, "other", {"sourceType": "postgres", "host": "h", "database": "d", "username": "u"})
    assert sent[0].definition_id == "11111111-1111-4111-8111-111111111111"


def _stop() -> None:
    raise ApplyError("enough")


PROVIDER = """
import sys, time
from airflow.providers.airbyte.hooks.airbyte import AirbyteHook
hook = AirbyteHook(airbyte_conn_id="server")
ok, said = hook.test_connection()
assert ok, said
job = hook.submit_sync_connection(sys.argv[1])
assert job.job_id and job.status, job
while (status := hook.get_job_status(job.job_id)) in ("pending", "running", "incomplete"):
    time.sleep(0.5)
assert status == "succeeded", status
assert hook.get_job_details(job.job_id).rows_synced is not None
assert str(hook.cancel_job(job.job_id).status) in ("succeeded", "JobStatusEnum.SUCCEEDED"), "an ended job stays as it is"
print("contract kept")
"""


def test_airflows_provider_finds_what_it_expects(
    marketplace: Settings, airbyte_server: Settings, tmp_path: Path
) -> None:
    import json

    from stack.airflow import airbyte_credentials

    connection = apply.apply(airbyte_server, load())
    given = airbyte_credentials(airbyte_server)
    described = {
        "conn_type": "airbyte",
        "host": airbyte_server.airbyte_url,
        "login": given["AIRBYTE_CLIENT_ID"],
        "password": given["AIRBYTE_CLIENT_SECRET"],
    }
    done = subprocess.run(
        [str(ROOT / ".venv/airflow/bin/python"), "-c", PROVIDER, connection],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW_CONN_SERVER": json.dumps(described),
        },
        check=False,
    )
    assert "contract kept" in done.stdout, done.stderr[-3000:]
    with syncs.client(airbyte_server) as api:
        api.delete(f"/connections/{connection}")
