"""`python3 -I -S stack/healthcheck.py URL [PART]`: whether a service answers with 200, and the part of it that its JSON names is well.

Runs under any Python, standard library only, and in a moment: ten containers call it every ten seconds. So it speaks HTTP itself, and reads its command
line itself: to import urllib costs three times what all the rest does.
"""

from __future__ import annotations

import json
import socket
import sys

SECONDS = 4
WELL = ("healthy", "ALIVE")


def problem(url: str, part: str = "") -> str:
    """Why the service at `http://host:port/path` is not well; "" when it is.

    `part` is a field of the answer that has a status: a text, such as `"status": "ALIVE"`, or an object with its own `status`.
    """
    try:
        status, body = _answer(url)
        if status != "200":
            return f"{url}: HTTP {status}"
        found = json.loads(body).get(part) if part else None
    except (OSError, ValueError) as error:
        return f"{url}: {error}"
    state = found.get("status") if isinstance(found, dict) else found
    return "" if not part or state in WELL else f"{url}: {part} is {state}"


def _answer(url: str) -> tuple[str, bytes]:
    """The status and the body. Raises ValueError when the answer is no HTTP."""
    place, _, path = url.removeprefix("http://").partition("/")
    host, port = place.split(":")
    # By HTTP 1.0 the server ends the connection after its answer, which comes in one piece.
    asked = f"GET /{path} HTTP/1.0\r\nHost: {place}\r\n\r\n".encode()
    with socket.create_connection((host, int(port)), SECONDS) as connection, connection.makefile("rb") as received:
        connection.sendall(asked)
        head, _, body = received.read().partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise ValueError("the answer is no HTTP")
    return words[1].decode(), body


def main() -> int:
    """Ask once. The reason is what `docker inspect` shows. Returns 2 for what is no address."""
    words = sys.argv[1:]
    if len(words) not in (1, 2) or words[0].startswith("-"):
        print(__doc__)
        return 0 if words in (["-h"], ["--help"]) else 2
    reason = problem(*words)
    print(reason or "healthy")
    return bool(reason)


if __name__ == "__main__":
    sys.exit(main())
