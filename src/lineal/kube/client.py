"""Plain requests to a Kubernetes API server.

lightkube's own client sends no preconditions, and its models cost too much to import."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lineal.kube.json_fields import entries
from lineal.kube.login import KubeUnavailable, connect
from lineal.text import printable

if TYPE_CHECKING:
    import socket

    import httpx2

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT = 401, 403, 404, 409
_JSON = "application/json"
_GOOD = (200, 201, 202)
"""The statuses of an answer that is no error."""
_SWITCHED = 101
_HELM_ONLY = ("APISERVER", "TOKEN", "CAFILE", "ASUSER", "ASGROUPS", "TLS_SERVER_NAME", "INSECURE_SKIP_TLS_VERIFY")


class KubeRefused(Exception):
    """The API server answers with an error status; `message` is its own text, `causes` are its reasons one by one."""

    def __init__(self, status: int, message: str, causes: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(f"{message or 'no reason is given'} (status {status})")
        self.status = status
        self.message = message
        self.causes = causes

    @property
    def forbidden(self) -> bool:
        return self.status in (UNAUTHORIZED, FORBIDDEN)


class KubeClient:
    """Every method raises `KubeUnavailable` or `KubeRefused`."""

    def __init__(self, client: httpx2.Client, namespace: str = "default", biggest: int = 64 << 20) -> None:
        """`biggest`: bytes that an answer may have. `namespace` is that of the context."""
        self._client = client
        self._biggest = biggest
        self.namespace = namespace

    @classmethod
    def connect(
        cls, environ: Mapping[str, str], context: str | None, *, timeout: float = 10.0, biggest: int = 64 << 20
    ) -> KubeClient:
        return cls(*connect(environ, context or "", timeout), biggest)

    @classmethod
    def of_helm(cls, environ: Mapping[str, str], context: str | None) -> KubeClient:
        """A client of the cluster that helm would choose."""
        for name in _HELM_ONLY:
            if environ.get(f"HELM_KUBE{name}") or environ.get(f"HELM_KUBE_{name}"):
                raise KubeUnavailable(f"a variable HELM_KUBE…{name} is set, which only helm reads")
        return cls.connect(environ, context or environ.get("HELM_KUBECONTEXT"))

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """One object or list, None when it does not exist."""
        return self.ask("GET", path, query=query)

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """The objects of a list, empty when the list does not exist."""
        answer = self.get(path, **query)
        found = answer.get("items") if answer else None
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        self.ask("POST", path, body)

    def delete(self, path: str) -> bool:
        """Begin to delete an object, which may take a while. False when it does not exist."""
        return self.ask("DELETE", path) is not None

    def data(self, path: str, **query: str) -> bytes:
        """The raw body of a GET, e.g. a pod's log."""
        status, data = self._exchange("GET", path, query, None)
        if status not in _GOOD:
            raise KubeRefused(status, "")
        return data

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *,
        query: Mapping[str, str] | None = None, allowed: tuple[int, ...] = (NOT_FOUND,), kind: str = _JSON,
    ) -> dict[str, Any] | None:  # fmt: skip
        """The answer as JSON; None when its status is one of `allowed`. `kind` is the media type of the body."""
        status, data = self._exchange(method, path, query or {}, body, kind)
        if status in allowed:
            return None
        answer = _parsed(data)
        if status not in _GOOD:
            raise KubeRefused(status, _said(answer), entries(answer, "details", "causes"))
        if not isinstance(answer, dict):
            raise KubeUnavailable("its answer is not that of a Kubernetes API server")
        return answer

    def _exchange(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None, kind: str = _JSON
    ) -> tuple[int, bytes]:
        data = bytearray()
        content = None if body is None else json.dumps(body)
        with (
            self._explained(),
            self._client.stream(method, path, params=dict(query) or None, content=content,
                                headers={"Content-Type": kind}) as response,
        ):  # fmt: skip
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > self._biggest:
                    raise KubeUnavailable("its answer is not that of a Kubernetes API server")
        return response.status_code, bytes(data)

    def websocket(self, path: str, query: Sequence[tuple[str, str]], protocol: str) -> tuple[socket.socket, bytes]:
        """A socket (with TLS, an `ssl.SSLSocket`) over which both sides speak WebSocket, and the bytes that have come
        already. It lives as long as this client, which must do nothing else."""
        import httpcore2
        import httpx2

        asked = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Protocol": protocol,
        }  # fmt: skip
        with self._explained():
            request = self._client.build_request("GET", path, params=httpx2.QueryParams(list(query)), headers=asked)
            answer = self._client.send(request, stream=True)
            if answer.status_code != _SWITCHED:
                raise KubeRefused(answer.status_code, _said(_parsed(answer.read())))
            stream = answer.extensions["network_stream"]
            try:
                # What came behind the answer is at hand; nothing else is waited for.
                early = stream.read(1 << 20, timeout=0.001)
            except httpcore2.TimeoutException:
                early = b""
            plain: socket.socket = stream.get_extra_info("socket")
        if stream.get_extra_info("ssl_object") is not getattr(plain, "_sslobj", None):
            raise KubeUnavailable("a proxy that speaks https itself is between")
        return plain, early

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import httpx2
        from lightkube.core.exceptions import ConfigError

        try:
            yield
        except ConfigError as error:
            raise KubeUnavailable(printable(str(error), 200)) from None
        except (KeyError, TypeError, ValueError):
            raise KubeUnavailable("the program by which the kubeconfig logs in gives no token") from None
        except (httpx2.HTTPError, OSError) as error:
            host = self._client.base_url.host
            raise KubeUnavailable(f"{host} cannot be reached ({type(error).__name__})") from None


def _parsed(data: bytes) -> Any:
    """JSON, None when it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _said(answer: Any) -> str:
    """The message of an answer that is an error."""
    return printable(str(answer.get("message", "")), 500) if isinstance(answer, dict) else ""


def path(group: str, namespace: str, kind: str, name: str = "") -> str:
    """The path of a list, or of one object: `path("apis/apps/v1", "shop", "deployments", "web")`."""
    return f"/{group}/namespaces/{quote(namespace, safe='')}/{kind}" + (f"/{quote(name, safe='')}" if name else "")
