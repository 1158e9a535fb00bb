"""Who may call: client credentials made at the first start, and the signed tokens that they buy."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from stack.airbyte import CREDENTIALS, stored_credentials

TOKEN_SECONDS = 900


@dataclass(frozen=True)
class Credentials:
    """A client id and its secret, the same across restarts. Tokens carry their own end and signature: nothing is kept of them."""

    client_id: str
    client_secret: str = field(repr=False)

    @classmethod
    def load(cls, folder: Path, client_id: str = "", client_secret: str = "") -> Credentials:
        """The given ones, else those kept in `folder`, made there if missing and readable by the owner only."""
        if client_id and client_secret:
            return cls(client_id, client_secret)
        path = folder / CREDENTIALS
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(
                f"AIRBYTE_CLIENT_ID={uuid.uuid4()}\nAIRBYTE_CLIENT_SECRET={secrets.token_urlsafe(32)}\n"
            )
            unfinished.replace(path)
        values = stored_credentials(path)
        return cls(values["AIRBYTE_CLIENT_ID"], values["AIRBYTE_CLIENT_SECRET"])

    def accepts(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the ones, in a time that does not depend on how much of them is right."""
        same = hmac.compare_digest(client_id.encode(), self.client_id.encode())
        return hmac.compare_digest(client_secret.encode(), self.client_secret.encode()) and same

    def token(self) -> str:
        """An access token, good for TOKEN_SECONDS."""
        end = str(int(time.time()) + TOKEN_SECONDS)
        return f"{end}.{self._signature(end)}"

    def is_valid(self, token: str) -> bool:
        """Whether the token is ours and has not ended."""
        end, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(end).encode()):
            return False
        return int(end) > time.time()

    def _signature(self, end: str) -> str:
        return hmac.new(self.client_secret.encode(), end.encode(), hashlib.sha256).hexdigest()
