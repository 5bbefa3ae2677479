"""The mounts of a `RUN`: its options and the stages at hand, as mounts for the engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from lineal.assemble.stage_tree import as_tar
from lineal.build.environment import BuildEnvironment
from lineal.caches.key import FROM
from lineal.context.glob import follow
from lineal.context.tree import Node, SingleFile, SourceTree
from lineal.dockerfile import metadata
from lineal.dockerfile.checksum import checksum
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.run_mounts import RunMount, literal
from lineal.dockerfile.scope import Word
from lineal.dockerfile.stage import Stage
from lineal.engine import BindMount, CacheMount, Mount, SecretMount, SshMount, TmpfsMount
from lineal.errors import BadConfiguration, BuildFailed
from lineal.oci.types import ContainerConfig

_SOCKETS = "/run/buildkit/ssh_agent"
"""Where BuildKit puts the sockets that have no target."""


class Trees(Protocol):
    def __call__(self, source_stage: str | None, wanted: tuple[str, ...]) -> SourceTree:
        """The context, or what is `wanted` of another stage."""


class RunMountResolver:
    """One stage's. `config` is the image config's inner object after its metadata, `finish` ends its words."""

    def __init__(
        self,
        stage: Stage,
        environment: BuildEnvironment,
        config: ContainerConfig,
        finish: Callable[[Word], str],
        tree: Trees,
    ) -> None:
        self._stage = stage
        self._environment = environment
        self._config = config
        self._finish = finish
        self._tree = tree
        self.secrets: list[bytes] = []
        """The values that were mounted or entered so far."""
        self.beside: set[str] = set()
        """What the stage remembers of where they came from."""
        self.variables: list[str] = []
        """The variables among them."""

    def mounts(self, step: RunInstruction, environ: dict[str, str]) -> list[Mount]:
        """Secrets that are variables are entered into `environ`, and where the first agent's socket is."""
        mounts: list[Mount] = []
        if step.script is not None:
            name, content = step.script
            data = content.encode("utf-8", "surrogateescape")
            tree = SingleFile(Node(name, "file", 0o755, size=len(data)), lambda: iter([data]))
            mounts.append(BindMount("/dev/pipes", lambda: as_tar(tree, "")))
        known = [self._finished(mount) for mount in step.mounts]
        for mount in known:
            if mount.type == "cache":
                mounts.append(self._cache(mount))
            elif mount.type == "tmpfs":
                mounts.append(TmpfsMount(self._target(mount), mount.size, not mount.readonly))
            elif mount.type == "bind":
                mounts.append(self._bind(mount))
            elif mount.type == "secret":
                mounts.extend(self._secret(mount, environ))
        mounts += self._agents([mount for mount in known if mount.type == "ssh"], environ)
        return [self._kept(mount) if isinstance(mount, CacheMount) else mount for mount in mounts]

    def _finished(self, mount: RunMount) -> RunMount:
        try:
            return mount.finished(self._finish)
        except ValueError as error:
            raise BadConfiguration(f"--mount={error}.", id="LN-2002") from None

    def _target(self, mount: RunMount) -> str:
        target = metadata.resolve_directory(self._config, self._finish(mount.target))
        if target == "/":
            raise BadConfiguration(
                "The target of a mount is the root directory.", id="LN-2002", remedy="Name a directory with target=."
            )
        return target

    def _source(self, mount: RunMount) -> tuple[SourceTree, Node]:
        tree = self._tree(mount.source_stage, (literal(mount.source),))
        node = follow(tree, mount.source)
        if node is None:
            raise BuildFailed(
                f"--mount source {mount.source!r} does not exist.", id="LN-5013", place=self._stage.place
            )
        return tree, node

    def _bind(self, mount: RunMount) -> BindMount:
        tree, node = self._source(mount)
        root = (node.mode, node.uid, node.gid)
        return BindMount(
            self._target(mount), lambda: as_tar(tree, node.path), node.kind != "directory", mount.writable, root
        )

    def _cache(self, mount: RunMount) -> CacheMount:
        mode = 0o755 if mount.mode is None else mount.mode
        name = f"{self._environment.cache_scope}: {mount.id or self._finish(mount.target)}"
        owner, tar = (mode, mount.uid, mount.gid), None
        if mount.source_stage is not None:
            tree, node = self._source(mount)
            if node.kind != "directory":
                raise BuildFailed(f"--mount source {mount.source!r} is a file: a cache is a directory.", id="LN-5013")
            owner, tar = (node.mode, node.uid, node.gid), lambda: as_tar(tree, node.path)
            # With other contents to begin with, it is another cache.
            content = f"{self._content(mount.source_stage, node.path)}/{node.path}"
            name += f"{FROM}{hashlib.sha256(content.encode('utf-8', 'surrogateescape')).hexdigest()}"
        return CacheMount(self._target(mount), name, mount.sharing, *owner, not mount.readonly, tar)

    def _kept(self, mount: CacheMount) -> CacheMount:
        """One that outlives the engine, where it is to. All secrets of the command are known by now."""
        caches, scope = self._environment.caches, f"{self._environment.cache_scope}: "
        return caches.mount(self._stage, mount.id.removeprefix(scope), mount, self.secrets) if caches else mount

    def _content(self, source_stage: str, path: str) -> str:
        """A name for the content of another stage, or at a path of another directory of the commit."""
        if source_stage in self._stage.contexts:
            return checksum({"files": self._stage.contexts[source_stage].identity(path)})
        stage = self._stage.sources.get(source_stage)
        return stage.checksum if stage else "scratch"

    def _secret(self, mount: RunMount, environ: dict[str, str]) -> list[Mount]:
        value = self._environment.secrets.value(self._stage.image, mount.id)
        if value is None:
            if mount.required:
                raise BadConfiguration(
                    f"The secret {mount.id!r} is required here and not given.",
                    id="LN-1015",
                    place=self._stage.place,
                    remedy=f"Give it with --secret id={mount.id},env=NAME (LINEAL_SECRET); a commit of the project's "
                    "own may name it under `secrets:` in lineal.yaml.",
                )
            return []
        self.secrets.append(value)
        if source := self._environment.secrets.beside(self._stage.image, mount.id):
            self.beside.add(source)
        if mount.variable is not None:
            if b"\0" in value:
                raise BadConfiguration(
                    f"The secret {mount.id!r} has a NUL byte in it, which no environment variable can have.",
                    id="LN-1023",
                    place=self._stage.place,
                    remedy="Mount it as a file (without env=), or correct its value.",
                )
            environ[mount.variable] = value.decode("utf-8", "surrogateescape")
            self.variables.append(mount.variable)
            if not mount.target:
                return []
        mode = 0o400 if mount.mode is None else mount.mode
        return [SecretMount(self._target(mount), value, mode, mount.uid, mount.gid)]

    def _agents(self, mounts: list[RunMount], environ: dict[str, str]) -> Iterator[SshMount]:
        for number, mount in enumerate(mounts):
            target = self._target(mount) if mount.target else f"{_SOCKETS}.{number}"
            environ.setdefault("SSH_AUTH_SOCK", target)
            agent: Path | None = self._environment.agents(self._stage.image, mount.id)
            if agent is not None:
                yield SshMount(target, agent, 0o600 if mount.mode is None else mount.mode, mount.uid, mount.gid)
            elif mount.required:
                raise BadConfiguration(
                    f"The SSH agent {mount.id!r} is required here and not given.",
                    id="LN-1015",
                    place=self._stage.place,
                    remedy=f"Give it with --ssh {mount.id} (LINEAL_SSH); a commit of the project's own may name it "
                    "under `ssh:` in lineal.yaml.",
                )
