"""Making one missing stage out of its parent: taken over, assembled or run (DESIGN §6)."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lineal.assemble.copy import Inline, copy, make_directories
from lineal.assemble.filesystem import Filesystem
from lineal.build.base_image import check_platform, chunks, import_base
from lineal.build.environment import BuildEnvironment, StageImage, StageInputs
from lineal.build.image_config import NO_TIME, copy_of, scratch
from lineal.build.preparations import Prepare, not_prepared
from lineal.build.sbom import documents
from lineal.build.source_resolver import SourceResolver
from lineal.build.work_directories import WorkDirectories
from lineal.dockerfile import metadata
from lineal.dockerfile.checksum import files_digest
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.instructions import FromInstruction, RunInstruction
from lineal.dockerfile.parser import undefined
from lineal.dockerfile.scope import DEFAULT_PATH, Deferred, Word, finish
from lineal.dockerfile.stage import Stage
from lineal.engine import (
    DEVICE,
    NETWORK_HOST,
    SECURITY_INSECURE,
    BrokenCache,
    Command,
    CommandFailed,
    NoWorkingDirectory,
    PushedLayer,
    RunOptions,
)
from lineal.errors import BadConfiguration, BuildFailed, LinealError, Location, Unreachable
from lineal.oci.image import image_of
from lineal.oci.types import ContainerConfig, Descriptor, Image, Layer
from lineal.stages.publish import Built
from lineal.tar.compression import open_archive

_GIVES = {
    NETWORK_HOST: "the network of this machine",
    SECURITY_INSECURE: "all rights on the engine's machine",
    DEVICE: "a device of the engine's machine",
}
_NOTHING = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}


def _empty() -> StageImage:
    """The empty image that a chain from scratch starts on."""
    return StageImage(image_of(_NOTHING, []), Filesystem.empty(), "scratch")


def build(
    stage: Stage, inputs: StageInputs, environment: BuildEnvironment, output: Callable[[str], None],
    prepare: Prepare = not_prepared,
) -> tuple[Built, StageImage]:  # fmt: skip
    """Make the stage and hand its layers to the store; how it was made and publishing it are the caller's. Commands
    on it are prepared with `prepare`."""
    beside: frozenset[str] = frozenset()
    if isinstance(stage.op, FromInstruction):
        image, filesystem = import_base(stage, stage.op.reference, inputs, environment, prepare)
    else:
        if inputs.parent is not None:
            check_platform(inputs.parent.image, "The image that this is built on", stage)
        try:
            builder = StageBuilder(stage, inputs, environment, output, prepare)
            image, filesystem = builder.make()
            beside = builder.resolver.beside
        except LinealError as error:
            if not isinstance(error, Unreachable):
                error.place = error.place or stage.place
            raise
    document = {**files_digest(stage.inputs), "parent": stage.parent.checksum if stage.parent else None}
    built = Built(image, filesystem.encode(), document, stage.platform, beside)
    return built, StageImage(image, filesystem, "")


class StageBuilder:
    """One stage on top of its parent: metadata first, then the layer."""

    def __init__(
        self, stage: Stage, inputs: StageInputs, environment: BuildEnvironment, output: Callable[[str], None],
        prepare: Prepare,
    ) -> None:  # fmt: skip
        self.stage = stage
        self.inputs = inputs
        self.environment = environment
        self.output = output
        self.prepare = prepare
        self.parent = inputs.parent or _empty()
        self.document = scratch(stage.platform) if inputs.parent is None else copy_of(self.parent.image)
        self.config: ContainerConfig = self.document.setdefault("config", {})
        self.directories = WorkDirectories(self.parent.filesystem, self.config, stage.place)
        self.missed: set[str] = set()
        """The variables without a value that were told of."""
        self.maker: dict[str, Any] = {}
        """The history's entry of the last WORKDIR that makes directories."""
        self.workdir = stage.place
        """Where the work directory was named last, as far as this stage knows."""
        self.resolver = SourceResolver(stage, inputs, environment, self.config, self.finish)

    def make(self) -> tuple[Image, Filesystem]:
        for meta in self.stage.metadata:
            self._check_unset([value for flag, value in meta.flags if flag == "unset"], meta.place)
            metadata.apply(self.document, meta, self.finish)
            made = len(self.directories.made)
            if meta.name == "WORKDIR":
                self.workdir = meta.place
                self.directories.make_workdir()
            # As in BuildKit, an ONBUILD is in the config alone.
            if meta.name != "ONBUILD":
                self._history(meta.text, empty=True)
            if len(self.directories.made) > made:
                self.maker = self.document["history"][-1]
        op = self.stage.op
        if isinstance(op, CopyInstruction):
            return self._assembled(op)
        if isinstance(op, RunInstruction):
            return self._run(op)
        return self._closed()

    def finish(self, word: Word) -> str:
        try:
            text = finish(word, metadata.environment(self.config), self._missed)
        except ValueError as error:
            raise BuildFailed(f"`{self.stage.text}`: {error}.", id="LN-5006", place=self.stage.place) from None
        for name, reference in self.inputs.references.items():
            text = text.replace(name, reference)
        return text

    def _missed(self, name: str) -> None:
        scope = self.stage.scope
        if name not in scope.declared and name not in self.missed:
            self.missed.add(name)
            self.environment.notes.warn(f"{self.stage.place}: {undefined(name)}.")

    def _check_unset(self, names: Sequence[str], place: Location) -> None:
        """What is known since the plan was worked out with these variables empty."""
        environ = metadata.environment(self.config)
        for name in names:
            if environ.get(name):
                raise BadConfiguration(
                    f"${name}, which only the base image defines, is needed where the base is not known: checksums "
                    "are made before.",
                    id="LN-2004",
                    place=place,
                    remedy=f"Write `ENV {name}={shlex.quote(environ[name])}` before its first use.",
                )

    # --- layers ---

    def _assembled(self, written: CopyInstruction) -> tuple[Image, Filesystem]:
        self._check_unset(written.unset, written.place)
        step = written.finished(self.finish)
        chmod = step.chmod
        assert not isinstance(chmod, Deferred)
        inline = [
            Inline(heredoc.name, self.finish(heredoc.content).encode("utf-8", "surrogateescape"))
            for heredoc in step.heredocs
        ]
        copied = copy(
            self.parent.filesystem,
            len(self.parent.image.layers),
            [*self.resolver.items(step), *inline],
            destination=self.finish(step.destination),
            workdir=self.config.get("WorkingDir") or "/",
            chown=None if step.chown is None else self.finish(step.chown),
            chmod=chmod,
            workspace=self.environment.workspace,
            directories=self.directories.made,
            link=step.link,
        )
        # The files of a command have its time: nobody has made this layer before.
        image = self._image(copied.layer, step.history(self.finish), new=self.resolver.fresh)
        return image, copied.filesystem

    def _closed(self) -> tuple[Image, Filesystem]:
        """Metadata after the last layer; a layer only where a WORKDIR does not exist yet."""
        made = make_directories(
            self.parent.filesystem, len(self.parent.image.layers), self.directories.made, self.environment.workspace
        )
        if made is None:
            return image_of(self.document, self.parent.image.layers), self.parent.filesystem
        # The layer is the WORKDIR's, which the history has already.
        self.maker.pop("empty_layer", None)
        return self._image(made.layer, None), made.filesystem

    def _check_entitlements(self, step: RunInstruction) -> None:
        """What reaches further than a container. A commit asks for it, the caller gives it."""
        for name, flag in step.entitlements.items():
            if not self.environment.may_write:
                raise BadConfiguration(
                    f"RUN {flag} is for the project's own commits, and this run is of somebody else's.",
                    id="LN-2014", place=step.place, remedy="Do without it, or build from a branch of the project.",
                )  # fmt: skip
            if name not in self.environment.allowed:
                raise BadConfiguration(
                    f"RUN {flag} gives the command {_GIVES[name]}, which nobody allowed.",
                    id="LN-2014", place=step.place, remedy=f"Do without it, or pass --allow {name} (LINEAL_ALLOW).",
                )  # fmt: skip

    def _options(self) -> RunOptions:
        """A control group of the engine's machine is not for a stranger's commit to choose."""
        options = self.environment.options.get(self.stage.image, RunOptions())
        if not options.cgroup_parent or self.environment.may_write:
            return options
        self.environment.notes.warn(
            f"{self.stage.place}: cgroup_parent is left out: this commit is not the project's own."
        )
        return replace(options, cgroup_parent="")

    def _run(self, step: RunInstruction) -> tuple[Image, Filesystem]:
        self._check_unset(step.unset, step.place)
        self._check_entitlements(step)
        words = self._words(step)
        # What the base's environment left open is an ENV, and final in the config since its own line.
        known = self.stage.scope.variables.items()
        variables = {name: self.finish(value) for name, value in known if isinstance(value, str) or value.argument}
        proxies = self.environment.proxies.variables(step.network)
        # What the Dockerfile says of a proxy is part of the checksum, and wins.
        environ = {"PATH": DEFAULT_PATH, **metadata.environment(self.config), **proxies, **variables}
        mounts = self.resolver.mounts(step, environ)
        self.directories.enter()
        if step.output:
            self.directories.make(step.output, (0, 0))
        etc = self.parent.filesystem.directories.get("etc")
        command = Command(
            argv=words, env=environ, workdir=self.config.get("WorkingDir") or "/", user=self.config.get("User") or "",
            platform=self.stage.platform,
            network=step.network, insecure=step.insecure, devices=step.devices,
            mounts=mounts, options=RunOptions() if step.output else self._options(),
            directories=self.directories.made, existing=self.directories.exists,
            secrets=self.resolver.secrets,
            # A proxy's address may have a password.
            secret_env=self.resolver.secret_env | proxies.keys(),
            etc=(etc.mode, etc.uid, etc.gid) if etc else (0o755, 0, 0),
        )  # fmt: skip
        try:
            layer = self._executed(command)
        except LinealError as error:
            # An engine quotes what it was given.
            error.message = self.environment.secrets.mask(error.message)
            raise
        except NoWorkingDirectory:
            # Files are not known before the engine looks.
            raise BuildFailed(
                f"WORKDIR {command.workdir} cannot be made: a part of this path is a file in the image.",
                id="LN-5023",
                place=self.workdir,
                remedy="Choose another directory, or remove the file in an earlier RUN.",
            ) from None
        except CommandFailed as failure:
            raise BuildFailed(
                f"`{self.stage.text}` ended with status {failure.status}.",
                id="LN-5005",
                place=self.stage.place,
                remedy="Its output is above; the stages before it are published.",
            ) from None
        now, epoch = int(time.time()), command.options.epoch
        self.document["created"] = time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(now if epoch is None else min(now, epoch))
        )
        if isinstance(layer, PushedLayer):
            self.environment.store.expect(layer.descriptor.digest, layer.arrival, layer.read)
            filesystem = self.parent.filesystem.after(len(self.parent.image.layers), layer.tree)
            image = self._with(layer.descriptor, layer.diff_id)
        else:
            with layer.path.open("rb") as file:
                # The same, where it is given no other one.
                image = self._image(layer, new=epoch is None)
                # The next command's engine takes longer than this process, which needs an index of it.
                self.prepare(self.stage, image, self.environment.store)
                filesystem = self.parent.filesystem.apply(len(self.parent.image.layers), open_archive(chunks(file)))
        if step.output:
            # What is published without a document would be found for good.
            documents(self.environment.store, image.layers[-1])
        return image, filesystem

    def _words(self, step: RunInstruction) -> list[str]:
        if step.output:
            words = [*(self.config.get("Entrypoint") or []), *(self.config.get("Cmd") or [])]
            if not words:
                raise BuildFailed("The scanner's image has neither ENTRYPOINT nor CMD.", id="LN-5049",
                                  remedy="Name another one in `publish.sbom`.")  # fmt: skip
            return words
        return list(step.words) if step.exec_form else [*metadata.shell(self.config), *step.words]

    def _executed(self, command: Command) -> Layer | PushedLayer:
        """A command whose cache begins with something that cannot be read begins again without."""
        while True:
            try:
                return self.environment.engine.run(
                    self.parent.image, self.environment.store, command,
                    lambda line: self.output(self.environment.secrets.mask(line)), self.environment.workspace,
                )  # fmt: skip
            except BrokenCache as error:
                if self.environment.caches is None:
                    raise
                command = replace(command, mounts=self.environment.caches.again(command.mounts, error))

    def _image(self, layer: Layer, text: str | None = "", *, new: bool = False) -> Image:
        self.environment.store.put_blob(layer.blob(new=new))
        layer.path.unlink()
        return self._with(layer.descriptor(), layer.diff_id, text)

    def _with(self, layer: Descriptor, diff_id: str, text: str | None = "") -> Image:
        """The image with one more layer, which is in the store."""
        self.inputs.moved.pushed += layer.size
        self.document.setdefault("rootfs", {"type": "layers", "diff_ids": []})["diff_ids"].append(diff_id)
        if text is not None:
            self._history(text or self.stage.text, empty=False)
        return image_of(self.document, [*self.parent.image.layers, layer])

    def _history(self, text: str, *, empty: bool) -> None:
        entry = {"created": self.document.get("created", NO_TIME), "created_by": text, "comment": "lineal"}
        self.document.setdefault("history", []).append({**entry, "empty_layer": True} if empty else entry)
