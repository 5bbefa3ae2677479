"""Azure: logins for its container registry, by a workload identity or the secret of an application."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from lineal.clouds import CloudRefuses, Exchange, sendable
from lineal.oci.credential import Credential

_HOST = re.compile(r"[a-z0-9]{5,50}(?:-[a-z0-9]+)?\.azurecr\.io")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_AUTHORITY = "https://login.microsoftonline.com/"
_SCOPE = "https://containerregistry.azure.net/.default"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SOURCE = "the Azure variables of the environment"


def login(host: str, environ: Mapping[str, str], exchange: Exchange) -> Credential | None:
    """The login for `NAME.azurecr.io`: a refresh token for that registry, good for three hours. Sources:
    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow and
    https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md"""
    client, tenant = environ.get("AZURE_CLIENT_ID", ""), environ.get("AZURE_TENANT_ID", "")
    # In a cloud of its own country (AZURE_AUTHORITY_HOST) registries have other names than azurecr.io.
    foreign = environ.get("AZURE_AUTHORITY_HOST", _AUTHORITY).rstrip("/") != _AUTHORITY.rstrip("/")
    if not _HOST.fullmatch(host) or not client or foreign or not _TENANT.fullmatch(tenant):
        return None
    if not (proof := _proof(environ)):
        return None
    form = {"grant_type": "client_credentials", "client_id": client, "scope": _SCOPE, **proof}
    who = f"the application AZURE_CLIENT_ID of {tenant}"
    access = _asked(f"{_AUTHORITY}{tenant}/oauth2/v2.0/token", form, "access_token", who, exchange)
    form = {"grant_type": "access_token", "service": host, "tenant": tenant, "access_token": access}
    refresh = _asked(f"https://{host}/oauth2/exchange", form, "refresh_token", f"{_SOURCE} at {host}", exchange)
    return Credential(_SOURCE, identity_token=refresh, ambient=True)


def _proof(environ: Mapping[str, str]) -> dict[str, str] | None:
    """By what the application shows who it is; None when the environment has nothing."""
    if file := environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        try:
            assertion = Path(file).read_text("ascii").strip()
        except (OSError, ValueError):
            raise CloudRefuses(f"AZURE_FEDERATED_TOKEN_FILE names {file}, which cannot be read.") from None
        return {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
    secret = environ.get("AZURE_CLIENT_SECRET")
    return {"client_secret": secret} if secret else None


def _asked(url: str, form: dict[str, str], name: str, who: str, exchange: Exchange) -> str:
    status, body = exchange("POST", url, _FORM, urlencode(form, errors="surrogateescape").encode())
    try:
        token = json.loads(body)[name] if status == 200 else ""
    except (ValueError, LookupError, TypeError, RecursionError):
        token = ""
    if not isinstance(token, str) or not sendable(token):
        raise CloudRefuses(f"Azure gives no token to {who} (status {status}).")
    return token
