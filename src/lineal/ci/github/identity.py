"""The token by which GitHub vouches for a job that has `permissions: {id-token: write}`."""

from __future__ import annotations

from collections.abc import Mapping

from lineal.errors import Unreachable

URL, BEARER = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_SECONDS = 30
_MOST = 64 << 10


def is_offered(environ: Mapping[str, str]) -> bool:
    return bool(environ.get(URL) and environ.get(BEARER))


def identity_token(environ: Mapping[str, str], audience: str) -> str:
    """A new token, which is valid for some minutes. Raises `Unreachable`, which repeats nothing of the answer."""
    import requests

    headers = {"Authorization": f"Bearer {environ[BEARER]}", "Accept": "application/json"}
    try:
        with requests.get(
            environ[URL], params={"audience": audience}, headers=headers, timeout=_SECONDS, allow_redirects=False,
            stream=True,
        ) as answer:  # fmt: skip
            import json

            found = json.loads(answer.raw.read(_MOST, decode_content=True)) if answer.status_code == 200 else None
        token = found["value"] if found else None
    except (requests.RequestException, OSError, ValueError, LookupError, TypeError):
        token = None
    if not isinstance(token, str) or not token:
        raise Unreachable(
            "GitHub gives this job no identity token.",
            id="LN-4039",
            remedy="Run the job again; it needs `permissions: {id-token: write}`.",
        )
    return token
