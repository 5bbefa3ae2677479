"""What helm does not tell: a few plain requests to the same API server, logged in by lightkube."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lineal.config.suggest import printable
from lineal.lock.kubernetes import connect
from lineal.lock.leased import LockFailed

if TYPE_CHECKING:
    import httpx2

_BIGGEST = 64 << 20
_ONLY_HELM = ("APISERVER", "TOKEN", "CAFILE", "ASUSER", "ASGROUPS", "TLS_SERVER_NAME", "INSECURE_SKIP_TLS_VERIFY")


class Unavailable(Exception):
    """The API cannot be asked; the text says why, in a few words."""


class Refused(Exception):
    """It answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (status {status})")
        self.status = status


class Api:
    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    @classmethod
    def connect(cls, environ: Mapping[str, str], context: str | None) -> Api:
        """The cluster that helm would choose. Raises `Unavailable`."""
        for name in _ONLY_HELM:
            if environ.get(f"HELM_KUBE{name}") or environ.get(f"HELM_KUBE_{name}"):
                raise Unavailable(f"a variable HELM_KUBE…{name} is set, which only helm reads")
        try:
            client, _ = connect(environ, context or environ.get("HELM_KUBECONTEXT", ""))
        except LockFailed as failure:
            raise Unavailable(str(failure)) from None
        return cls(client)

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """None when it does not exist. Raises `Unavailable` or `Refused`."""
        return self._ask("GET", path, query)

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        answer = self.get(path, **query)
        found = answer.get("items") if answer else None
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        self._ask("POST", path, {}, body)

    def delete(self, path: str) -> bool:
        """False when it does not exist. It may take a while until it is gone. Raises `Unavailable` or `Refused`."""
        return self._ask("DELETE", path, {}) is not None

    def text(self, path: str, **query: str) -> str:
        """Such as a log. Raises `Unavailable` or `Refused`."""
        status, data = self._exchange("GET", path, query, None)
        if status != 200:
            raise Refused(status, "no text")
        return data.decode("utf-8", "replace")

    def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        status, data = self._exchange(method, path, query, body)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if status == 404:
            return None
        if not isinstance(answer, dict):
            raise Unavailable("its answer is not that of a Kubernetes API server")
        if status not in (200, 201, 202):
            raise Refused(status, printable(str(answer.get("message", "")), 500))
        return answer

    def _exchange(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        import httpx2
        from lightkube.core.exceptions import ConfigError

        data = bytearray()
        content = None if body is None else json.dumps(body)
        try:
            with self._client.stream(method, path, params=dict(query), content=content,
                                     headers={"Content-Type": "application/json"}) as response:  # fmt: skip
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > _BIGGEST:
                        raise Unavailable("its answer is too long")
        except ConfigError as error:
            raise Unavailable(printable(str(error), 200)) from None
        except (httpx2.HTTPError, OSError) as error:
            host = self._client.base_url.host
            raise Unavailable(f"{host} cannot be reached ({type(error).__name__})") from None
        return response.status_code, bytes(data)


def path(group: str, namespace: str, kind: str, name: str = "") -> str:
    """`path("apis/apps/v1", "shop", "deployments")`."""
    return f"/{group}/namespaces/{quote(namespace, safe='')}/{kind}" + (f"/{quote(name, safe='')}" if name else "")
