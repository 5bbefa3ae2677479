"""An image in the engine, a parent or a finished one: there already, or loaded with the layers that the engine
lacks."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lineal.engine.docker import process_identity
from lineal.engine.docker.client import Client, call_interruptibly
from lineal.engine.docker.resources import LABEL, remove_image
from lineal.errors import MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.image import content, whole
from lineal.oci.platform import normal
from lineal.oci.types import OCI_CONFIG, OCI_MANIFEST, Descriptor, Image, Manifest, sha256
from lineal.tar import raw
from lineal.tar.header import END, padding

_MISSING = re.compile(r"sha256[/:]([0-9a-f]{64}): (?:no such file|not found)")
"""The blob that an engine's own image store lacks, or containerd."""
_CHEAP = 1 << 20
"""Bytes that are fetched and sent sooner than it is asked (0.06 s) whether the engine has them."""
_LARGE = 16 << 20
"""Bytes of layers that are worth an image of their own."""
_AT_ONCE = 2
"""Of these one is unpacked while the next one comes."""
_FAILED = re.compile(r"Error unpacking image (.*)")
"""What an engine with containerd's image store says of one that it has nevertheless loaded."""
_LOADED = re.compile(r"Loaded image(?: ID)?: (sha256:[0-9a-f]{64})")
_ID = re.compile(r"sha256:[0-9a-f]{64}")


def _at_once() -> None:
    """Nothing is to be waited for."""


class _Incomplete(Exception):
    """The engine lacks the layer number `first` too."""

    def __init__(self, first: int) -> None:
        super().__init__(first)
        self.first = first


