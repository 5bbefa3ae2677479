"""A registry that the daemon reads and writes itself, so that no layer goes through this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from lineal.engine import Tree
from lineal.engine.buildkit.protocol import control_pb2
from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.oci.credential import Credential
from lineal.oci.image import MAX_CONFIG, read_blob
from lineal.oci.reference import DOCKER_HUB, DOCKER_HUB_HOSTS
from lineal.oci.types import Descriptor
from lineal.store.registry.client import Registry

_COMPRESSION = "1"
"""gzip's level: BuildKit's own choice takes several times as long."""


@dataclass(frozen=True, slots=True)
class Pushing:
    """A layer that the daemon has made, and is bringing to the store; the image with it on top."""

    descriptor: Descriptor
    diff_id: str
    tree: Tree


class Target:
    """The store's repository, as a daemon is told of it."""

    def __init__(self, store: Registry) -> None:
        self._store = store
        host = "docker.io" if store.host == DOCKER_HUB else store.host
        self.name = f"{host}/{store.repository}"

    def login(self, host: str) -> Credential | None:
        """The login for the store's own registry; for no other host."""
        hosts = DOCKER_HUB_HOSTS if self._store.host in DOCKER_HUB_HOSTS else {self._store.host}
        return self._store.fresh_login() if host in hosts else None

    def exporter(self, epoch: int | None = None) -> control_pb2.Exporter:
        """`epoch` is the latest time of a file, in seconds since 1970."""
        attributes = {
            "name": self.name, "push": "true", "push-by-digest": "true", "oci-mediatypes": "true", "store": "false",
            "compression": "gzip", "compression-level": _COMPRESSION,
        }  # fmt: skip
        if epoch is not None:
            attributes |= {"source-date-epoch": str(epoch), "rewrite-timestamp": "true"}
        if not self._store.secure:
            attributes["registry.insecure"] = "true"
        return control_pb2.Exporter(Type="image", Attrs=attributes)

    def config(self, digest: str) -> bytes:
        return read_blob(self._store, digest, MAX_CONFIG)

    def manifest(self, digest: str) -> bytes:
        """Of what the daemon says that it pushed, as the store has it. Raises `Unreachable`."""
        manifest = self._store.manifest(digest) if digest.startswith("sha256:") else None
        if manifest is None:
            raise Unreachable(
                f"The buildkitd says that it pushed a layer to {self._store.address}, which is not there.",
                id="LN-5030",
                remedy="Give both the same address of the registry: 127.0.0.1 is another machine for each of them.",
            )
        return manifest.data


def layer_of(manifest: bytes, config: Callable[[str], bytes]) -> tuple[Descriptor, str]:
    """The layer of an image that has one, and its diff id. Raises `Unreachable`."""
    try:
        image = json.loads(manifest)
        (layer,) = image["layers"]
        (diff_id,) = json.loads(config(str(image["config"]["digest"])))["rootfs"]["diff_ids"]
        return Descriptor(str(layer["mediaType"]), str(layer["digest"]), int(layer["size"])), str(diff_id)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unreachable("The buildkitd made an image in a form that is not understood.", id="LN-5003") from error


def target_of(store: Store) -> Target | None:
    """The store as a daemon's target; None for one that only this machine reads and writes, or whose login a daemon
    cannot use."""
    shared = store.shared
    if not isinstance(shared, Registry):
        return None
    credential = shared.fresh_login()
    return None if credential is not None and credential.registry_token else Target(shared)
