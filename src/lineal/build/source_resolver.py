"""The sources of a stage besides its parent: files of the context or of other stages, mounts, secrets."""

from __future__ import annotations

from collections.abc import Callable

from lineal.assemble.copy import CopyItem
from lineal.build.copy_sources import read_tree
from lineal.build.environment import BuildEnvironment, StageInputs
from lineal.build.run_mount_resolver import RunMountResolver
from lineal.context.path_filter import PathFilter
from lineal.context.remote_source import GitSource, Remote
from lineal.context.tree import EmptyTree, SourceTree
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import RunInstruction
from lineal.dockerfile.scope import Word
from lineal.dockerfile.stage import Stage
from lineal.engine import Mount
from lineal.oci.types import ContainerConfig
from lineal.store.statement import Dependency, digest_set, without_user


class SourceResolver:
    """One stage's. `config` is the image config's inner object after its metadata, `finish` ends its words."""

    def __init__(
        self,
        stage: Stage,
        inputs: StageInputs,
        environment: BuildEnvironment,
        config: ContainerConfig,
        finish: Callable[[Word], str],
    ) -> None:
        self._stage = stage
        self._inputs = inputs
        self._environment = environment
        self._config = config
        self._finish = finish
        self.secrets: tuple[bytes, ...] = ()
        """The values of the secrets among the mounts."""
        self.beside: frozenset[str] = frozenset()
        """What the stage remembers of where they came from."""
        self.secret_env: frozenset[str] = frozenset()
        """The variables whose values are secrets."""
        self.fresh = False
        """Whether a command of this run has written something of what is copied."""

    def tree(self, source_stage: str | None, wanted: tuple[str, ...]) -> SourceTree:
        if source_stage is None:
            assert self._stage.context is not None
            return self._stage.context
        if source_stage in self._stage.contexts:
            return self._stage.contexts[source_stage]
        source = self._inputs.sources.get(source_stage)
        if source is None:
            # A target that is empty is no stage.
            return EmptyTree()

        ahead, moved, environment = self._inputs.ahead, self._inputs.moved, self._environment
        if ahead is not None and ahead.wanted == wanted:
            moved.pulled += ahead.moved.pulled
            return ahead.tree  # of a stage that was published before

        def told(size: int) -> None:
            moved.pulled += size

        tree = read_tree(source, wanted, environment.store, environment.workspace, told)
        self.fresh = tree.newest >= environment.began
        return tree

    def items(self, step: CopyInstruction) -> list[CopyItem]:
        """The sources of a `COPY` or `ADD` as they stand there, once it is finished."""
        places = step.places()
        tree = self.tree(step.source_stage, places) if places else None
        items = []
        for source in map(self._finish, step.sources):
            remote = step.remote(source)
            if remote is not None:
                items.append(self._remote(source, remote, step))
            elif tree is not None:
                root, path_filter = step.root(source)
                unpack = step.add if step.unpack is None else step.unpack
                items.append(CopyItem(tree, root, unpack, path_filter))
        return items

    def _remote(self, source: str, remote: Remote, step: CopyInstruction) -> CopyItem:
        workspace, opens = self._environment.workspace, self._environment.opens(source)

        def told(content: str) -> None:
            self._inputs.used.append(_fetched(remote, content))
            if not remote.pinned and not self._environment.exceptions.unpinned(source):
                note = f"{source} is {content}, and this stage keeps it."
                self._environment.notes.note(f"{step.place}: {note} To pin it, write `{remote.fixed(content)} …`.")

        if isinstance(remote, GitSource):
            from lineal.assemble.http_source import settled
            from lineal.context.git_source import clone

            path_filter = PathFilter(None, step.exclude)
            if not remote.pinned and not opens:
                remote = settled(remote)
            return CopyItem(clone(remote, workspace, told), "", path_filter=path_filter, exact=True)
        from lineal.assemble.http_source import download

        found = download(remote, workspace, told, opens=opens)
        return CopyItem(found, remote.name, bool(step.unpack), exact=True)

    def mounts(self, step: RunInstruction, environ: dict[str, str]) -> list[Mount]:
        resolver = RunMountResolver(self._stage, self._environment, self._config, self._finish, self.tree)
        mounts = resolver.mounts(step, environ)
        self.secrets = tuple(resolver.secrets)
        self.beside = frozenset(resolver.beside)
        self.secret_env = frozenset(resolver.variables)
        return mounts


def _fetched(remote: Remote, content: str) -> Dependency:
    """What an `ADD` brought: a file with a digest, or a commit."""
    if isinstance(remote, GitSource):
        return Dependency("git", {"gitCommit": content}, f"git+{without_user(remote.url)}")
    return Dependency("url", digest_set(content), without_user(remote.url))