class ImageLoader:
    """Images of one engine. `check` is called between chunks and raises when the run is to stop."""

    def __init__(self, client: Client, check: Callable[[], None]) -> None:
        self._client = client
        self._check = check
        self._known: dict[str, str] = {}
        self._chains: set[tuple[str, ...]] = set()
        """Layers, from the lowest, that the engine had in this run."""
        self._lock = threading.Lock()
        self._loads: dict[tuple[str, ...], threading.Lock] = {}

    def platform(self) -> str:
        """The one of the engine's machine."""
        found = self._client.json("GET", "/version", "ask for the engine's platform")
        return normal(f"{found['Os']}/{found['Arch']}")

    def ensure(self, image: Image, store: Store, *, packed: bool = False) -> str:
        """The engine's id of an image with the parent's layers, also `packed`, so that it can be saved.

        Raises `MissingContent` when the store lacks one."""
        config = bare_config(image)
        manifest = bare_manifest(image) if self._client.in_containerd() else None
        return self._ensure(config, manifest, image, store, packed=packed)

    def load(self, image: Image, store: Store, names: Sequence[str]) -> None:
        """Have the image itself in the engine, under these names (`repository:tag`), which others lose.

        Raises `Unreachable`."""
        with whole():
            found = self._ensure(image.config, image.manifest, image, store, packed=True)
        for name in names:
            repository, _, tag = name.rpartition(":")
            self._client.call(
                "POST", f"/images/{found}/tag", f"name an image {name}", params={"repo": repository, "tag": tag}
            )

    def _ensure(self, config: bytes, manifest: Manifest | None, image: Image, store: Store, *, packed: bool) -> str:
        digest = manifest.digest if manifest and self._client.in_containerd() else sha256(config)
        with self._alone(image.diff_ids):
            self._check()
            # Containerd has an image also when it lacks what is in it: the first time this is for the load to tell.
            asks = digest in self._known or not self._client.in_containerd()
            known = self._known.get(digest, digest)
            found = self._client.find(f"/images/{known}/json", "look up an image") if asks else None
            documents = _archive_of(config, image.layers, manifest)
            self._known[digest] = found["Id"] if found else self._load(documents, image, store)
            self._chains.update(tuple(image.diff_ids[:count]) for count in range(1, len(image.diff_ids) + 1))
            if packed and not self._is_packed(self._known[digest]):
                self._send(documents, image.layers, store, first=0)
            return self._known[digest]

    @contextmanager
    def _alone(self, ids: Sequence[str]) -> Iterator[None]:
        """One load at a time of those that lack the same layer: two parents mostly share their first ones, and the
        second load then finds them."""
        while True:
            lacking = tuple(ids[: self._there(ids) + 1])
            with self._lock:
                lock = self._loads.setdefault(lacking, threading.Lock())
            with lock:
                if lacking == tuple(ids[: self._there(ids) + 1]):
                    yield
                    return

    def _there(self, ids: Sequence[str]) -> int:
        """How many of these layers the engine had in this run."""
        return next((count for count in range(len(ids), 0, -1) if tuple(ids[:count]) in self._chains), 0)

    def _is_packed(self, id: str) -> bool:
        """Whether an image has what it needs to be saved or pushed: in containerd its layers may be unpacked only."""
        if not self._client.in_containerd():
            return True
        params = {"manifests": "1"}
        found = self._client.json("GET", f"/images/{id}/json", "look at an image", params=params)
        return any(one.get("ID") == id and one.get("Available") for one in found.get("Manifests") or [])

    def _load(self, documents: bytes, image: Image, store: Store) -> str:
        # The engine reads a layer from the archive only when it has no such chain of layers, and else says which one
        # it lacks: so an archive without any layer asks for the price of one small call which of them it needs. What
        # this run has made it cannot have.
        first = self._there(image.diff_ids)
        if not first or sum(one.size for one in image.layers[first:] if not store.at_hand(one.digest)) > _CHEAP:
            first = len(image.layers)
        try:
            return self._send(documents, image.layers, store, first=first)
        except _Incomplete as incomplete:
            first = incomplete.first
        try:
            with self._in_steps(image, store, first) as (first, wait):
                return self._send(documents, image.layers, store, first=first, last=wait)
        except _Incomplete:
            # Somebody removed images meanwhile, or a step failed.
            return self._send(documents, image.layers, store, first=0)

    @contextmanager
    def _in_steps(self, image: Image, store: Store, first: int) -> Iterator[tuple[int, Callable[[], object]]]:
        """Have the large layers from number `first` on in the engine by images of their own, so that it unpacks them
        while the next ones come: those of one image are unpacked when all are there. Gives the number of the first
        layer that is left, and what waits for the others."""
        steps = _steps(image.layers, first) if self._unpacks_what_comes() else []
        begun: list[Future[None]] = []
        made: list[str] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for start, end in steps:
                    wait = begun[-1].result if begun else _at_once
                    begun.append(pool.submit(self._step, image, start, end, store, made, wait))
                for one in begun[:-1]:
                    one.result()
                yield steps[-1][1] if steps else first, begun[-1].result if begun else _at_once
            finally:
                pool.shutdown(cancel_futures=True)
                for id in reversed(made):
                    remove_image(self._client, id)

    def _unpacks_what_comes(self) -> bool:
        """Whether a layer of one image is one of another too: containerd's image store, and Podman, pack it again."""
        return bool(self._client.info().get("Driver") == "overlay2")

    def _step(
        self, image: Image, start: int, end: int, store: Store, made: list[str], wait: Callable[[], object]
    ) -> None:
        try:
            if end == 1:
                made.extend(self._import(image.layers[0], store))
                return
            config, layers = bare_config(image, end, _labels()), image.layers[:end]
            made.append(self._send(_archive_of(config, layers), layers, store, first=start, last=wait))
        except MissingContent:
            raise
        except (_Incomplete, Unreachable):
            # The load of the whole image tells.
            return

    def _import(self, layer: Descriptor, store: Store) -> list[str]:
        """Have the lowest layer in the engine, which unpacks it while it comes; the id of the image that it is."""
        written = " ".join(f'{name}="{value}"' for name, value in _labels().items())
        params = {"fromSrc": "-", "changes": f"LABEL {written}"}

        def call() -> list[str]:
            data = content(store, layer)
            answer = self._client.call(
                "POST", "/images/create", "import a layer", params=params, data=data, endless=True
            )
            return _ID.findall(answer.text)

        return call_interruptibly(call, self._check)

    def _send(
        self, documents: bytes, layers: Sequence[Descriptor], store: Store, first: int,
        last: Callable[[], object] = _at_once,
    ) -> str:  # fmt: skip
        """Load with the bytes of the layers from number `first` on; the engine begins to unpack them after `last`."""
        chunks = self._archive(documents, layers[first:], store, last)

        def call() -> str:
            params = {"quiet": "1"}
            return self._client.call(
                "POST", "/images/load", "load an image", params=params, data=chunks, endless=True
            ).text

        # With the last byte sent, the engine only begins to unpack.
        text = call_interruptibly(call, self._check)
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        for line in lines:
            if "error" in line:
                self._refused(str(line["error"]), layers, first)
        said = "".join(str(line.get("stream", "")) for line in lines)
        if failed := _FAILED.search(said):
            self._refused(failed[1], layers, first)
        found = _LOADED.search(said)
        if found is None:
            raise Unreachable(
                f"Docker Engine at {self._client.host} did not say which image it loaded.", id="LN-5004"
            )
        return found[1]

    def _refused(self, reason: str, layers: Sequence[Descriptor], first: int) -> None:
        missing = _MISSING.search(reason)
        lacking = [missing is not None and layer.digest == f"sha256:{missing[1]}" for layer in layers[:first]]
        if True in lacking:
            raise _Incomplete(lacking.index(True))
        if first:
            raise _Incomplete(0)
        raise Unreachable(f"Docker Engine at {self._client.host} could not load an image: {reason}.", id="LN-5004")

    def _archive(
        self, documents: bytes, layers: Sequence[Descriptor], store: Store, last: Callable[[], object]
    ) -> Iterator[bytes]:
        yield documents
        for layer in layers:
            yield raw.header(_blob(layer.digest).encode(), size=layer.size)
            for chunk in content(store, layer):
                self._check()
                yield chunk
            yield padding(layer.size)
        last()
        yield END


