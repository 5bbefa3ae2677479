"""One instruction of a Dockerfile, parsed: flags, words and heredocs as values, expanded in the scope it sees.

This module refuses instructions and flags that Lineal cannot build yet, and names the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from e2b_dockerfile_utils import DockerfileInstruction, chomp_heredoc_content, parse_heredoc

from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.copy import CopyInstruction, CopyParser
from lineal.dockerfile.onbuild import trigger
from lineal.dockerfile.parser import Parser, one_line
from lineal.dockerfile.run_mounts import RunMount, parse_mount
from lineal.dockerfile.scope import Scope, Word, canonical_word
from lineal.engine import DEVICE, NETWORK_HOST, SECURITY_INSECURE, Device
from lineal.errors import Location
from lineal.value import dataclass

MetadataName = Literal[
    "ENV", "LABEL", "WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL", "CMD", "ENTRYPOINT", "HEALTHCHECK",
    "SHELL", "MAINTAINER", "ONBUILD",
]  # fmt: skip
METADATA = frozenset(MetadataName.__args__)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class MetadataInstruction:
    """An instruction that only changes the image's config. `words` are expanded where BuildKit expands."""

    name: MetadataName
    place: Location
    words: tuple[Word, ...]
    json: bool = False
    flags: tuple[tuple[str, str], ...] = ()
    text: str = ""

    def canonical(self) -> Any:
        return [
            self.name,
            self.json,
            [canonical_word(word) for word in self.words],
            [list(flag) for flag in self.flags],
        ]

    def scope_after(self, scope: Scope) -> Scope:
        """The scope that the instructions below see."""
        match self.name:
            case "ENV":
                return scope.with_env(zip(map(str, self.words[0::2]), self.words[1::2], strict=True))
            case "WORKDIR":
                return scope.with_workdir(self.words[0])
            case "USER":
                return replace(scope, user=self.words[0])
            case "SHELL":
                return replace(scope, shell=tuple(str(word) for word in self.words))
            case "ONBUILD":
                return replace(scope, onbuild=(*scope.onbuild, str(self.words[0])))
        return scope


@dataclass(frozen=True, slots=True)
class FromInstruction:
    """FROM of an external image: its reference as written. A FROM of a target or of scratch makes no stage."""

    reference: str
    only_files: bool = False
    """Whether a COPY or a mount takes files of it, and nothing is built on it."""


@dataclass(frozen=True, slots=True)
class RunInstruction:
    """RUN. `words` is the exec form's list, or one script for the shell; never expanded by the build."""

    place: Location
    words: tuple[str, ...]
    exec_form: bool
    script: tuple[str, str] | None
    """A heredoc with a shebang: its name and content, run as a file."""
    mounts: tuple[RunMount, ...]
    network: str
    insecure: bool = False
    devices: tuple[Device, ...] = ()
    unset: tuple[str, ...] = ()
    """The variables that are taken for empty in the paths of mounts: the base must not have them."""
    output: str = ""
    """Of a scanner (`lineal.dockerfile.scan`) the directory for what it writes. It runs as its image says, with
    ENTRYPOINT and CMD, and not `words`."""

    def canonical(self) -> Inputs:
        return {
            "instruction": "RUN",
            "words": list(self.words),
            "exec": self.exec_form,
            "script": list(self.script) if self.script else None,
            "mounts": [mount.canonical() for mount in self.mounts],
            "network": self.network,
            **({"security": "insecure"} if self.insecure else {}),
            **({"devices": [[one.name, one.required] for one in self.devices]} if self.devices else {}),
            **({"unset": list(self.unset)} if self.unset else {}),
            **({"output": self.output} if self.output else {}),
        }

    @property
    def entitlements(self) -> dict[str, str]:
        """What it may have only where the caller says so, and the flag that asks for it."""
        asked = {
            NETWORK_HOST: "--network=host" * (self.network == "host"),
            SECURITY_INSECURE: "--security=insecure" * self.insecure,
            DEVICE: "--device" * bool(self.devices),
        }
        return {name: flag for name, flag in asked.items() if flag}


