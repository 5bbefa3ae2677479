"""What a step reads besides its parent: files of the context or of other stages, mounts, secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lineal.assemble.merged import LayerSource, Merged, as_tar
from lineal.dockerfile import metadata
from lineal.dockerfile.instructions import Run
from lineal.dockerfile.mounts import RunMount
from lineal.dockerfile.scope import Word
from lineal.engine import BindMount, CacheMount, Mount, SecretMount, TmpfsMount
from lineal.errors import BadConfiguration, BuildFailed
from lineal.source.glob import expand, follow
from lineal.source.tree import Node, SourceTree
from lineal.stages.stage import Stage
from lineal.stages.workshop import Materials, Workshop
from lineal.store import Descriptor


class Inputs:
    """One stage's. `config` is the image config's inner object after its metadata, `finish` ends its words."""

    def __init__(
        self,
        stage: Stage,
        materials: Materials,
        workshop: Workshop,
        config: dict[str, Any],
        finish: Callable[[Word], str],
    ) -> None:
        self._stage = stage
        self._materials = materials
        self._workshop = workshop
        self._config = config
        self._finish = finish

    def tree(self, source_stage: str | None, wanted: tuple[str, ...]) -> SourceTree:
        if source_stage is None:
            assert self._stage.context is not None
            return self._stage.context
        source = self._materials.sources[source_stage]

        def opener(layer: Descriptor) -> Callable[[], Iterator[bytes]]:
            def read() -> Iterator[bytes]:
                for chunk in self._workshop.store.blob(layer.digest):
                    self._materials.moved.pulled += len(chunk)
                    yield chunk

            return read

        layers = [LayerSource(opener(layer), layer.media_type) for layer in source.image.layers]
        return Merged.read(source.filesystem, layers, wanted, self._workshop.workspace)

    def mounts(self, step: Run, environ: dict[str, str]) -> list[Mount]:
        mounts: list[Mount] = []
        if step.script is not None:
            name, content = step.script
            tree = _Script(name, content.encode("utf-8", "surrogateescape"))
            mounts.append(BindMount("/dev/pipes", lambda: as_tar(tree, "")))
        for mount in step.mounts:
            target = metadata.resolve_directory(self._config, self._finish(mount.target))
            if mount.type == "cache":
                mode = 0o755 if mount.mode is None else mount.mode
                name = f"{self._workshop.cache_scope}: {mount.id or target}"
                mounts.append(CacheMount(target, name, mount.sharing, mode, mount.uid, mount.gid))
            elif mount.type == "tmpfs":
                mounts.append(TmpfsMount(target, mount.size))
            elif mount.type == "bind":
                mounts.append(self._bind(mount, target))
            else:
                mounts.extend(self._secret(mount, target, environ))
        return mounts

    def _bind(self, mount: RunMount, target: str) -> BindMount:
        tree = self.tree(mount.source_stage, (mount.source or "/",))
        roots = expand(tree, mount.source or ".")
        node = follow(tree, roots[0]) if roots else None
        if node is None:
            raise BuildFailed(f"--mount source {mount.source!r} does not exist.", place=self._stage.place)
        return BindMount(target, lambda: as_tar(tree, node.path), node.kind != "directory", mount.writable)

    def _secret(self, mount: RunMount, target: str, environ: dict[str, str]) -> list[Mount]:
        value = self._workshop.secrets.value(self._stage.image, mount.id)
        if value is None:
            if mount.required:
                raise BadConfiguration(
                    f"The secret {mount.id!r} is required here and not given.",
                    place=self._stage.place,
                    remedy=f"Name it under `secrets:` in lineal.yaml, or pass --secret id={mount.id},env=NAME.",
                )
            return []
        if mount.variable is not None:
            environ[mount.variable] = value.decode("utf-8", "surrogateescape")
            if not mount.target:
                return []
        mode = 0o400 if mount.mode is None else mount.mode
        return [SecretMount(target, value, mode, mount.uid, mount.gid)]


class _Script:
    """A heredoc with a shebang, as a tree of one executable file."""

    def __init__(self, name: str, content: bytes) -> None:
        self._node = Node(name, "file", 0o755, size=len(content))
        self._content = content

    def lstat(self, path: str) -> Any:
        return Node("", "directory", 0o755) if path == "" else self._node if path == self._node.path else None

    def children(self, path: str) -> list[str]:
        return [self._node.path] if path == "" else []

    def walk(self, path: str) -> Iterator[Any]:
        if path == "":
            yield self._node

    def open(self, node: Any) -> Iterator[bytes]:
        del node
        yield self._content
