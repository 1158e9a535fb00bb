"""`python3 stack/healthcheck.py URL [PART]`: whether a service answers with 200, and the part of it that its JSON names is well.

Runs under any Python, standard library only, and in a moment: containers call it every few seconds.
"""

from __future__ import annotations

import json
import sys
import urllib.request

SECONDS = 4
WELL = ("healthy", "ALIVE")


def problem(url: str, part: str = "") -> str:
    """Why the service is not well; "" when it is.

    `part` is a field of the answer that has a status: a text, such as `"status": "ALIVE"`, or an object with its own `status`.
    """
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - our own http URL
            found = json.load(answer).get(part) if part else None
    except (OSError, ValueError) as error:
        return f"{url}: {error}"
    status = found.get("status") if isinstance(found, dict) else found
    return "" if not part or status in WELL else f"{url}: {part} is {status}"


def main() -> int:
    """Ask once. The reason is what `docker inspect` shows."""
    reason = problem(*sys.argv[1:3])
    print(reason or "healthy")
    return bool(reason)


if __name__ == "__main__":
    sys.exit(main())
