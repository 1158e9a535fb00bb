"""`python3 stack/compose_env.py`: put into `.env` what docker-compose.yml asks for and has no default: secrets, made at random, and the profiles.

What is there already stays. The file is its owner's alone (0600). Runs under the system's Python, standard library only.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ("source", "bigquery", "spark", "dashboard")
# Letters, digits, - and _ only: such a value is itself in make, in a shell, in a compose file and in a URL.
WANTED: dict[str, Callable[[], str]] = {
    "COMPOSE_PROFILES": lambda: ",".join(PROFILES),
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "SOURCE_READER_PASSWORD": lambda: secrets.token_urlsafe(24),
    "AIRBYTE_CLIENT_ID": lambda: str(uuid.uuid4()),
    "AIRBYTE_CLIENT_SECRET": lambda: secrets.token_urlsafe(32),
    "AIRFLOW_PASSWORD": lambda: secrets.token_urlsafe(18),
    "AIRFLOW_DATABASE_PASSWORD": lambda: secrets.token_urlsafe(24),
    "AIRFLOW_JWT_SECRET": lambda: secrets.token_urlsafe(64),
    # A Fernet key's form: 32 bytes in URL-safe base64, its padding included.
    "AIRFLOW_FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


def complete(path: Path) -> list[str]:
    """Add to the file what it lacks. Returns the names that were added. A name that is set to nothing counts as lacking."""
    held = path.read_text() if path.exists() else ""
    names = set(re.findall(r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*\S", held, re.MULTILINE))
    added = [name for name in WANTED if name not in names]
    if added or not path.exists():
        lines = "".join(f"{name}={WANTED[name]()}\n" for name in added)
        # Under its final name only when it is whole, and never readable by others, not for a moment.
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(held + ("\n" if held and not held.endswith("\n") else "") + lines)
        unfinished.replace(path)
    path.chmod(0o600)
    return added


def main() -> int:
    """Complete the file and name what was added, without the values."""
    parser = argparse.ArgumentParser(prog="stack/compose_env.py", description=__doc__)
    parser.add_argument("--file", type=Path, default=ROOT / ".env", help="default: .env of this checkout")
    arguments = parser.parse_args()
    try:
        added = complete(arguments.file)
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return 1
    print(f"{arguments.file}: " + (f"added {', '.join(added)}" if added else "complete"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
