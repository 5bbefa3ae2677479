"""`ADD` of a URL: its file, streamed to disk and verified; nothing of ours is sent but the request."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from lineal.context.remote_source import GitSource, HttpSource, inside, is_inside, is_local
from lineal.context.tree import Node, SingleFile
from lineal.errors import BadConfiguration, BuildFailed, Unreachable
from lineal.store.registry.http import Answer, RequestFailed, Session
from lineal.tar.spool import Spool

_CHUNK = 1 << 18
_TIMEOUT = (30.0, 60.0)
_LONGEST = 3600.0
_REDIRECTS = 10
_REFS = "/info/refs?service=git-upload-pack"
_ATTEMPTS = 3
_MODE = 0o600


def download(
    wanted: HttpSource, workspace: Path, told: Callable[[str], None] = lambda _: None, *, opens: bool = False
) -> SingleFile:
    """The file, kept in an unnamed file in `workspace`; 0600 of root, as BuildKit makes it. `told` is given its
    digest. `opens` says whether a file without a checksum may come from a service of this network.

    Raises `Unreachable`, `BadConfiguration` for such a service, and `BuildFailed` when it is not what the checksum
    says."""
    spool = Spool(workspace)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            found, digest = _fetch(wanted, spool, opens or wanted.pinned)
            told(digest)
            return found
        except (RequestFailed, OSError) as error:
            if attempt == _ATTEMPTS:
                why = type(error).__name__ if isinstance(error, OSError) else "the connection broke"
                raise Unreachable(
                    f"{wanted.url} cannot be downloaded: {why}.", id="LN-5019", remedy="Run again."
                ) from None
            time.sleep(0.5 * attempt)
    raise AssertionError


def settled(wanted: GitSource) -> GitSource:
    """The repository at the address to which redirects lead, none of which is a service of this network.

    Raises `BadConfiguration`."""
    _check_outside(wanted.url, wanted.url)
    if urlsplit(wanted.url).scheme == "git":
        return wanted
    url = wanted.url + _REFS
    try:
        for _ in range(_REDIRECTS):
            with _get(url) as response:
                if not response.is_redirect:
                    break
                url = urljoin(url, response.headers["location"])
            _check_outside(wanted.url, url)
    except (RequestFailed, OSError):
        # git says why.
        return replace(wanted, redirected=True)
    return replace(wanted, url=url.removesuffix(_REFS) if url.endswith(_REFS) else wanted.url, redirected=True)


def _fetch(wanted: HttpSource, spool: Spool, opens: bool) -> tuple[SingleFile, str]:
    algorithm, _, expected = (wanted.digest or "sha256:").partition(":")
    digest, size = hashlib.new(algorithm), 0
    ends = time.monotonic() + _LONGEST
    with _answer(wanted, opens) as response:

        def chunks() -> Iterator[bytes]:
            nonlocal size
            for chunk in response.chunks(_CHUNK):
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
    found = SingleFile(Node(wanted.name, "file", _MODE, size=size), lambda: spool.read(offset, size))
    return found, f"{algorithm}:{digest.hexdigest()}"


def _answer(wanted: HttpSource, opens: bool) -> Answer:
    """The last answer of a chain of redirects, which stays with http and https."""
    url = wanted.url.partition("#")[0]
    for _ in range(_REDIRECTS):
        if not opens:
            _check_outside(wanted.url, url)
        response = _get(url)
        if not response.is_redirect:
            if 200 <= response.status < 300:
                return response
            response.close()
            raise Unreachable(f"{wanted.url} answers with status {response.status}.", id="LN-5019")
        following = urljoin(url, response.headers["location"])
        response.close()
        _check(wanted, url, following)
        url = following
    raise Unreachable(f"{wanted.url} redirects more than {_REDIRECTS} times.", id="LN-5019")


def _get(url: str) -> Answer:
    return Session(urlsplit(url).netloc, os.environ).request("GET", url, timeout=_TIMEOUT)


def _check_outside(written: str, url: str) -> None:
    """Raises `BadConfiguration` for a service of this machine or its network."""
    host = urlsplit(url).hostname or ""
    addresses: set[str] = set()
    with suppress(OSError, UnicodeError):
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    if is_inside(host) or any(map(is_local, addresses)):
        message, remedy = inside(written)
        raise BadConfiguration(message, id="LN-2012", remedy=remedy)


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