def _steps(layers: Sequence[Descriptor], first: int) -> list[tuple[int, int]]:
    """From which layer to which each step goes. The last large ones come with the image, unless they are the lowest
    one alone: that is unpacked while it comes."""
    steps: list[tuple[int, int]] = []
    size = 0
    for number, layer in enumerate(layers[first:], first):
        size += layer.size
        if size > _LARGE or (number == 0 and size > _CHEAP):
            steps.append((steps[-1][1] if steps else first, number + 1))
            size = 0
    return steps[:-1] if steps and steps[-1][1] == len(layers) > 1 else steps


def _labels() -> dict[str, str]:
    return {LABEL: "", **process_identity.labels()}


def _archive_of(config: bytes, layers: Sequence[Descriptor], manifest: Manifest | None = None) -> bytes:
    """An archive's files but for the layers. With a `manifest` the image has its digest in an engine that keeps
    manifests (the image store of containerd), and else one that the engine makes up.

    Containerd takes an image in parts only when it is described by a manifest."""
    entry = {"Config": _blob(sha256(config)), "RepoTags": None, "Layers": [_blob(one.digest) for one in layers]}
    files = {"manifest.json": json.dumps([entry]).encode(), entry["Config"]: config}
    if manifest is not None:
        index = {"schemaVersion": 2, "manifests": [manifest.descriptor().to_json()]}
        files |= {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            _blob(manifest.digest): manifest.data,
        }
    return b"".join(raw.file(str(name).encode(), data) for name, data in files.items())


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def bare_config(image: Image, count: int | None = None, labels: Mapping[str, str] | None = None) -> bytes:
    """A config with the parent's layers, or so many of them, and nothing else but labels: a container's environment,
    volumes, health check and so on must be those of the command, and Docker would add the image's (a `VOLUME` would
    even swallow what is written)."""
    whole = image.config_json
    config: dict[str, Any] = {key: whole[key] for key in ("architecture", "os", "variant") if key in whole}
    about = {"Labels": dict(labels)} if labels else {}
    config |= {"config": about, "rootfs": {"type": "layers", "diff_ids": image.diff_ids[:count]}}
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def bare_manifest(image: Image) -> Manifest:
    """A manifest of that config."""
    config = bare_config(image)
    layers = [layer.to_json() for layer in image.layers]
    about = Descriptor(OCI_CONFIG, sha256(config), len(config)).to_json()
    content = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": about, "layers": layers}
    return Manifest(json.dumps(content, sort_keys=True).encode(), OCI_MANIFEST)
