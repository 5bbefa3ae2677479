"""`ADD` of a URL: its file, streamed to disk and verified; nothing of ours is sent but the request."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError

from lineal.context.remote_source import HttpSource
from lineal.context.tree import Node, SingleFile
from lineal.errors import BuildFailed, Unreachable
from lineal.store.registry.http_session import new_session
from lineal.tar.spool import Spool

_CHUNK = 1 << 18
_TIMEOUT = (30.0, 60.0)
_LONGEST = 3600.0
_REDIRECTS = 10
_ATTEMPTS = 3
_MODE = 0o600


def download(wanted: HttpSource, workspace: Path) -> SingleFile:
    """The file, kept in an unnamed file in `workspace`; 0600 of root, as BuildKit makes it.

    Raises `Unreachable`, and `BuildFailed` when it is not what the checksum says."""
    spool = Spool(workspace)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _fetch(wanted, spool)
        except (requests.RequestException, HTTPError, OSError) as error:
            if attempt == _ATTEMPTS:
                why = type(error).__name__ if isinstance(error, OSError) else "the connection broke"
                raise Unreachable(
                    f"{wanted.url} cannot be downloaded: {why}.", id="LN-5019", remedy="Run again."
                ) from None
            time.sleep(0.5 * attempt)
    raise AssertionError


def _fetch(wanted: HttpSource, spool: Spool) -> SingleFile:
    algorithm, _, expected = (wanted.digest or "sha256:").partition(":")
    digest, size = hashlib.new(algorithm), 0
    ends = time.monotonic() + _LONGEST
    with _answer(wanted) as response:

        def chunks() -> Iterator[bytes]:
            nonlocal size
            for chunk in response.iter_content(_CHUNK):
                if time.monotonic() > ends:
                    raise Unreachable(
                        f"{wanted.url} takes longer than {_LONGEST / 3600:.0f} hour to download.", id="LN-5019"
                    )
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        offset = spool.add(chunks())
    if expected and digest.hexdigest() != expected:
        raise BuildFailed(
            f"{wanted.url} is {algorithm}:{digest.hexdigest()}, not {wanted.digest}.",
            id="LN-5020",
            remedy="Look at what has changed there, then correct --checksum.",
        )
    return SingleFile(Node(wanted.name, "file", _MODE, size=size), lambda: spool.read(offset, size))


def _answer(wanted: HttpSource) -> requests.Response:
    """The last answer of a chain of redirects, which stays with http and https."""
    url = wanted.url.partition("#")[0]
    session = new_session(urlsplit(url).netloc, os.environ)
    for _ in range(_REDIRECTS):
        response = session.get(url, stream=True, allow_redirects=False, timeout=_TIMEOUT)
        if not response.is_redirect:
            if 200 <= response.status_code < 300:
                return response
            response.close()
            raise Unreachable(f"{wanted.url} answers with status {response.status_code}.", id="LN-5019")
        following = urljoin(url, response.headers["location"])
        response.close()
        _check(wanted, url, following)
        url = following
    raise Unreachable(f"{wanted.url} redirects more than {_REDIRECTS} times.", id="LN-5019")


def _check(wanted: HttpSource, url: str, following: str) -> None:
    scheme = urlsplit(following).scheme
    if scheme not in ("http", "https"):
        raise Unreachable(
            f"{wanted.url} redirects to a {scheme} address, which is neither http nor https.", id="LN-5019"
        )
    if not wanted.pinned and scheme == "http" and urlsplit(url).scheme == "https":
        raise Unreachable(
            f"{wanted.url} redirects from https to http.", id="LN-5019", remedy="Give its --checksum, and it may."
        )
