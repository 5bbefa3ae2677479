"""Making one missing stage out of its parent: taken over, assembled or run (DESIGN §6)."""

from __future__ import annotations

import copy as copying
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lineal.assemble.copy import CopyItem, Inline, copy, make_directories
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.glob import expand, follow
from lineal.assemble.merged import LayerSource, Merged, as_tar
from lineal.assemble.untar import open_layer
from lineal.dockerfile import metadata
from lineal.dockerfile.instructions import Copy, Run, RunMount
from lineal.dockerfile.plan import files_digest
from lineal.dockerfile.scope import DEFAULT_PATH, PROXY_ARGS, Word, finish
from lineal.engine import (
    BindMount,
    CacheMount,
    Command,
    CommandFailed,
    Directory,
    Engine,
    Mount,
    SecretMount,
    TmpfsMount,
)
from lineal.errors import BadConfiguration, BuildFailed, Gone, LinealError, Unreachable
from lineal.source.tree import SourceTree
from lineal.stages.publish import Built
from lineal.stages.stage import Stage
from lineal.store import Descriptor, Image, Layer, Store
from lineal.store.manifest import image_of, read_image

# Configs of assembled stages carry the parent's time, so that equal inputs give equal bytes on every machine.
_NO_TIME = "1980-01-02T00:00:00Z"


@dataclass(frozen=True)
class Ready:
    """A stage whose content is at hand in the store; `reference` is `repository:tag@digest`."""

    image: Image
    filesystem: Filesystem
    reference: str


_NOTHING = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}


def _empty() -> Ready:
    """What a chain from scratch starts on."""
    return Ready(image_of(_NOTHING, []), Filesystem.empty(), "scratch")


class Secrets(Protocol):
    def value(self, image: str, name: str) -> bytes | None:
        """A secret's value for an image, None when none is configured under this id."""

    def mask(self, line: str) -> str:
        """The line without any secret's value."""


@dataclass(frozen=True)
class Workshop:
    """What every builder works with."""

    store: Store
    base_store: Callable[[str], tuple[Store, str]]
    """External reference -> the store it is in and the tag or digest there."""
    engine: Callable[[], Engine]
    secrets: Secrets
    proxies: Mapping[str, Mapping[str, str]]
    """Build arguments of each image: RUN sees the predefined proxy ones, which are part of no checksum."""
    cache_scope: str
    """Who shares cache mounts: one project, and never with runs that may not write."""
    workspace: Path
    stop: Callable[[], None]
    """Ends what runs in the engine, from any thread."""


@dataclass
class Moved:
    """Compressed layer bytes that a build took from and brought to the store."""

    pulled: int = 0
    pushed: int = 0


@dataclass(frozen=True)
class Materials:
    """The stages that one stage is made of."""

    parent: Ready | None
    sources: Mapping[str, Ready]
    references: Mapping[str, str]
    """Placeholder of another image -> its reference."""
    moved: Moved = field(default_factory=Moved)


def build(
    stage: Stage, materials: Materials, workshop: Workshop, output: Callable[[str], None]
) -> tuple[Built, Ready]:
    """Make the stage and bring its layers to the store; publishing it is the caller's."""
    if stage.kind == "from":
        image, filesystem = _take_over(stage, materials, workshop)
    else:
        try:
            image, filesystem = _Step(stage, materials, workshop, output).make()
        except LinealError as error:
            if not isinstance(error, Unreachable):
                error.place = error.place or stage.place
            raise
    inputs = {**files_digest(stage.inputs), "parent": stage.parent.checksum if stage.parent else None}
    return Built(image, filesystem.encode(), inputs, stage.platform), Ready(image, filesystem, "")


# --- FROM an external image -------------------------------------------------------------------------------------