class InstructionParser(Parser):
    """Turns the instructions of one Dockerfile into values. Raises `BadConfiguration` with the line."""

    # --- metadata -----------------------------------------------------------------------------------------------

    def metadata(self, instruction: DockerfileInstruction, scope: Scope) -> MetadataInstruction:
        name: Any = instruction.name
        args = list(instruction.args)
        flags: dict[str, str] = {}
        words: list[Word]
        if name == "HEALTHCHECK":
            flags = self.flags(instruction, ("interval", "timeout", "start-period", "start-interval", "retries"))
        elif instruction.flags:
            self.flags(instruction, ())
        if name in ("ENV", "LABEL"):
            words = []
            for key, value in zip(args[0::3], args[1::3], strict=True):
                words += [self._key(instruction, scope, key), self.expand(instruction, scope, value)]
        elif name in ("WORKDIR", "USER", "STOPSIGNAL", "EXPOSE", "VOLUME"):
            # An empty path of a VOLUME is refused as it is written, before anything is expanded.
            parts = [part.strip() for part in args] if name == "VOLUME" else args
            words = [self.expand(instruction, scope, part) if part else "" for part in parts]
        elif name == "ONBUILD":
            words = [trigger(instruction)]
        else:
            words = list(args)
        if name == "HEALTHCHECK" and words:
            words[0] = str(words[0]).upper()
        self._check_metadata(instruction, words)
        return MetadataInstruction(
            name,
            self.place(instruction),
            tuple(words),
            instruction.json,
            tuple(sorted(flags.items())),
            one_line(instruction),
        )

    def _key(self, instruction: DockerfileInstruction, scope: Scope, raw: str) -> Word:
        if instruction.name == "LABEL":
            key: Word = self.expand(instruction, scope, raw)
        else:
            key = self.known(instruction, scope, raw, f"The name {raw!r}")
        if not key:
            self.refuse(instruction, f"{instruction.name} needs a name before each `=`.", id="LN-2002")
        return key

    def _check_metadata(self, instruction: DockerfileInstruction, words: list[Word]) -> None:
        if instruction.name in ("CMD", "ENTRYPOINT"):
            return
        # What a variable or quotes left empty is an argument: the root user, the same directory, no port.
        if not words or (words[0] == "" and instruction.name not in ("USER", "WORKDIR", "EXPOSE")):
            self.refuse(instruction, f"{instruction.name} needs an argument.", id="LN-2002")
        if instruction.name == "SHELL" and not instruction.json:
            self.refuse(
                instruction,
                "SHELL needs its argument in JSON form.",
                'For example SHELL ["/bin/bash", "-c"].',
                id="LN-2002",
            )
        if instruction.name == "HEALTHCHECK" and (
            words[0] not in ("CMD", "NONE") or (words[0] == "CMD") != bool(words[1:])
        ):
            self.refuse(instruction, f"HEALTHCHECK {words[0]} is not complete or not known.",
                        "Use HEALTHCHECK CMD with a command, or HEALTHCHECK NONE alone.", id="LN-2002")  # fmt: skip
        if instruction.name == "ONBUILD" and str(words[0]).split()[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
            self.refuse(
                instruction, f"{str(words[0]).split()[0]} cannot be the instruction of an ONBUILD.", id="LN-2002"
            )

    # --- COPY and ADD -------------------------------------------------------------------------------------------

    def copy(
        self, instruction: DockerfileInstruction, scope: Scope, there: Callable[[str], bool] = lambda _: False,
        *, fixed: bool = False,
    ) -> CopyInstruction:  # fmt: skip
        """`there` says whether the context has something that a source means; `fixed`, that what `--from` names is
        such a context."""
        return CopyParser(self, instruction, scope, there, fixed=fixed).parse()

    # --- RUN ----------------------------------------------------------------------------------------------------

    def run(
        self, instruction: DockerfileInstruction, scope: Scope, there: Callable[[str], bool] = lambda _: False
    ) -> RunInstruction:
        """`there` says whether the context has something at a path."""
        flags = self.flags(instruction, ("mount", "network", "security", "device"))
        network, security = flags.get("network", "default"), flags.get("security", "sandbox")
        if security not in ("sandbox", "insecure"):
            self.refuse(
                instruction,
                f"--security={security} is not known.",
                "Use sandbox, which is the default, or insecure.",
                id="LN-2002",
            )
        if network not in ("default", "none", "host"):
            self.refuse(instruction, f"--network={network} is not known.", "Use default, none or host.", id="LN-2002")
        if not instruction.args:
            self.refuse(instruction, "RUN needs a command.", id="LN-2002")
        words, script = self._command(instruction)
        devices = [flag.removeprefix("--device=") for flag in instruction.flags if flag.startswith("--device=")]
        texts = [flag.removeprefix("--mount=") for flag in instruction.flags if flag.startswith("--mount")]
        unset: set[str] = set()
        mounts = tuple(self._mount(instruction, scope, text, there, unset) for text in texts)
        return RunInstruction(
            place=self.place(instruction),
            words=words,
            exec_form=instruction.json,
            script=script,
            mounts=mounts,
            network=network,
            insecure=security == "insecure",
            devices=tuple(self._device(instruction, text) for text in devices),
            unset=tuple(sorted(unset)),
        )

    def _command(self, instruction: DockerfileInstruction) -> tuple[tuple[str, ...], tuple[str, str] | None]:
        """As BuildKit does: a lone heredoc is the script itself, or a file if it has a shebang."""
        if instruction.json or not instruction.heredocs:
            return tuple(instruction.args), None
        first = instruction.heredocs[0]
        alone = parse_heredoc(instruction.args[0])
        if alone is not None and alone.name == first.name:
            content = chomp_heredoc_content(first.content) if first.chomp else first.content
            if content.startswith("#!"):
                return (f"/dev/pipes/{first.name}",), (first.name, content)
            return (content,), None
        full = instruction.args[0] + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in instruction.heredocs)
        return (full,), None

    def _device(self, instruction: DockerfileInstruction, text: str) -> Device:
        """`--device=NAME[,required[=BOOL]]`, or `name=NAME`. A name may have a `=` of its own."""
        names, required = [], False
        for part in text.split(","):
            key, equals, value = part.partition("=")
            if key.lower() == "required" and value.lower() in ("", "true", "false", "1", "0", "t", "f"):
                required = not equals or value.lower() in ("true", "1", "t")
            else:
                names.append(value if key.lower() == "name" and equals else part)
        if len(names) != 1 or not names[0]:
            self.refuse(
                instruction, f"RUN --device={text} does not name one device.",
                "Write --device=vendor.com/class=name, with `,required` where the command needs it.", id="LN-2002",
            )  # fmt: skip
        return Device(names[0], required)

    def _mount(
        self, instruction: DockerfileInstruction, scope: Scope, text: str, there: Callable[[str], bool],
        unset: set[str],
    ) -> RunMount:  # fmt: skip
        def in_context(raw: str) -> str:
            word = self.expand(instruction, scope, raw)
            source, assumed = self.assumed(instruction, scope, word, there, "--mount")
            unset.update(assumed)
            return source

        try:
            return parse_mount(text, lambda raw: self.expand(instruction, scope, raw), in_context)
        except ValueError as error:
            self.refuse(instruction, f"--mount={error}.", id="LN-2002")
