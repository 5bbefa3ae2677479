"""The instructions of one target as stages: metadata gathers until a layer-producing instruction takes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError

from lineal.context.glob import expand as expand_sources
from lineal.context.glob import follow, has_wildcards, may_be_empty
from lineal.context.missing_source import explain
from lineal.context.path_filter import EVERYTHING, PathFilter
from lineal.context.remote_source import unpinned
from lineal.context.tree import clamp
from lineal.dockerfile import metadata
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.copy import CopyInstruction, identity_of_selected
from lineal.dockerfile.instructions import METADATA, InstructionParser, MetadataInstruction, RunInstruction
from lineal.dockerfile.onbuild import instructions
from lineal.dockerfile.parser import one_line
from lineal.dockerfile.run_mounts import RunMount, literal
from lineal.dockerfile.scope import Deferred, Scope, canonical_word
from lineal.dockerfile.stage import PlanRequest, Stage
from lineal.errors import BadConfiguration, Location


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

    def arg(self, instruction: DockerfileInstruction, scope: Scope, *, local: bool) -> Scope:
        """The scope after an ARG; `local` is false before the first FROM."""

    def source_stage(self, instruction: DockerfileInstruction, name: str, before: int) -> Stage:
        """The stage that `--from=NAME` means in the target of number `before`."""


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

    def add(self, instruction: DockerfileInstruction) -> None:
        name = instruction.name
        if name == "ARG":
            self.scope = self.planner.arg(instruction, self.scope, local=True)
        elif name in METADATA:
            self._metadata(self.parser.metadata(instruction, self.scope))
        elif name == "RUN":
            self._run(instruction, self.parser.run(instruction, self.scope))
        elif name in ("COPY", "ADD"):
            self._copy(instruction, self.parser.copy(instruction, self.scope))
        else:
            self.parser.refuse(instruction, f"{name} is not known.", id="LN-2001")

    def begin(self, triggers: tuple[str, ...]) -> None:
        """Add the instructions that the base's ONBUILDs hold, and take the ONBUILDs out of the config."""
        if not triggers:
            return
        origin = self.target.origin
        self.pending.append(MetadataInstruction("ONBUILD", self.parser.place(origin), ()))
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

    def _metadata(self, meta: MetadataInstruction) -> None:
        if meta.name == "ENTRYPOINT" and not self.cmd_set:
            meta = replace(meta, flags=(("reset-cmd", "true"),))
        self.cmd_set = self.cmd_set or meta.name == "CMD"
        if all(isinstance(word, str) for word in meta.words):
            # What can never be applied, such as a wrong port, is refused before anything is built.
            metadata.apply({}, meta, str)
        self.pending.append(meta)
        if meta.name == "ENV":
            self.scope = self.scope.with_env(
                (str(canonical_word(name)), value)
                for name, value in zip(meta.words[0::2], meta.words[1::2], strict=True)
            )
        elif meta.name == "WORKDIR":
            self.scope = self.scope.with_workdir(meta.words[0])
        elif meta.name == "USER":
            self.scope = replace(self.scope, user=meta.words[0])
        elif meta.name == "SHELL":
            self.scope = replace(self.scope, shell=tuple(str(word) for word in meta.words))
        elif meta.name == "ONBUILD":
            self.scope = replace(self.scope, onbuild=(*self.scope.onbuild, str(meta.words[0])))

    def _run(self, instruction: DockerfileInstruction, run: RunInstruction) -> None:
        sources: dict[str, Stage] = {}
        files: dict[str, Any] = {}
        for number, mount in enumerate(run.mounts):
            if mount.has_files:
                files[str(number)] = self._mounted(instruction, mount, sources)
        inputs = {**run.canonical(), "sees": self.scope.canonical_run(), "mounted": files}
        self._stage(run, run.place, one_line(instruction), inputs, sources)

    def _mounted(self, instruction: DockerfileInstruction, mount: RunMount, sources: dict[str, Stage]) -> Any:
        if mount.source_stage is not None:
            stage = self.planner.source_stage(instruction, mount.source_stage, self.target.number)
            sources[mount.source_stage] = stage
            return stage.checksum
        if literal(mount.source) == (mount.source or "/"):
            return self._files(instruction, mount.source, "RUN --mount")
        context = self.image.context
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
        if copy.source_stage is not None:
            stage = self.planner.source_stage(instruction, copy.source_stage, self.target.number)
            sources[copy.source_stage] = stage
            files = stage.checksum
        else:
            files = [self._copied(instruction, copy, source) for source in copy.sources]
        inputs = {**copy.canonical(), "files": files}
        if isinstance(copy.destination, Deferred) or not copy.destination.startswith("/"):
            inputs["workdir"] = self.scope.canonical_workdir()
        self._stage(copy, copy.place, one_line(instruction), inputs, sources)

    def _copied(self, instruction: DockerfileInstruction, copy: CopyInstruction, source: str) -> list[list[Any]]:
        """The files of a source for the checksum; none for a remote one, whose text and flags are inputs already."""
        remote = copy.remote(source)
        if remote is not None:
            if not remote.pinned and not self.image.unpinned(source):
                self.parser.refuse(instruction, *unpinned(source, remote), id="LN-2012")
            return []
        root, path_filter = copy.root(source)
        if not path_filter:
            return self._files(instruction, source, instruction.name)
        return self._files(instruction, root, instruction.name, path_filter, source)

    def _files(
        self,
        instruction: DockerfileInstruction,
        source: str,
        what: str,
        path_filter: PathFilter = EVERYTHING,
        written: str = "",
    ) -> list[list[Any]]:
        """The files that a source pattern matches: per root, its path and (path, mode, object id) of all in it."""
        context = self.image.context
        names = context.names()
        try:
            roots = expand_sources(names, source)
            if has_wildcards(source):
                PathFilter(source).check()
        except BadConfiguration as error:
            self.parser.refuse(instruction, error.message, error.remedy, id=error.id)
        written = written or source
        if not roots and not (may_be_empty(names, source) if source == written else has_wildcards(written)):
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
            self.parser.refuse(instruction, f"{what} {written!r}: {explain(context, clamp(written))}", id="LN-2009")
        return matched

    def _stage(
        self, op: RunInstruction | CopyInstruction | None, place: Location, text: str, inputs: Inputs,
        sources: dict[str, Stage] | None = None,
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
            needs=self._needs_used(inputs),
            platform=self.image.platform,
        )
        self.pending = []
        self.first = False

    def _needs_used(self, inputs: Inputs) -> dict[str, Stage]:
        """The images whose references stand in the words of this stage. They must be published before it."""
        if not self.planner.needs:
            return {}
        text = repr([inputs, [canonical_word(word) for word in self.scope.variables.values()]])
        return {name: stage for name, stage in self.planner.needs.items() if name in text}
