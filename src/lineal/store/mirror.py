"""Mirrors of Docker Hub: registries that are asked for its images first, as the Docker Engine asks them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from lineal.errors import BadConfiguration, LinealError, MissingContent
from lineal.oci import Store
from lineal.oci.reference import DOCKER_HUB, parse_address
from lineal.oci.types import Manifest
from lineal.store.read_through import ReadThroughStore
from lineal.value import dataclass

T = TypeVar("T")
TRIES = 2
"""Docker Hub itself is there when a mirror does not answer."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A registry with Docker Hub's repositories, below `path` where that is not empty."""

    host: str
    path: str = ""
    insecure: bool = False

    def repository(self, name: str) -> str:
        """Where it has Docker Hub's repository of this name."""
        return f"{self.path}/{name}" if self.path else name


def parse_mirror(text: str) -> Mirror:
    """`[https://]HOST[:PORT][/PATH]`, or `http://` for one without encryption. Raises `BadConfiguration`, which does
    not repeat a text that may hold a password."""
    try:
        url = urlsplit(text.strip() if "://" in text else f"https://{text.strip()}")
        host, path = url.netloc.lower(), url.path.strip("/")
        # A name of one part is a host here, where the scheme says so; elsewhere only with a port.
        host += (
            "" if "." in host or ":" in host or host == "localhost" else f":{443 if url.scheme == 'https' else 80}"
        )
        if url.scheme not in ("http", "https") or url.username is not None or url.query or url.fragment:
            raise ValueError
        parse_address(f"{host}/{path + '/' if path else ''}library/any")
    except (ValueError, BadConfiguration):
        raise BadConfiguration(
            "A mirror of Docker Hub is not the address of a registry.",
            id="LN-4032",
            remedy="Write it as HOST[:PORT][/PATH] or http://HOST[:PORT], without user and password, each on a line.",
        ) from None
    return Mirror(host, path, insecure=url.scheme == "http")


class Mirrors:
    """The mirrors of one run, read when one is first needed. Safe to use from several threads."""

    def __init__(
        self, named: Sequence[str], of_engine: Callable[[], Sequence[str]], note: Callable[[str], None]
    ) -> None:
        """`of_engine` is asked when none is named."""
        self._named, self._of_engine, self.note = named, of_engine, note
        self._guard = threading.Lock()
        self._read: list[Mirror] | None = None
        self._broken: set[str] = set()

    def usable(self) -> list[Mirror]:
        with self._guard:
            if self._read is None:
                self._read = [parse_mirror(text) for text in self._named] or self._of_the_engine()
            return [mirror for mirror in self._read if mirror.host not in self._broken]

    def pass_over(self, mirror: Mirror, error: LinealError) -> None:
        """Leave a mirror out from now on."""
        with self._guard:
            known = mirror.host in self._broken
            self._broken.add(mirror.host)
        if not known:
            instead = "" if self.usable() else ", and Docker Hub asked itself"
            self.note(f"The mirror {mirror.host} is passed over{instead}. {error.words}")

    def _of_the_engine(self) -> list[Mirror]:
        found = []
        for text in self._of_engine():
            try:
                mirror = parse_mirror(text)
            except BadConfiguration:
                continue
            if mirror.host != DOCKER_HUB:
                found.append(mirror)
        if found:
            self.note(f"Images of Docker Hub come from {found[0].host}, the Docker Engine's mirror.")
        return found


class MirroredStore(ReadThroughStore):
    """A repository of Docker Hub: read from the first mirror that has what is asked for, else from `home`, whose all
    the rest is."""

    def __init__(self, home: Store, mirrors: Mirrors, open_: Callable[[Mirror], Store]) -> None:
        super().__init__(home, home)
        self._home, self._mirrors = home, mirrors
        self._stores = [(mirror, open_(mirror)) for mirror in mirrors.usable()]

    def manifest(self, reference: str) -> Manifest | None:
        return self._first(lambda store: store.manifest(reference))

    def digest(self, reference: str) -> str | None:
        return self._first(lambda store: store.digest(reference))

    def has_blob(self, digest: str) -> bool:
        return bool(self._first(lambda store: store.has_blob(digest) or None))

    def blob(self, digest: str) -> Iterator[bytes]:
        chunks, first = self._first(lambda store: _begun(store, digest)) or (iter(()), b"")
        yield first
        yield from chunks

    def _first(self, ask: Callable[[Store], T | None]) -> T | None:
        usable = self._mirrors.usable()
        for mirror, store in self._stores:
            if mirror not in usable:
                continue
            try:
                found = ask(store)
            except MissingContent:
                continue
            except LinealError as error:
                self._mirrors.pass_over(mirror, error)
                continue
            if found is not None:
                return found
        return ask(self._home)


def _begun(store: Store, digest: str) -> tuple[Iterator[bytes], bytes]:
    """A blob whose first chunk has come: what is handed out cannot be taken back from another place."""
    chunks = store.blob(digest)
    return chunks, next(chunks, b"")
