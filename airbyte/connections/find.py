"""`python -m airbyte.connections.find`: print the id of the described connection, for whoever triggers its sync.

Plain HTTP: the SDK takes four seconds to import, and this is one of the steps that every run waits for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import httpx

from airbyte.connections.description import load
from stack import settings
from stack.airbyte import client_credentials
from stack.failures import FINAL
from stack.processes import StackError
from stack.settings import Settings

PAGE = 100
SECONDS = 30


class Login(httpx.Auth):
    """A token with each request, asked for anew whenever Airbyte refuses it: the first time, and when it has ended (900 s)."""

    requires_response_body = True

    def __init__(self, current: Settings) -> None:
        """Raises StackError without credentials."""
        credentials = client_credentials(current)
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials["AIRBYTE_CLIENT_ID"],
            "client_secret": credentials["AIRBYTE_CLIENT_SECRET"],
        }
        timeout = {"timeout": httpx.Timeout(SECONDS).as_dict()}
        self._login = httpx.Request("POST", f"{current.airbyte_url}/applications/token", data=form, extensions=timeout)
        self._authorization = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Raises httpx.HTTPStatusError when the credentials are refused."""
        request.headers["Authorization"] = self._authorization
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            login = yield self._login
            self._authorization = f"Bearer {login.raise_for_status().json()['access_token']}"
            request.headers["Authorization"] = self._authorization
            yield request


@contextmanager
def session(current: Settings) -> Iterator[httpx.Client]:
    """A client of the API that logs in when it is asked to. Raises httpx.HTTPError, or StackError without credentials."""
    with httpx.Client(base_url=f"{current.airbyte_url}/", timeout=SECONDS, auth=Login(current)) as client:
        yield client


def named(client: httpx.Client, name: str) -> str | None:
    """The id of the connection of this name, None when there is none. Raises httpx.HTTPError."""
    offset = 0
    while True:
        place: dict[str, int] = {"limit": PAGE, "offset": offset}
        page = client.get("connections", params=place).raise_for_status().json()["data"]
        for connection in page:
            if connection["name"] == name:
                return str(connection["connectionId"])
        if len(page) < PAGE:
            return None
        offset += PAGE


def find(current: Settings, name: str) -> str | None:
    """The id of the connection of this name, None when there is none. Raises httpx.HTTPError, or StackError without credentials."""
    with session(current) as client:
        return named(client, name)


def main() -> int:
    """The command line. Returns the exit status."""
    argparse.ArgumentParser(prog="python -m airbyte.connections.find", description=__doc__).parse_args()
    current, name = settings.for_command(), load().name
    try:
        found = find(current, name)
    except (StackError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"error: Airbyte at {current.airbyte_url}: {error}: `make up` starts the embedded one", file=sys.stderr)
        return 1
    if found is None:
        print(
            f"error: Airbyte has no connection {name!r}: `python -m airbyte.connections.apply` makes it",
            file=sys.stderr,
        )
        return FINAL
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
