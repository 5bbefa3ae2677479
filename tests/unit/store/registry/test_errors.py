"""A registry's refusals as sentences: each status with what to do about it, and nothing of a secret."""

from __future__ import annotations

import json
import socket
import ssl
from http.client import HTTPException

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.store.registry.connection import ProxyError
from lineal.store.registry.errors import connection_error, refused
from lineal.store.registry.http import InvalidAddress, RequestFailed
from lineal.store.registry.response import MAX_SAID, Response, codes


def said(code: str, message: str = "because") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "doing", "sentence", "remedy"),
    [
        (400, said("NAME_INVALID"), "read", "does not accept the repository name 'team/app' and says: 'because'",
         "Choose another store address."),
        (404, said("NAME_UNKNOWN"), "write", "does not know the repository team/app and says: 'because'",
         "Create it there"),
        (404, b"", "read", "answers status 404 to a request to read team/app", "Check that it is an OCI registry"),
        (413, b"", "write", "or a proxy before it does not accept uploads of this size (status 413)",
         "Raise its limit"),
        (429, said("TOOMANYREQUESTS", "pull limit"), "read",
         "limits how often it may be asked, and the limit is used up and says: 'pull limit'",
         "Wait, or log in for a higher limit."),
        (405, b"", "delete", "does not allow to delete stages of team/app (status 405)", "storage.delete.enabled"),
        (501, b"", "delete", "does not allow to delete stages of team/app (status 501)", "storage.delete.enabled"),
        (403, said("UNSUPPORTED"), "delete", "does not allow to delete stages of team/app", "storage.delete.enabled"),
        (405, b"", "write", "does not allow to write team/app (status 405)", "no read-only mirror"),
        (507, b"", "write", "does not allow to write team/app (status 507)", "its disk is not full"),
        (400, said("UNSUPPORTED"), "write", "does not allow to write team/app (status 400)", "no read-only mirror"),
        (301, b"", "write", "sends requests for team/app elsewhere (status 301)", "Check the store's address."),
        (308, b"", "read", "sends requests for team/app elsewhere (status 308)", "Check the store's address."),
        (500, said("UNKNOWN"), "write", "fails with status 500 at each try to write team/app and says: 'because'",
         "Look at the registry's log"),
        (503, b"<html>", "read", "fails with status 503 at each try to read team/app", "Look at the registry's log"),
        (418, b"", "write", "answers status 418 to a request to write team/app", "Check that it is an OCI registry"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(status: int, body: bytes, doing: str, sentence: str, remedy: str) -> None:
    answer = Response(status, {}, body, "https://registry.example.com/v2/", foreign=False)
    error = refused("registry.example.com", "team/app", answer, doing)
    assert error.message.startswith(f"registry.example.com {sentence}")
    assert remedy in str(error.remedy)
    assert isinstance(error, BadConfiguration if b"NAME_INVALID" in body else Unreachable)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"errors": 5}', b'{"errors": ["x"]}', b"[" * 100_000, b"\xff", b"<html>"]
)
def test_an_answer_that_is_no_error_document_says_nothing(body: bytes) -> None:
    assert codes(body) == ("", "")


def test_what_a_registry_says_is_short_and_printable() -> None:
    body = said("A", "\x1b[31mred\nline" + "x" * 5000)
    _, message = codes(body)
    assert message.startswith("[31mred line")
    assert len(message) <= MAX_SAID
    assert message.isprintable()


def raised_for(error: Exception) -> list[Exception]:
    """Failures of a request with this one as their cause, or which came up while it was handled."""
    caused, handling = RequestFailed(), RequestFailed()
    caused.__cause__, handling.__context__ = error, error
    return [caused, handling]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached: connection refused."),
        (TimeoutError("timed out"), "cannot be reached: it does not answer in time."),
        (ProxyError("http://me:hunter2@proxy"), "The proxy to r.example.com cannot be used."),
        (socket.gaierror(-2, "Name or service not known"), "cannot be reached: its name is not known."),
        (InvalidAddress("https://x?sig=hunter2"), "with an address that makes no sense."),
        (HTTPException("https://r.example.com/?sig=hunter2"), "cannot be reached: the connection broke."),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "r.example.com does not speak https."),
        (ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED"), "of r.example.com is not trusted."),
        (ssl.SSLError(1, "else"), "No encrypted connection to r.example.com could be made."),
    ],
)
def test_a_connection_that_fails_is_told_without_its_address(error: Exception, sentence: str) -> None:
    for given in (error, *raised_for(error)):
        found = connection_error("r.example.com", given)
        assert found.message.endswith(sentence)
        assert "hunter2" not in str(found)
