"""The instructions of one target as stages: metadata gathers until a layer-producing instruction takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError

from lineal.context.awaited import awaited
from lineal.context.build_context import BuildContext
from lineal.context.glob import expand as expand_sources
from lineal.context.glob import follow, has_wildcards, may_be_empty
from lineal.context.missing_source import explain
from lineal.context.path_filter import EVERYTHING, PathFilter
from lineal.context.remote_source import Remote, inside, is_inside, unpinned
from lineal.context.tree import EmptyTree, clamp
from lineal.dockerfile import metadata
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.copy import CopyInstruction, identity_of_selected
from lineal.dockerfile.instructions import METADATA, InstructionParser, MetadataInstruction, RunInstruction
from lineal.dockerfile.onbuild import instructions
from lineal.dockerfile.parser import one_line
from lineal.dockerfile.run_mounts import RunMount, literal
from lineal.dockerfile.scope import Deferred, Scope, Word, canonical_word
from lineal.dockerfile.stage import PlanRequest, Stage
from lineal.errors import BadConfiguration, Location, Problems

_OF_WINDOWS = re.compile(r"\s*((?:powershell|cmd)(?:\.exe)?)(?=\s|$)", re.IGNORECASE)


@dataclass
class Target:
    """A `FROM ... AS name` block. Docker calls it a stage; here a stage is one layer-producing step of it."""

    name: str
    number: int
    origin: DockerfileInstruction
    instructions: list[DockerfileInstruction]
    last: Stage | None = None
    scope: Scope | None = None


class Planning(Protocol):
    """The plan of the Dockerfile that a target stands in."""

    image: PlanRequest
    parser: InstructionParser
    needs: dict[str, Stage]
    """Placeholder of another image's reference -> that image's last stage."""
    problems: Problems

    def arg(self, instruction: DockerfileInstruction, scope: Scope, *, local: bool) -> Scope:
        """The scope after an ARG; `local` is false before the first FROM."""

    def source_stage(self, instruction: DockerfileInstruction, name: str, before: int) -> Stage | None:
        """The stage that `--from=NAME` means in the target of number `before`; None for an empty target."""

    def source_tree(self, name: str, before: int) -> BuildContext | None:
        """The directory of the commit that `--from=NAME` means in the target of number `before`, if it means one."""

    def stand_in(self, target: Target) -> Stage:
        """Any stage in place of one that cannot be planned, so that nothing follows from its absence."""


class TooDeep(BadConfiguration):
    """Targets build on each other without end: nothing else is looked for."""


class TargetBuilder:
    """Walks one target's instructions: metadata gathers until a layer-producing step makes a stage of it."""

    def __init__(self, planner: Planning, target: Target, stage: Stage | None, scope: Scope) -> None:
        self.planner = planner
        self.parser = planner.parser
        self.image = planner.image
        self.target = target
        self.stage = stage
        self.scope = scope
        self.pending: list[MetadataInstruction] = []
        self.first = True
        self.cmd_set = False
        self.awaits: set[str] = set()
        """The artifacts that the instruction needs and that are not there."""
        self.lost: set[str] = set()
        """The variables whose value is not known because their instruction is wrong."""

    def add(self, instruction: DockerfileInstruction) -> None:
        with self._separately(instruction):
            self._add(instruction)

    @contextmanager
    def _separately(self, instruction: DockerfileInstruction) -> Iterator[None]:
        """What is wrong in the block is said together with the other problems of the Dockerfile."""
        try:
            yield
        except TooDeep:
            raise
        except BadConfiguration as error:
            self._failed(instruction, error)

    def _add(self, instruction: DockerfileInstruction) -> None:
        name = instruction.name
        self.awaits = set()
        if self._uses_lost(instruction):
            self._lose(instruction)
        if name == "ARG":
            self.scope = self.planner.arg(instruction, self.scope, local=True)
        elif name in METADATA:
            self._note_windows(instruction)
            self._metadata(instruction, self.parser.metadata(instruction, self.scope))
        elif name == "RUN":
            self._note_windows(instruction)
            self._run(instruction, self.parser.run(instruction, self.scope, self._in_context))
        elif name in ("COPY", "ADD"):
            origins = (flag.removeprefix("--from=") for flag in instruction.flags if flag.startswith("--from="))
            tree = self._tree(next(origins, None))
            there = partial(self._in_context, context=tree)
            self._copy(instruction, self.parser.copy(instruction, self.scope, there, fixed=tree is not None))
        else:
            self.parser.refuse(instruction, f"{name} is not known.", id="LN-2001")

    def _note_windows(self, instruction: DockerfileInstruction) -> None:
        found = _OF_WINDOWS.match(" ".join(instruction.args[:1])) if instruction.name in ("RUN", "SHELL") else None
        if found:
            note = f"`{found[1]}` is a program of Windows, and Lineal builds images of Linux."
            self.image.notes.warn(f"{self.parser.place(instruction)}: {note}")

    def _failed(self, instruction: DockerfileInstruction, error: BadConfiguration) -> None:
        """What follows from another failure is no problem of its own."""
        # The files that it reads said so, which do not know for whom they are read.
        error.place = error.place or self.parser.place(instruction)
        if not self._uses_lost(instruction):
            self.planner.problems.add(error)
        self._lose(instruction)
        self.stage = self.stage or self.planner.stand_in(self.target)

    def _uses_lost(self, instruction: DockerfileInstruction) -> bool:
        return any(re.search(rf"\$\{{?{re.escape(name)}\b", instruction.original) for name in self.lost)

    def _lose(self, instruction: DockerfileInstruction) -> None:
        if instruction.name == "ARG":
            self.lost.update(argument.partition("=")[0] for argument in instruction.args)
        elif instruction.name == "ENV":
            self.lost.update(instruction.args[0::3])

    def begin(self, triggers: tuple[str, ...]) -> None:
        """Add the instructions that the base's ONBUILDs hold, and take the ONBUILDs out of the config."""
        if not triggers:
            return
        origin = self.target.origin
        self.pending.append(MetadataInstruction("ONBUILD", self.parser.place(origin), ()))
        with self._separately(origin):
            try:
                found = instructions(triggers, origin.start_line)
            except DockerfileSyntaxError as error:
                reason = str(error).split(": ", 1)[-1]
                self.parser.refuse(origin, f"An ONBUILD of the base cannot be read: {reason}.", id="LN-2013")
            for instruction in found:
                self.add(instruction)

    def finish(self) -> Stage | None:
        if self.pending:
            self._stage(None, self.pending[-1].place, self.pending[-1].text, {"close": True})
        return self.stage

    def _metadata(self, instruction: DockerfileInstruction, meta: MetadataInstruction) -> None:
        if meta.name == "ENTRYPOINT" and not self.cmd_set:
            meta = replace(meta, flags=(("reset-cmd", "true"),))
        self.cmd_set = self.cmd_set or meta.name == "CMD"
        if all(isinstance(word, str) for word in meta.words):
            # What can never be applied, such as a wrong port, is refused before anything is built.
            metadata.apply({}, meta, str)
        if meta.name == "ENV":
            meta = self._env(instruction, meta)
        self.pending.append(meta)
        if meta.name == "ENV":
            self.scope = self.scope.with_env(zip(map(str, meta.words[0::2]), meta.words[1::2], strict=True))
        elif meta.name == "WORKDIR":
            self.scope = self.scope.with_workdir(meta.words[0])
        elif meta.name == "USER":
            self.scope = replace(self.scope, user=meta.words[0])
        elif meta.name == "SHELL":
            self.scope = replace(self.scope, shell=tuple(str(word) for word in meta.words))
        elif meta.name == "ONBUILD":
            self.scope = replace(self.scope, onbuild=(*self.scope.onbuild, str(meta.words[0])))

    def _env(self, instruction: DockerfileInstruction, meta: MetadataInstruction) -> MetadataInstruction:
        try:
            self.scope, unset = self.scope.before_env([str(word) for word in meta.words[0::2]])
        except ValueError as error:
            remedy = "Give the ARG a value that does not wait, or the ENV another name."
            self.parser.refuse(instruction, f"ENV: {error}.", remedy, id="LN-2004")
        return replace(meta, flags=(*meta.flags, *(("unset", name) for name in sorted(unset))))

    def _run(self, instruction: DockerfileInstruction, run: RunInstruction) -> None:
        sources: dict[str, Stage] = {}
        files: dict[str, Any] = {}
        contexts: dict[str, BuildContext] = {}
        for number, mount in enumerate(run.mounts):
            if mount.has_files:
                with self._separately(instruction):
                    files[str(number)] = self._mounted(instruction, mount, sources, contexts)
        inputs = {**run.canonical(), "sees": self.scope.canonical_run(), "mounted": files}
        if self.image.run_options:
            inputs["run_options"] = self.image.run_options
        self._stage(run, run.place, one_line(instruction), inputs, sources, contexts)

    def _mounted(
        self, instruction: DockerfileInstruction, mount: RunMount, sources: dict[str, Stage],
        contexts: dict[str, BuildContext],
    ) -> Any:  # fmt: skip
        tree = self._tree(mount.source_stage)
        if mount.source_stage is not None and tree is None:
            return self._other(instruction, mount.source_stage, (mount.source,), sources)
        if mount.source_stage is not None and tree is not None:
            contexts[mount.source_stage] = tree
            if mount.open:
                message = f"RUN --mount from {mount.source_stage!r}: only the base image may define a variable in it."
                remedy = "Write an `ENV` for it before its first use, or the path itself."
                self.parser.refuse(instruction, message, remedy, id="LN-2004")
        context = tree or self.image.context
        if literal(mount.source) == (mount.source or "/"):
            return self._files(instruction, mount.source, "RUN --mount", context=context)
        meant = follow(context.names(), mount.source)
        if meant is None:
            self.parser.refuse(
                instruction,
                f"RUN --mount {mount.source!r}: there is no such file in the commit.",
                "The source of a mount is a path: wildcards mean themselves.",
                id="LN-2009",
            )
        return [[meant.path, [list(entry) for entry in context.identity(meant.path)]]]

    def _copy(self, instruction: DockerfileInstruction, copy: CopyInstruction) -> None:
        sources: dict[str, Stage] = {}
        files: Any = None
        tree = self._tree(copy.source_stage)
        contexts = {copy.source_stage: tree} if copy.source_stage is not None and tree is not None else {}
        if copy.source_stage is not None and tree is None:
            files = self._other(instruction, copy.source_stage, copy.places(), sources)
        else:
            files = []
            for source in copy.sources:
                with self._separately(instruction):
                    files.append(self._copied(instruction, copy, source, tree or self.image.context))
        inputs = {**copy.canonical(), "files": files}
        if isinstance(copy.destination, Deferred) or not copy.destination.startswith("/"):
            inputs["workdir"] = self.scope.canonical_workdir()
        self._stage(copy, copy.place, one_line(instruction), inputs, sources, contexts)

    def _tree(self, name: str | None) -> BuildContext | None:
        return None if name is None else self.planner.source_tree(name, self.target.number)

    def _other(
        self, instruction: DockerfileInstruction, name: str, paths: Iterable[str], sources: dict[str, Stage]
    ) -> str | None:
        """The files of another target or image for the checksum: its own, None for an empty target. Nothing can be
        named there but the root and what wildcards would match."""
        stage = self.planner.source_stage(instruction, name, self.target.number)
        if stage is None or stage.is_empty:
            for path in paths:
                if not expand_sources(EmptyTree(), path) and not may_be_empty(EmptyTree(), path):
                    self.parser.refuse(
                        instruction,
                        f"There is no {path!r} in the target {name!r}, which is empty.",
                        "Take its root `/`, or put the file there.",
                        id="LN-2006",
                    )
        if stage is None:
            return None
        sources[name] = stage
        return stage.checksum

    def _in_context(self, source: str, context: BuildContext | None = None) -> bool:
        """Whether a context, by default the image's, has something that a source means."""
        names = (context or self.image.context).names()
        try:
            return bool(expand_sources(names, source)) or may_be_empty(names, source)
        except BadConfiguration:
            return False

    def _copied(
        self, instruction: DockerfileInstruction, copy: CopyInstruction, source: Word, context: BuildContext
    ) -> list[list[Any]]:
        """The files of a source for the checksum; none for a remote one, whose text and flags are inputs already."""
        remote = copy.remote(source)
        if isinstance(source, Deferred) or remote is not None:
            text = source.raw if isinstance(source, Deferred) else source
            checksum = dict(copy.flags).get("checksum")
            if not (remote.pinned if remote else isinstance(checksum, str) and checksum):
                self._check_unpinned(instruction, text, remote)
            return []
        root, path_filter = copy.root(source)
        if not path_filter:
            return self._files(instruction, source, instruction.name, context=context)
        return self._files(instruction, root, instruction.name, path_filter, source, context=context)

    def _check_unpinned(self, instruction: DockerfileInstruction, text: str, remote: Remote | None) -> None:
        """Like the `RUN curl` that it stands for, it is frozen by its first publication."""
        if remote is not None and is_inside(remote.host) and not self.image.inside(text):
            self.parser.refuse(instruction, *inside(text), id="LN-2012")
        if self.image.pinned and not self.image.unpinned(text):
            self.parser.refuse(instruction, *unpinned(text, remote), id="LN-2012")

    def _files(
        self,
        instruction: DockerfileInstruction,
        source: str,
        what: str,
        path_filter: PathFilter = EVERYTHING,
        written: str = "",
        *,
        context: BuildContext,
    ) -> list[list[Any]]:
        """The files that a source pattern matches: per root, its path and (path, mode, object id) of all in it."""
        names = context.names()
        try:
            roots = expand_sources(names, source)
            if has_wildcards(source):
                PathFilter(source).check()
        except BadConfiguration as error:
            self.parser.refuse(instruction, error.message, error.remedy, id=error.id)
        written = written or source
        there = bool(roots) or (may_be_empty(names, source) if source == written else has_wildcards(written))
        absent = awaited(context, source, path_filter, there=there)
        self.awaits.update(absent)
        if not there and absent:
            return []
        if not there:
            self.parser.refuse(instruction, f"{what} {written!r}: {explain(context, source)}", id="LN-2009")
        matched: list[list[Any]] = []
        for root in roots:
            # A link as a source means what it points at.
            meant = follow(names, root)
            named = path_filter.include is not None and not has_wildcards(source)
            if named and (meant is None or meant.kind != "directory"):
                # Nothing is below a file; one that a wildcard matches is copied, as BuildKit does.
                continue
            if path_filter and meant is not None and meant.kind == "directory":
                matched.append([root, identity_of_selected(context, meant.path, path_filter)])
                continue
            also = [meant.path] if meant is not None and meant.path != root else []
            matched.append([root, [list(entry) for path in (root, *also) for entry in context.identity(path)]])
        if path_filter.include is not None and not any(rows for _, rows in matched) and not has_wildcards(written):
            absent = awaited(context, clamp(written), path_filter, there=False)
            self.awaits.update(absent)
            if absent:
                return []
            self.parser.refuse(instruction, f"{what} {written!r}: {explain(context, clamp(written))}", id="LN-2009")
        return matched

    def _stage(
        self, op: RunInstruction | CopyInstruction | None, place: Location, text: str, inputs: Inputs,
        sources: dict[str, Stage] | None = None, contexts: dict[str, BuildContext] | None = None,
    ) -> None:  # fmt: skip
        inputs = {**inputs, "metadata": [meta.canonical() for meta in self.pending]}
        if self.stage is None:
            # A chain from scratch has no FROM stage to carry these.
            inputs |= {"platform": self.image.platform, "cache_version": self.image.cache_version}
        elif self.first and self.stage.image != self.image.name and self.image.cache_version:
            inputs["cache_version"] = self.image.cache_version
        self.stage = Stage(
            op=op,
            image=self.image.name,
            target=self.target.name,
            place=place,
            text=text,
            parent=self.stage,
            inputs=inputs,
            scope=self.scope,
            metadata=tuple(self.pending),
            sources=sources or {},
            context=self.image.context,
            contexts=contexts or {},
            needs=self._needs_used(inputs),
            platform=self.image.platform,
            awaits=tuple(sorted(self.awaits)),
        )
        self.awaits = set()
        self.pending = []
        self.first = False

    def _needs_used(self, inputs: Inputs) -> dict[str, Stage]:
        """The images whose references stand in the words of this stage. They must be published before it."""
        if not self.planner.needs:
            return {}
        text = repr([inputs, [canonical_word(word) for word in self.scope.variables.values()]])
        return {name: stage for name, stage in self.planner.needs.items() if name in text}
