"""The published API: no request makes the server fault or answer what its document does not say; secrets stay inside; a terminal shows how a sync goes."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from airbyte.server import catalog, secret_fields
from airbyte.server.app import create
from airbyte.server.credentials import Credentials
from airbyte.server.secret_fields import MASK
from stack.settings import ROOT, Settings

Json = dict[str, Any]
EXAMPLES = 8


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """(address, token) of a server that knows nothing, in this process."""
    credentials = Credentials("client", "the secret of the client")
    server = uvicorn.Server(uvicorn.Config(create(folder, credentials), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", credentials.token()
    server.should_exit = True
    thread.join()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    with served(tmp_path / "data") as found:
        yield found


@pytest.fixture(scope="module")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """For tests that leave nothing in it."""
    with served(tmp_path_factory.mktemp("data")) as found:
        yield found


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
def test_a_method_that_is_not_there_is_answered_with_those_that_are(empty_server: tuple[str, str], path: str) -> None:
    address, token = empty_server
    answer = httpx.request("TRACE", f"{address}{path}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


TOKEN = {"client_id": "client", "client_secret": "the secret of the client"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"json": TOKEN}, 200, "access_token"),
        ({"json": TOKEN | {"grant-type": "client_credentials"}}, 200, "access_token"),
        ({"data": TOKEN | {"grant_type": "client_credentials"}}, 200, "access_token"),
        ({"files": {name: (None, value) for name, value in TOKEN.items()}}, 200, "access_token"),
        ({"json": TOKEN | {"client_secret": "other"}}, 401, "not those of this server"),
        ({"data": TOKEN | {"client_secret": "other"}}, 401, "not those of this server"),
        ({"json": {"client_id": "client"}}, 422, "client_secret: Field required"),
        ({"data": {"client_id": "client"}}, 422, "client_secret: Field required"),
        ({"json": TOKEN | {"client_id": 1}}, 422, "client_id: Input should be a valid string"),
        ({"content": b'{"client_id": "\\ud800", "client_secret": "x"}'}, 422, "is no Unicode"),
        ({"json": [TOKEN]}, 422, "the request is not valid"),
        ({"content": b"client_id=client"}, 400, "neither JSON nor"),
        ({"content": b"[" * 100_000}, 400, "neither JSON nor"),
        ({"content": b"\xff"}, 400, "neither JSON nor"),
        ({}, 400, "neither JSON nor"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, ""),
    ],
)
def test_a_token_is_had_by_json_and_by_a_form(
    empty_server: tuple[str, str], body: Json, status: int, said: str
) -> None:
    answer = httpx.post(f"{empty_server[0]}/api/public/v1/applications/token", **body)
    assert answer.status_code == status, answer.text
    assert said in answer.text
    assert "the secret" not in answer.text


def test_half_of_a_character_is_refused(empty_server: tuple[str, str]) -> None:
    address, token = empty_server
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = httpx.post(f"{address}/api/public/v1/workspaces", content=b'{"name": "\\ud800"}', headers=headers)
    assert answer.status_code == 422
    assert "is no Unicode" in answer.json()["detail"]


def test_the_published_document_says_how_a_token_is_had(empty_server: tuple[str, str]) -> None:
    document = httpx.get(f"{empty_server[0]}/openapi.json").json()
    content = document["paths"]["/api/public/v1/applications/token"]["post"]["requestBody"]["content"]
    assert {"application/json", "application/x-www-form-urlencoded"} <= content.keys()
    assert all(kind["schema"] == {"$ref": "#/components/schemas/TokenBody"} for kind in content.values())
    assert document["components"]["schemas"]["TokenBody"]["required"] == ["client_id", "client_secret"]


ENDS = {"sourceId": "none", "destinationId": "none"}


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        *(
            ("connections", ENDS | {"configurations": {"streams": [{"name": "a", **stream}]}}, reason)
            for stream, reason in (
                ({"mappers": [{"type": "hashing"}]}, "configurations.streams.0.mappers: mappers are not supported"),
                ({"includeFiles": True}, "files are not moved"),
                ({"destinationObjectName": "b"}, "lands in the table of its name"),
                ({"syncmode": "incremental_append"}, "syncmode is not known here: the fields are name, "),
                ({"primaryKey": [[]]}, "primaryKey.0: a column is a list of its one name"),
                ({"primaryKey": [["id", "x"]]}, "fields within a column are not supported"),
                ({"selectedFields": [{"fieldPath": ["id", "x"]}]}, "fields within a column are not supported"),
                ({"selectedFields": [{"fieldPath": ["id"], "hash": True}]}, "hash is not known here"),
            )
        ),
        ("connections", ENDS | {"configurations": {"streems": []}}, "streems is not known here"),
        ("connections", ENDS | {"namespaceDefinition": "source"}, "namespaceDefinition: Input should be 'destination'"),
        ("connections", ENDS | {"prefix": "raw_"}, "prefix: Input should be ''"),
        ("jobs", {"connectionId": "none", "jobType": "refresh", "streams": [{"streamName": "a"}]}, "of all streams"),
        ("jobs", {"connectionId": "none", "type": "refresh"}, "type is not known here"),
        ("sources", {"name": "a", "workspaceId": "b", "configuration": {}, "secretId": "c"}, "no consent screen"),
    ],
)
def test_what_would_change_what_happens_is_refused_and_not_ignored(
    empty_server: tuple[str, str], path: str, body: Json, reason: str
) -> None:
    address, token = empty_server
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{address}/api/public/v1/{path}", json=body, headers=headers)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


def test_nothing_and_defaults_are_taken(empty_server: tuple[str, str]) -> None:
    address, token = empty_server
    stream = {"name": "a", "mappers": [], "includeFiles": False, "destinationObjectName": None, "namespace": None}
    body = ENDS | {
        "configurations": {"streams": [stream | {"selectedFields": [], "cursorField": [], "of a later version": None}]},
        "namespaceDefinition": "destination",
        "namespaceFormat": "${SOURCE_NAMESPACE}",
        "prefix": "",
        "dataResidency": "auto",
        "tags": [],
    }
    with httpx.Client(base_url=f"{address}/api/public/v1", headers={"Authorization": f"Bearer {token}"}) as api:
        assert api.post("/connections", json=body).status_code == 404
        assert api.post("/jobs", json={"connectionId": "none", "streams": []}).status_code == 404


FOUND = [
    {"name": "a", "namespace": "public", "json_schema": {"properties": {"id": {}, "n": {}}}},
    {"name": "b", "namespace": "public", "json_schema": {"properties": {"id": {}}}},
]


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], "stream a is given twice"),
        ([{"name": "a"}, {"name": "a", "namespace": "public"}], "stream a is given twice"),
        ([{"name": "a", "namespace": "sales"}], "stream a is in the schema public, not in sales"),
        ([{"name": "a", "primaryKey": [["id"], ["n"], ["id"]]}], "primaryKey names a column twice"),
    ],
)
def test_streams_that_no_sync_could_read_are_refused(streams: list[Json], reason: str) -> None:
    with pytest.raises(catalog.CatalogError, match=reason):
        catalog.validate(streams, FOUND)
    assert len(catalog.validate([{"name": "a", "primaryKey": [["n"], ["id"]]}, {"name": "b"}], FOUND)) == 2


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
    # It has ended, and stays as it was.
    assert jobs.main(["cancel", str(job["jobId"])]) == 0
    assert jobs.main(["cancel", "987654"]) == 1
    assert "error: there is no job 987654" in capsys.readouterr().err
    with syncs.client(airbyte_server) as api:
        counts = {s["streamName"]: s for s in api.get(f"/jobs/{job['jobId']}/streams").json()}
        assert len(counts) == 9
        assert counts["orders"]["rowsSynced"] == 500
        assert counts["orders"]["bytesSynced"] > 100_000
        assert counts["orders"]["rowsPerSecond"] > 0
        api.delete(f"/connections/{connection}")


def test_a_job_without_numbers_is_listed_all_the_same(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the API's document allows, and a real Airbyte answers of a job that has just begun."""
    job = {"jobId": 7, "jobType": "sync", "status": "running", "startTime": "2026-11-01T00:00:00Z", "connectionId": "c"}
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"data": [job]})), base_url="http://airbyte/"
    ) as api:
        monkeypatch.setattr(jobs, "_reached", lambda _: nullcontext((api, "c")))
        screen = io.StringIO()
        jobs.listed(settings, Console(file=screen, width=120))
    assert screen.getvalue().splitlines()[1].split() == ["7", "sync", "running", "2026-11-01T00:00:00Z", "0", "0"]


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
from marketplace import airbyte_sync
hook = AirbyteHook(airbyte_conn_id=airbyte_sync.CONNECTION)
ok, said = hook.test_connection()
assert ok, said
job = hook.submit_sync_connection(sys.argv[1])
assert job.job_id and job.status, job
while (status := hook.get_job_status(job.job_id)) in ("pending", "running", "incomplete"):
    time.sleep(0.5)
assert status == "succeeded", status
assert hook.get_job_details(job.job_id).rows_synced is not None
assert any("orders: 500 rows committed" in line for line in airbyte_sync._log(job.job_id))
assert str(hook.cancel_job(job.job_id).status) in ("succeeded", "JobStatusEnum.SUCCEEDED"), "an ended job stays as it is"
print("contract kept")
"""


def test_airflows_provider_finds_what_it_expects(
    marketplace: Settings, airbyte_server: Settings, tmp_path: Path
) -> None:
    import json

    from stack.airbyte import client_credentials

    connection = apply.apply(airbyte_server, load())
    given = client_credentials(airbyte_server)
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
            "AIRFLOW_CONN_AIRBYTE_MARKETPLACE": json.dumps(described),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'airflow' / 'dags'}",
        },
        check=False,
    )
    assert "contract kept" in done.stdout, done.stderr[-3000:]
    with syncs.client(airbyte_server) as api:
        api.delete(f"/connections/{connection}")
