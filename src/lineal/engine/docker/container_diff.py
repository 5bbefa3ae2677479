"""A stopped container's changes as a layer: overlay's upper directory where it can be read, a commit elsewhere."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lineal.engine.docker.client import Client, Refused
from lineal.engine.docker.engine_files import INIT
from lineal.engine.docker.resources import RunResources
from lineal.engine.docker.snapshots import Snapshots
from lineal.engine.layer import LayerTar
from lineal.errors import Unreachable
from lineal.tar.compression import open_archive

UPPER = "/upper"
_DELETED = 2


def reads_upper(info: dict[str, Any]) -> bool:
    """Whether an engine (its `/info`) keeps a container's changes as a plain overlay directory, as far as it says."""
    status = {str(row[0]): str(row[1]) for row in info.get("DriverStatus") or [] if len(row) == 2}
    security = " ".join(info.get("SecurityOptions") or [])
    if "name=userns" in security or "name=rootless" in security:
        # There the archive's owners would be the host's numbers.
        return False
    if info.get("Driver") == "overlay2":
        return status.get("Native Overlay Diff") == "true" and status.get("userxattr", "false") == "false"
    return info.get("Driver") == "overlayfs" and status.get("driver-type") == "io.containerd.snapshotter.v1"


def upper_helper(
    client: Client, resources: RunResources, snapshots: Snapshots, container: str, image: str
) -> str | None:
    """A container that never starts and shows `container`'s upper directory, and the engine's own layer below it;
    None where the engine will not have it.

    It costs a third of what `docker commit` and reading the image cost."""
    inspected = client.json("GET", f"/containers/{container}/json", "look at a container")
    found = snapshots.directories(inspected["Id"], image) if client.in_containerd() else _directories(inspected)
    if found is None:
        return None
    upper, init = found
    mounts = [
        {"Type": "bind", "Source": upper, "Target": UPPER, "ReadOnly": True},
        {"Type": "bind", "Source": init, "Target": INIT},
    ]
    body = {"Image": image, "Cmd": ["-"], "NetworkDisabled": True, "HostConfig": {"Mounts": mounts}}
    try:
        return resources.container(body, "create a container to read a layer")
    except Refused:
        return None


def _directories(inspected: dict[str, Any]) -> tuple[str, str] | None:
    overlay = (inspected.get("GraphDriver") or {}).get("Data") or {}
    upper, init = overlay.get("UpperDir"), overlay.get("LowerDir", "").partition(":")[0]
    return (upper, init) if upper and init.endswith("-init/diff") else None


def deletions(client: Client, container: str) -> list[str]:
    """Absolute paths of the parent that the container no longer has."""
    changes = client.json("GET", f"/containers/{container}/changes", "list a container's changes", endless=True)
    return [change["Path"] for change in changes or [] if change["Kind"] == _DELETED]


def copy_upper(client: Client, helper: str, tar: LayerTar) -> None:
    with client.reader(f"/containers/{helper}/archive", "read a layer", {"path": f"{UPPER}/."}) as stream:
        tar.copy(stream)


def copy_directory(client: Client, container: str, path: str, below: bytes, tar: LayerTar) -> None:
    """Add what is in a directory of a container (a volume) to the layer, as `below`."""
    with client.reader(f"/containers/{container}/archive", f"read {path}", {"path": f"{path}/."}) as stream:
        tar.copy(stream, below)


def copy_commit(
    client: Client, resources: RunResources, container: str, parent: str, tar: LayerTar, workspace: Path
) -> None:
    """Commit the container, and take the last layer out of the saved image, which is `parent` and that layer."""
    # The container's environment may hold secrets: the image, short-lived as it is, gets an empty one where it can.
    params = {"container": container, "pause": "false"}
    answer = client.json("POST", "/commit", "commit a container", params=params, body={"Env": []}, endless=True)
    image = answer["Id"]
    resources.images.append(image)
    if _layers(client, image) == _layers(client, parent):
        # Containerd makes no layer of a command that changed nothing.
        return
    saved = workspace / f"{container}.saved.tar"
    try:
        with client.reader(f"/images/{image}/get", "save an image") as stream, saved.open("wb") as out:
            while chunk := stream.read(1 << 20):
                out.write(chunk)
        with last_layer(saved) as layer:
            tar.copy(layer)
    finally:
        saved.unlink(missing_ok=True)


def _layers(client: Client, image: str) -> object:
    return client.json("GET", f"/images/{image}/json", "look at an image").get("RootFS")


@contextmanager
def last_layer(saved: Path) -> Iterator[BinaryIO]:
    """The last layer of a `docker save` archive, uncompressed: Docker's own format or an OCI layout."""
    try:
        archive = tarfile.open(saved)  # noqa: SIM115
        manifest = archive.extractfile("manifest.json")
        layer = archive.extractfile(json.load(manifest)[0]["Layers"][-1]) if manifest else None
    except (tarfile.TarError, KeyError, IndexError, TypeError, ValueError) as error:
        raise Unreachable("The engine saved an image in a form that is not understood.", id="LN-5003") from error
    with archive:
        if layer is None:
            raise Unreachable("The engine saved an image without its layer.", id="LN-5003")
        yield open_archive(iter(partial(layer.read, 1 << 18), b""))
