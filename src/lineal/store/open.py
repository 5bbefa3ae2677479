"""What a user writes to name a store or an image, and the store that it means."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.errors import BadConfiguration
from lineal.oci import Store
from lineal.oci.reference import _EXAMPLE, parse_address, parse_reference
from lineal.store.registry.credentials import Credential

if TYPE_CHECKING:
    from lineal.store.registry.client import Registry

LAYOUT = "layout:"
REGISTRY_LOGIN = ("LINEAL_REGISTRY_USERNAME", "LINEAL_REGISTRY_PASSWORD")


def open_store(
    address: str,
    *,
    insecure_hosts: Collection[str] = (),
    workdir: Path,
    environ: Mapping[str, str] | None = None,
) -> Store:
    """The store at `layout:PATH` (relative to `workdir`) or `host[:port]/path`; touches neither disk nor network.

    The `REGISTRY_LOGIN` of `environ` is for this registry only. Raises `BadConfiguration`."""
    if address.startswith(LAYOUT):
        from lineal.store.layout import Layout

        path = address.removeprefix(LAYOUT)
        if not path.strip() or "\0" in path:
            raise BadConfiguration("A layout store needs a directory: `layout:PATH`.", remedy=_EXAMPLE)
        return Layout(workdir / Path(path).expanduser(), address)
    environ = os.environ if environ is None else environ
    host, repository = parse_address(address)
    from lineal.store.registry.client import Registry

    return Registry(
        host,
        repository,
        address=address,
        insecure=_insecure(address.partition("/")[0], host, insecure_hosts),
        credential=_explicit(environ),
        environ=environ,
    )


def open_image(
    reference: str,
    *,
    insecure_hosts: Collection[str] = (),
    store: Store | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[Registry, str]:
    """The repository of an image such as a base image, and the tag or digest in it.

    On the host of `store` it is read with that store's credentials and connections. Raises `BadConfiguration`."""
    from lineal.store.registry.client import Registry

    host, repository, version = parse_reference(reference)
    if isinstance(store, Registry) and store.host == host:
        return store.sibling(repository), version
    return Registry(host, repository, insecure=_insecure(host, host, insecure_hosts), environ=environ), version


def _insecure(written: str, host: str, insecure_hosts: Collection[str]) -> bool:
    return written in insecure_hosts or host in insecure_hosts


def _explicit(environ: Mapping[str, str]) -> Credential | None:
    username, password = (environ.get(name) for name in REGISTRY_LOGIN)
    if not username and not password:
        return None
    if not username or not password:
        missing = REGISTRY_LOGIN[1] if username else REGISTRY_LOGIN[0]
        raise BadConfiguration(f"{missing} is not set, but its counterpart is.", remedy="Set both or neither.")
    return Credential(REGISTRY_LOGIN[0], username, password)
