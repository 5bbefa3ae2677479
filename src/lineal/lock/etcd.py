"""A lock in etcd: a key that exists, bound to a lease that etcd itself ends.

Requests go through the JSON gateway that etcd 3.4 and later have at `/v3`, where keys and values are base64 and
numbers are texts."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lineal.lock.leased import SOMEBODY, Holder, LockFailed
from lineal.text import one_line

if TYPE_CHECKING:
    from lineal.store.registry.http import Session

USER, PASSWORD = "LINEAL_ETCD_USERNAME", "LINEAL_ETCD_PASSWORD"
_TIMEOUT = (5, 10)
_BIGGEST, _CHUNK = 1 << 20, 1 << 16
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404


class EtcdKeys:
    """The service of `LeasedLock` in etcd; a token is the id of the lease that the key is bound to."""

    name = "etcd"
    takes_over = False

    def __init__(self, endpoint: str, folder: str, holder: str, lease: float, environ: Mapping[str, str]) -> None:
        """`endpoint` is `https://host:port`; keys are below `folder`."""
        self._endpoint = endpoint
        self._folder = folder
        self._holder = holder
        self._lease = lease
        self._environ = environ
        self._guard = threading.Lock()
        self._made: Session | None = None
        self.where = endpoint

    def token(self) -> str:
        answer = self._call("lease/grant", {"TTL": str(max(1, round(self._lease)))})
        return _number(answer.get("ID"))

    def claim(self, checksum: str, token: str, over: str | None) -> bool:
        # An expired key is gone: there is never one to take over.
        del over
        key = self._key(checksum)
        put = {"key": key, "value": _encode(self._holder), "lease": token}
        answer = self._call("kv/txn", {
            "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
            "success": [{"request_put": put}],
        })  # fmt: skip
        if answer.get("succeeded") is True:
            return True
        self._call("lease/revoke", {"ID": token}, missing=True)
        return False

    def look(self, checksum: str) -> Holder | None:
        found = self._call("kv/range", {"key": self._key(checksum)}).get("kvs")
        if not found:
            return None
        try:
            key = found[0]
            return Holder(_number(key["create_revision"]), one_line(_decode(str(key.get("value", "")))) or SOMEBODY)
        except (LookupError, TypeError, AttributeError):
            raise _invalid_answer() from None

    def identify(self, checksum: str, holder: Holder) -> Holder:
        del checksum
        return holder

    def renew(self, checksum: str, token: str) -> str | None:
        del checksum
        alive = self._call("lease/keepalive", {"ID": token}).get("result")
        return token if isinstance(alive, dict) and str(alive.get("TTL", "0")) != "0" else None

    def release(self, checksum: str, token: str) -> None:
        del checksum
        # The key goes with its lease, and no other key has this lease.
        self._call("lease/revoke", {"ID": token}, missing=True)

    def _key(self, checksum: str) -> str:
        return _encode(f"{self._folder}/{checksum}")

    # --- requests -----------------------------------------------------------------------------------------------

    def _call(self, path: str, body: Mapping[str, Any], *, missing: bool = False) -> dict[str, Any]:
        """The answer. With `missing`, an empty one when etcd does not know the lease any more."""
        # One request at a time: a session is not made for threads, and these are few and small.
        with self._guard:
            session = self._made = self._made or self._open()
            status, answer = self._post(session, path, body)
            if status == _UNAUTHORIZED and "Authorization" in session.headers:
                # etcd forgets who logged in when it hears nothing for five minutes.
                self._log_in(session)
                status, answer = self._post(session, path, body)
        if missing and status == _NOT_FOUND:
            return {}
        return _good(status, answer)

    def _open(self) -> Session:
        from lineal.errors import BadConfiguration
        from lineal.store.registry.http import Session

        try:
            session = Session(urlsplit(self._endpoint).netloc, self._environ)
        except BadConfiguration as error:
            raise LockFailed(error.words.rstrip(".")) from None
        if self._environ.get(USER):
            self._log_in(session)
        return session

    def _log_in(self, session: Session) -> None:
        session.headers.pop("Authorization", None)
        given = {"name": self._environ.get(USER, ""), "password": self._environ.get(PASSWORD, "")}
        token = str(_good(*self._post(session, "auth/authenticate", given)).get("token", ""))
        if not token.isascii() or not token.isprintable():
            raise _invalid_answer()
        session.headers["Authorization"] = token

    def _post(self, session: Session, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        """The status, and the answer as JSON, None when it is none."""
        from lineal.store.registry.errors import connection_error
        from lineal.store.registry.http import RequestFailed

        url, data = f"{self._endpoint}/v3/{path}", bytearray()
        try:
            with session.request("POST", url, body=json.dumps(body).encode(), timeout=_TIMEOUT) as response:
                for chunk in response.chunks(_CHUNK):
                    data += chunk
                    if len(data) > _BIGGEST:
                        raise _invalid_answer()
        except RequestFailed as error:
            raise LockFailed(connection_error(urlsplit(self._endpoint).netloc, error).message.rstrip(".")) from None
        try:
            return response.status, json.loads(data)
        except (ValueError, RecursionError):
            return response.status, None


def _good(status: int, answer: object) -> dict[str, Any]:
    if status != _OK:
        said = one_line(str(answer.get("error", ""))) if isinstance(answer, dict) else ""
        raise LockFailed(f"it answers status {status}" + (f" and says {said!r}" if said else ""))
    if not isinstance(answer, dict):
        raise _invalid_answer()
    return answer


def _invalid_answer() -> LockFailed:
    return LockFailed("its answer is not that of etcd 3.4 or later")


def _number(value: object) -> str:
    if isinstance(value, str) and value.isdecimal():
        return value
    raise _invalid_answer()


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text).decode(errors="replace")
    except ValueError:
        return ""
