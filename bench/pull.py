"""What a runner does before an action begins: the pull of its image, or of one of 2 MB, over a link."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.link import SLOW, slowed
from tests import servers
from tests.runner.image import Image
from tests.runner.runner import DOCKER

_COPY = ("--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false")


@contextmanager
def pulls(scratch: Path, image: Image | None) -> Iterator[Pulls]:
    """Pulls of an image, or of the smallest one there is."""
    layout, tag = (image.store, image.tag) if image else (scratch / "base", "base")
    if not image:
        servers.write_base_layout(layout)
    with (
        servers.docker_registry(scratch / "registry") as address,
        slowed(address, SLOW, scratch / "link.log") as seen,
    ):
        yield Pulls(f"{layout}:{tag}", address, seen, scratch / "copy")


class Pulls:
    """An image in a registry, seen over the link at `seen`; `size` is that of its layers, compressed."""

    def __init__(self, source: str, address: str, seen: str, folder: Path) -> None:
        self._source, self._address, self._seen, self._folder = source, address, seen, folder
        self.size = 0

    def seconds(self) -> float:
        """Of one pull by the Docker Engine, which has no layer of it: below them is one that nobody has seen yet."""
        name = f"action:{uuid.uuid4().hex}"
        skopeo = [servers.program("skopeo"), *_COPY]
        subprocess.run([*skopeo, f"oci:{self._source}", f"dir:{self._folder}"], check=True)
        self.size = _lift(self._folder)
        subprocess.run([*skopeo, f"dir:{self._folder}", f"docker://{self._address}/{name}"], check=True)
        shutil.rmtree(self._folder)
        reference = f"{self._seen}/{name}"
        begin = time.perf_counter()
        subprocess.run([DOCKER, "pull", "--quiet", reference], check=True, stdout=subprocess.DEVNULL)
        taken = time.perf_counter() - begin
        subprocess.run([DOCKER, "image", "rm", reference], check=True, stdout=subprocess.DEVNULL)
        return taken


def _lift(folder: Path) -> int:
    """Puts the image in skopeo's `dir:` form on top of a layer of its own; gives the bytes of the others."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    layers = manifest["layers"]
    size = sum(int(layer["size"]) for layer in layers)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as writing:
        writing.addfile(tarfile.TarInfo(uuid.uuid4().hex))
    plain = tar.getvalue()
    below = gzip.compress(plain)
    config = json.loads((folder / _hex(manifest["config"])).read_bytes())
    config["rootfs"]["diff_ids"].insert(0, f"sha256:{hashlib.sha256(plain).hexdigest()}")
    config.pop("history", None)
    layers.insert(0, {"mediaType": layers[0]["mediaType"], **_put(folder, below)})
    manifest["config"] |= _put(folder, json.dumps(config).encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return size


def _put(folder: Path, blob: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(blob).hexdigest()
    (folder / digest).write_bytes(blob)
    return {"digest": f"sha256:{digest}", "size": len(blob)}


def _hex(descriptor: dict[str, Any]) -> str:
    return str(descriptor["digest"]).partition(":")[2]
