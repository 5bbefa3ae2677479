"""The store that an address means, and the repository that an image's reference means."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from pathlib import Path

from lineal.errors import BadConfiguration
from lineal.oci import Store
from lineal.oci.credential import Credential
from lineal.oci.reference import DOCKER_HUB, EXAMPLE, parse_address, parse_reference
from lineal.store.mirror import TRIES, Mirror, MirroredStore, Mirrors
from lineal.value import dataclass

LAYOUT = "layout:"
REGISTRY_LOGIN = ("LINEAL_REGISTRY_USERNAME", "LINEAL_REGISTRY_PASSWORD")


@dataclass(frozen=True, slots=True)
class StoreOpener:
    """Opens repositories with the settings of one run. Opening touches neither disk nor network."""

    workdir: Path
    """The directory that the path of a `layout:PATH` is relative to."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Credentials, proxies and certificate authorities come from here."""
    insecure_hosts: Collection[str] = ()
    """Hosts (with port) that are spoken to without encryption."""
    job_credentials: Mapping[str, Credential] = field(default_factory=dict)
    """Host -> the credential that the CI gives its job for this host, used when no file has one."""
    mirrors: Mirrors | None = None
    """Mirrors of Docker Hub, for base images."""
    note: Callable[[str], None] = lambda _text: None
    """Takes a line for people: what is waited for."""

    def store(self, address: str) -> Store:
        """The store at `layout:PATH` or `host[:port]/path`. Raises `BadConfiguration`.

        The `REGISTRY_LOGIN` of the environment is for this registry only."""
        return _scheme(address).open(address, self)

    def image(self, reference: str, near: Store | None = None) -> tuple[Store, str]:
        """The repository of an image such as a base image, and the tag or digest in it. Raises `BadConfiguration`.

        On the host of the store `near` it is read with that store's credentials and connections."""
        host, repository, version = parse_reference(reference)
        return self._repository(host, repository, near), version

    def base(self, reference: str, near: Store) -> tuple[Store, str]:
        """The same for an image that is only read: one of Docker Hub is asked for at the mirrors first."""
        host, repository, version = parse_reference(reference)
        home = self._repository(host, repository, near)
        if host != DOCKER_HUB or self.mirrors is None or not self.mirrors.usable():
            return home, version

        def there(mirror: Mirror) -> Store:
            name = mirror.repository(repository)
            return self._repository(mirror.host, name, near, insecure=mirror.insecure, most_tries=TRIES)

        return MirroredStore(home, self.mirrors, there), version

    def final(self, address: str, near: Store) -> Store:
        """A final repository, with the credentials of its own host. Raises `BadConfiguration`."""
        if is_directory(address):
            return _open_layout(address, self)
        host, repository = parse_address(address)
        return self._repository(host, repository, near)

    def _repository(
        self,
        host: str,
        repository: str,
        near: Store | None,
        *,
        insecure: bool = False,
        most_tries: int | None = None,
    ) -> Store:
        if near is not None and near.directory is None and parse_address(near.address)[0] == host:
            found = near.sibling(repository)
            if found is not None:
                return found
        from lineal.store.registry.client import Registry

        return Registry(
            host,
            repository,
            insecure=insecure or host in self.insecure_hosts,
            environ=self.environ,
            fallback=self.job_credentials.get(host),
            note=self.note,
            most_tries=most_tries,
        )


def connect(store: Store, count: int) -> None:
    """Have so many connections to a registry opened beside what the caller does next."""
    if store.directory is None:
        from lineal.store.registry.client import Registry

        if isinstance(store, Registry):
            store.connect(count)


def check_address(address: str) -> None:
    """Raises `BadConfiguration` for an address that no store can have."""
    _scheme(address).check(address)


def normal_address(address: str) -> str:
    """An address in its one spelling, to compare. Raises `BadConfiguration`."""
    if is_directory(address):
        return LAYOUT + os.path.normpath(_layout_path(address))
    return "/".join(parse_address(address))


def is_directory(address: str) -> bool:
    """Whether a store with this address is a directory, in which no other machine finds an image."""
    return address.startswith(LAYOUT)


@dataclass(frozen=True, slots=True)
class _Scheme:
    check: Callable[[str], object]
    open: Callable[[str, StoreOpener], Store]


def _scheme(address: str) -> _Scheme:
    return next(scheme for prefix, scheme in _SCHEMES.items() if address.startswith(prefix))


def _layout_path(address: str) -> Path:
    path = address.removeprefix(LAYOUT)
    if not path.strip() or "\0" in path:
        raise BadConfiguration("A layout store needs a directory: `layout:PATH`.", id="LN-4001", remedy=EXAMPLE)
    return Path(path)


def _open_layout(address: str, opener: StoreOpener) -> Store:
    from lineal.store.layout import Layout

    return Layout(opener.workdir / _layout_path(address).expanduser(), address)


def _open_registry(address: str, opener: StoreOpener) -> Store:
    host, repository = parse_address(address)
    from lineal.store.registry.client import Registry

    return Registry(
        host,
        repository,
        address=address,
        insecure=address.partition("/")[0] in opener.insecure_hosts or host in opener.insecure_hosts,
        credential=_explicit(opener.environ),
        fallback=opener.job_credentials.get(host),
        environ=opener.environ,
        note=opener.note,
    )


_SCHEMES = {LAYOUT: _Scheme(_layout_path, _open_layout), "": _Scheme(parse_address, _open_registry)}
"""How addresses begin, the first that fits counts: a new kind of store is an entry before the last."""


def _explicit(environ: Mapping[str, str]) -> Credential | None:
    username, password = (environ.get(name) for name in REGISTRY_LOGIN)
    if not username and not password:
        return None
    if not username or not password:
        missing = REGISTRY_LOGIN[1] if username else REGISTRY_LOGIN[0]
        raise BadConfiguration(
            f"{missing} is not set, but its counterpart is.", id="LN-4003", remedy="Set both or neither."
        )
    return Credential(REGISTRY_LOGIN[0], username, password)
