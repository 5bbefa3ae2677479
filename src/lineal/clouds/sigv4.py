"""Signs requests to AWS: Signature Version 4, in a header or in a URL.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
botocore has it too, beside tens of megabytes that describe services."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from urllib.parse import quote

from lineal.value import dataclass

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials of AWS. `token` is that of a session; empty for a user's own keys."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: one service in one region, from `when` (UTC) on."""

    region: str
    service: str
    when: datetime

    @property
    def time(self) -> str:
        return self.when.strftime("%Y%m%dT%H%M%SZ")

    def __str__(self) -> str:
        return f"{self.time[:8]}/{self.region}/{self.service}/aws4_request"


def signed(
    method: str, host: str, headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope, query: str = ""
) -> dict[str, str]:
    """The headers of a request to `https://HOST/`, with `Authorization`; all of them are signed. `query` is a
    `canonical_query`."""
    stamped = {**headers, "X-Amz-Date": scope.time, **({"X-Amz-Security-Token": keys.token} if keys.token else {})}
    names, signature = _signature(method, query, {**stamped, "Host": host}, body, keys, scope)
    credential = f"Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**stamped, "Authorization": f"{_ALGORITHM} {credential}"}


def presigned(host: str, query: Mapping[str, str], headers: Mapping[str, str], keys: Keys, scope: Scope) -> str:
    """A URL at `https://HOST/` for a GET with `headers`, that whoever has it may send within a minute."""
    everything = {**headers, "Host": host}
    fields = {
        **query,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": scope.time,
        "X-Amz-Expires": "60",
        **({"X-Amz-Security-Token": keys.token} if keys.token else {}),
        "X-Amz-SignedHeaders": _names(everything),
    }
    wanted = canonical_query(fields)
    signature = _signature("GET", wanted, everything, b"", keys, scope)[1]
    return f"https://{host}/?{wanted}&X-Amz-Signature={signature}"


def canonical_query(fields: Mapping[str, str]) -> str:
    pairs = sorted((quote(key, safe="-_.~"), quote(value, safe="-_.~")) for key, value in fields.items())
    return "&".join(f"{key}={value}" for key, value in pairs)


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(name.lower() for name in headers))


def _signature(
    method: str, query: str, headers: Mapping[str, str], body: bytes, keys: Keys, scope: Scope
) -> tuple[str, str]:
    """The names of the headers that are signed, and the signature."""
    names = _names(headers)
    pairs = sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())
    lines = [f"{name}:{value}\n" for name, value in pairs]
    request = "\n".join([method, "/", query, "".join(lines), names, hashlib.sha256(body).hexdigest()])
    text = "\n".join([_ALGORITHM, scope.time, str(scope), hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for part in (*str(scope).split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return names, key.hex()