def _take_over(stage: Stage, materials: Materials, workshop: Workshop) -> tuple[Image, Filesystem]:
    """Copy the base into the store, so that later runs never ask its registry again, and index its directories."""
    source, tag = workshop.base_store(stage.reference)
    try:
        base = read_image(source, tag, stage.platform)
    except Gone:
        raise BuildFailed(
            f"The base image {stage.reference} does not exist.",
            place=stage.place,
            remedy="Check the name and the tag; a private base needs credentials in the docker config.",
        ) from None
    if (base.config_json.get("config") or {}).get("OnBuild"):
        raise BadConfiguration(
            f"The base image {stage.reference} has ONBUILD instructions, which Lineal does not run yet.",
            place=stage.place,
            remedy="Write them out in the Dockerfile and use a base without them.",
        )

    def fetch(layer: Descriptor) -> Path:
        path = workshop.workspace / f"base-{stage.checksum[:12]}-{layer.digest.removeprefix('sha256:')}"
        with path.open("wb") as file:
            for chunk in source.blob(layer.digest):
                file.write(chunk)
        if not workshop.store.mount_blob(layer, source):
            workshop.store.put_blob(Layer(path, layer.digest, layer.size, "").blob())
            materials.moved.pushed += layer.size
        materials.moved.pulled += layer.size
        return path

    filesystem = Filesystem.empty()
    with ThreadPoolExecutor(4) as pool:
        for number, (layer, path) in enumerate(zip(base.layers, pool.map(fetch, base.layers), strict=True)):
            with path.open("rb") as file:
                filesystem = filesystem.apply(number, open_layer(_chunks(file), layer.media_type))
            path.unlink()
    return image_of(_with_path(base), base.layers), filesystem


def _chunks(file: Any) -> Iterator[bytes]:
    while chunk := file.read(1 << 20):
        yield chunk


# --- everything else --------------------------------------------------------------------------------------------


