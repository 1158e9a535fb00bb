"""Secrets of configurations: shown as a mask, kept when the mask comes back, and never written to a log."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
MASK = "**********"
# Fields that this server's connectors do not know and a real one has: those that the specs of more than half of Airbyte's connectors which have them
# mark as `airbyte_secret`. From the specs in airbyte.yaml of Airbyte's Terraform provider (commit 66a3686).
_NAMES = frozenset(
    """
    access_key access_key_id access_token account_sid api_id api_key api_key_secret api_password api_secret api_token apikey app_api_key app_id
    appid application_secret auth_ssh_key auth_token auth_user_password aws_access_key_id aws_key_id aws_key_secret aws_secret_access_key
    aws_secret_key azure_blob_storage_account_key azure_blob_storage_sas_token ca_certificate client_certificate client_id client_key
    client_key_password client_secret consumer_key consumer_secret credentials_json databricks_personal_access_token developer_token domain_url
    hmac_key_access_id hmac_key_secret jwt_token key key_encrypting_key org_id password personal_access_token private_key private_key_password
    realm realm_id refresh_token reserved_attribute_names s3_access_key_id s3_secret_access_key sas_token secret secret_access_key secret_key
    service_account service_account_info service_account_json session_token shared_key site_api_key ssh_key ssl_certificate storage_access_key
    survey_group_id token token_key token_secret tunnel_user_password user_auth_key user_token x_postmark_account_token x_postmark_server_token
    """.split()  # noqa: SIM905 - a name a line would take more of the page than all the rest
)
# What no list has: a name that has such a word in it, unless it ends by saying that it is only about a secret.
_WORDS = re.compile(
    "passw|passphrase|secret|token|credential|bearer|connection_string|shared_access_signature"
    "|(api|access|account|app|application|auth|client|encryption|master|private|shared|signing|ssh)_?key"
)
_ABOUT = re.compile("_(type|kind|method|mode|name|url|uri|endpoint|path|date|at|in|seconds|limit|count|size|length)$")
# Objects that hold a choice of ways to log in, some of whose fields are secret.
_CHOICES = ("credential", "credentials")
# A shorter one would be found in every second word of a log.
_SHORTEST = 4


def _is_secret(name: str, marked: frozenset[str]) -> bool:
    if name in marked:
        return True
    plain = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return plain in _NAMES or (_WORDS.search(plain) is not None and _ABOUT.search(plain) is None)


def _replaced(value: Any, marked: frozenset[str], hide: Callable[[Any], Any], is_secret: bool = False) -> Any:
    """`value` with `hide` of every secret in it: the one walk over a configuration.

    A secret is a text or a number anywhere below a secret name. Null, an empty text, true and false are none.
    """
    if isinstance(value, dict):
        return {
            name: _replaced(
                item,
                marked,
                hide,
                (is_secret or _is_secret(name, marked)) and not (name in _CHOICES and isinstance(item, dict)),
            )
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_replaced(item, marked, hide, is_secret) for item in value]
    if is_secret and not isinstance(value, bool) and value not in (None, ""):
        return hide(value)
    return value


def masked(configuration: Any, marked: frozenset[str]) -> Any:
    """The configuration without its secrets, at any depth. `marked`: names that the spec calls secret."""
    return _replaced(configuration, marked, lambda _: MASK)


def restored(given: Any, kept: Any) -> Any:
    """`given` with the kept value wherever it has the mask."""
    if given == MASK:
        return kept
    if isinstance(given, dict):
        before = kept if isinstance(kept, dict) else {}
        return {name: restored(value, before.get(name)) for name, value in given.items()}
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [restored(value, before) for value, before in zip(given, kept, strict=True)]
    return given


def values(configuration: Any, marked: frozenset[str]) -> list[str]:
    """The secrets themselves, as text, to be kept out of a log: the longest first, as one may be a part of another."""
    found: list[str] = []
    _replaced(configuration, marked, lambda value: found.append(str(value)))
    return sorted({text for text in found if len(text) >= _SHORTEST}, key=len, reverse=True)