class _Step:
    """One stage on top of its parent: metadata first, then the layer."""

    def __init__(self, stage: Stage, materials: Materials, workshop: Workshop, output: Callable[[str], None]) -> None:
        self.stage = stage
        self.materials = materials
        self.workshop = workshop
        self.output = output
        self.parent = materials.parent or _empty()
        self.document = _scratch(stage.platform) if materials.parent is None else _copy_of(self.parent.image)
        self.config: dict[str, Any] = self.document.setdefault("config", {})
        self.directories: list[Directory] = []

    def make(self) -> tuple[Image, Filesystem]:
        for meta in self.stage.metadata:
            metadata.apply(self.document, meta, self.finish)
            if meta.name == "WORKDIR":
                self._workdir()
            self._history(meta.text, empty=True)
        step = self.stage.step
        if isinstance(step, Copy):
            return self._assembled(step)
        if isinstance(step, Run):
            return self._run(step)
        return self._closed()

    def finish(self, word: Word) -> str:
        try:
            text = finish(word, metadata.environment(self.config))
        except ValueError as error:
            raise BuildFailed(f"`{self.stage.text}`: {error}.", place=self.stage.place) from None
        for name, reference in self.materials.references.items():
            text = text.replace(name, reference)
        return text

    def _workdir(self) -> None:
        """The WORKDIRs that do not exist belong to the user of this line, as BuildKit makes them."""
        owner = self._owner()
        path = ""
        for part in self.config["WorkingDir"].strip("/").split("/"):
            path = f"{path}/{part}"
            if part and not self._exists(path) and all(known.path != path for known in self.directories):
                self.directories.append(Directory(path, 0o755, *owner))

    def _owner(self) -> tuple[int, int]:
        user = self.config.get("User") or "0:0"
        try:
            return self.parent.filesystem.owner(user)
        except LookupError as error:
            raise BuildFailed(f"USER {user}: {error.args[0]}.", place=self.stage.place) from None

    def _exists(self, path: str) -> bool:
        return path == "/" or self.parent.filesystem.is_directory(path)

    # --- layers ---

    def _assembled(self, step: Copy) -> tuple[Image, Filesystem]:
        inline = [
            Inline(heredoc.name, self.finish(heredoc.content).encode("utf-8", "surrogateescape"))
            for heredoc in step.heredocs
        ]
        tree = self._tree(step.source_stage, step.sources) if step.sources else None
        copied = copy(
            self.parent.filesystem,
            len(self.parent.image.layers),
            [*inline, *(CopyItem(tree, source, unpack=step.add) for source in step.sources if tree is not None)],
            destination=self.finish(step.destination),
            workdir=self.config.get("WorkingDir") or "/",
            chown=None if step.chown is None else self.finish(step.chown),
            chmod=step.chmod,
            workspace=self.workshop.workspace,
            directories=self.directories,
        )
        return self._image(copied.layer), copied.filesystem

    def _closed(self) -> tuple[Image, Filesystem]:
        """Metadata after the last layer; a layer only where a WORKDIR does not exist yet."""
        made = make_directories(
            self.parent.filesystem, len(self.parent.image.layers), self.directories, self.workshop.workspace
        )
        if made is None:
            return image_of(self.document, self.parent.image.layers), self.parent.filesystem
        return self._image(made.layer), made.filesystem

    def _run(self, step: Run) -> tuple[Image, Filesystem]:
        words = list(step.words) if step.exec_form else [*metadata.shell(self.config), *step.words]
        # What the base's environment left open is an ENV, and final in the config since its own line.
        known = self.stage.scope.variables.items()
        variables = {name: self.finish(value) for name, value in known if isinstance(value, str)}
        environ = {"PATH": DEFAULT_PATH, **metadata.environment(self.config), **variables}
        proxies = self.workshop.proxies.get(self.stage.image, {})
        environ |= {name: value for name, value in proxies.items() if name in PROXY_ARGS}
        mounts = self._mounts(step, environ)
        command = Command(
            argv=words, env=environ, workdir=self.config.get("WorkingDir") or "/", user=self.config.get("User") or "",
            network=step.network, mounts=mounts, directories=self.directories, existing=self._exists,
        )  # fmt: skip
        try:
            layer = self.workshop.engine().run(
                self.parent.image, self.workshop.store, command,
                lambda line: self.output(self.workshop.secrets.mask(line)), self.workshop.workspace,
            )  # fmt: skip
        except CommandFailed as failure:
            raise BuildFailed(
                f"`{self.stage.text}` ended with status {failure.status}.",
                place=self.stage.place,
                remedy="Its output is above; the stages before it are published.",
            ) from None
        self.document["created"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with layer.path.open("rb") as file:
            filesystem = self.parent.filesystem.apply(
                len(self.parent.image.layers), open_layer(_chunks(file), layer.media_type)
            )
        return self._image(layer), filesystem

    def _image(self, layer: Layer) -> Image:
        self.workshop.store.put_blob(layer.blob())
        layer.path.unlink()
        self.materials.moved.pushed += layer.size
        self.document.setdefault("rootfs", {"type": "layers", "diff_ids": []})["diff_ids"].append(layer.diff_id)
        self._history(self.stage.text, empty=False)
        return image_of(self.document, [*self.parent.image.layers, layer.descriptor()])

    def _history(self, text: str, *, empty: bool) -> None:
        entry = {"created": self.document.get("created", _NO_TIME), "created_by": text, "comment": "lineal"}
        self.document.setdefault("history", []).append({**entry, "empty_layer": True} if empty else entry)

    # --- what a step reads ---

    def _tree(self, source_stage: str | None, wanted: tuple[str, ...]) -> SourceTree:
        if source_stage is None:
            assert self.stage.context is not None
            return self.stage.context
        source = self.materials.sources[source_stage]

        def opener(layer: Descriptor) -> Callable[[], Iterator[bytes]]:
            def read() -> Iterator[bytes]:
                for chunk in self.workshop.store.blob(layer.digest):
                    self.materials.moved.pulled += len(chunk)
                    yield chunk

            return read

        layers = [LayerSource(opener(layer), layer.media_type) for layer in source.image.layers]
        return Merged.read(source.filesystem, layers, wanted, self.workshop.workspace)

    def _mounts(self, step: Run, environ: dict[str, str]) -> list[Mount]:
        mounts: list[Mount] = []
        if step.script is not None:
            name, content = step.script
            tree = _Script(name, content.encode("utf-8", "surrogateescape"))
            mounts.append(BindMount("/dev/pipes", lambda: as_tar(tree, "")))
        for mount in step.mounts:
            target = metadata.resolve_directory(self.config, self.finish(mount.target))
            if mount.type == "cache":
                mode = 0o755 if mount.mode is None else mount.mode
                name = f"{self.workshop.cache_scope}: {mount.id or target}"
                mounts.append(CacheMount(target, name, mount.sharing, mode, mount.uid, mount.gid))
            elif mount.type == "tmpfs":
                mounts.append(TmpfsMount(target, mount.size))
            elif mount.type == "bind":
                mounts.append(self._bind(mount, target))
            else:
                mounts.extend(self._secret(mount, target, environ))
        return mounts

    def _bind(self, mount: RunMount, target: str) -> BindMount:
        tree = self._tree(mount.source_stage, (mount.source or "/",))
        roots = expand(tree, mount.source or ".")
        node = follow(tree, roots[0]) if roots else None
        if node is None:
            raise BuildFailed(f"--mount source {mount.source!r} does not exist.", place=self.stage.place)
        return BindMount(target, lambda: as_tar(tree, node.path), node.kind != "directory", mount.writable)

    def _secret(self, mount: RunMount, target: str, environ: dict[str, str]) -> list[Mount]:
        value = self.workshop.secrets.value(self.stage.image, mount.id)
        if value is None:
            if mount.required:
                raise BadConfiguration(
                    f"The secret {mount.id!r} is required here and not given.",
                    place=self.stage.place,
                    remedy=f"Name it under `secrets:` in lineal.yaml, or pass --secret id={mount.id},env=NAME.",
                )
            return []
        if mount.variable is not None:
            environ[mount.variable] = value.decode("utf-8", "surrogateescape")
            if not mount.target:
                return []
        mode = 0o400 if mount.mode is None else mount.mode
        return [SecretMount(target, value, mode, mount.uid, mount.gid)]


def _scratch(platform: str) -> dict[str, Any]:
    os_name, architecture, *variant = platform.split("/")
    return {
        "created": _NO_TIME,
        "architecture": architecture,
        "os": os_name,
        **({"variant": variant[0]} if variant else {}),
        "config": {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def _copy_of(image: Image) -> dict[str, Any]:
    document: dict[str, Any] = copying.deepcopy(image.config_json)
    for name, empty in (("config", {}), ("history", [])):
        document[name] = document.get(name) or empty
    # The engine's notes about the container that once made the base say nothing about this image.
    for name in ("container", "container_config", "docker_version", "id", "parent"):
        document.pop(name, None)
    return document


def _with_path(base: Image) -> dict[str, Any] | bytes:
    """The base's config as it is, or with the PATH that BuildKit gives a base without one (`docker import`)."""
    if "PATH" in metadata.environment(base.config_json.get("config") or {}):
        return base.config
    document = _copy_of(base)
    document["config"]["Env"] = [*(document["config"].get("Env") or []), f"PATH={DEFAULT_PATH}"]
    return document


class _Script:
    """A heredoc with a shebang, as a tree of one executable file."""

    def __init__(self, name: str, content: bytes) -> None:
        from lineal.source.tree import Node

        self._node = Node(name, "file", 0o755, size=len(content))
        self._content = content

    def lstat(self, path: str) -> Any:
        from lineal.source.tree import Node

        return Node("", "directory", 0o755) if path == "" else self._node if path == self._node.path else None

    def children(self, path: str) -> list[str]:
        return [self._node.path] if path == "" else []

    def walk(self, path: str) -> Iterator[Any]:
        if path == "":
            yield self._node

    def open(self, node: Any) -> Iterator[bytes]:
        del node
        yield self._content
