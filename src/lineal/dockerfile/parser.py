"""The part of reading that all instructions of a Dockerfile share: flags, expanded words, refusals with the line."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.dockerfile.scope import Deferred, Scope, Word
from lineal.errors import BadConfiguration, Location
from lineal.text import closest


class Parser:
    """Reads the flags and words of one Dockerfile. Raises `BadConfiguration` with file and line."""

    def __init__(self, file: str) -> None:
        self.file = file

    def place(self, instruction: DockerfileInstruction) -> Location:
        return Location(self.file, instruction.start_line)

    def refuse(
        self, instruction: DockerfileInstruction, message: str, remedy: str | None = None, *, id: str
    ) -> NoReturn:
        raise BadConfiguration(message, id=id, place=self.place(instruction), remedy=remedy)

    def expand(self, instruction: DockerfileInstruction, scope: Scope, raw: str, *, quotes: bool = True) -> Word:
        try:
            return scope.expand(raw, quotes=quotes)
        except ValueError as error:
            self.refuse(instruction, f"{instruction.name}: {error}.", id="LN-2002")

    def known(self, instruction: DockerfileInstruction, scope: Scope, raw: str, what: str) -> str:
        """The text of a word that must be known before the base image is."""
        word = self.expand(instruction, scope, raw)
        if isinstance(word, Deferred):
            unknown = ", ".join(f"${name}" for name in _unknown(word))
            self.refuse(
                instruction,
                f"{what} uses {unknown}, which the Dockerfile does not define before this line.",
                "Give it a value: with ENV, a default of its ARG, or `args` in lineal.yaml. "
                "What only the base image defines is not known when checksums are made.",
                id="LN-2004",
            )
        return word

    def flags(
        self, instruction: DockerfileInstruction, allowed: tuple[str, ...], switches: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """The values of `--name=value` flags. Unknown flags and flags without a value are refused. `switches` are
        true or false, and true where they stand alone."""
        found: dict[str, str] = {}
        for flag in instruction.flags:
            name, equals, value = flag.removeprefix("--").partition("=")
            if name not in allowed:
                near = closest(name, allowed)
                hint = f"Did you mean --{near}?" if near else "Remove it, or build this part in a RUN."
                self.refuse(
                    instruction, f"{instruction.name} --{name} is not supported by Lineal yet.", hint, id="LN-2003"
                )
            if name in found and name not in ("mount", "exclude"):
                self.refuse(instruction, f"{instruction.name} --{name} is given twice.", id="LN-2002")
            if name in switches:
                value = value.lower() if equals else "true"
                if value not in ("true", "false"):
                    self.refuse(
                        instruction, f"{instruction.name} --{name} is true or false, not {value!r}.", id="LN-2002"
                    )
            elif not equals:
                self.refuse(instruction, f"{instruction.name} --{name} needs a value.", id="LN-2002")
            found[name] = value
        return found


def one_line(instruction: DockerfileInstruction, width: int = 200) -> str:
    """The instruction for people, without the white space of continuation lines."""
    text = " ".join(instruction.original.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _unknown(word: Deferred) -> list[str]:
    """The variables of a deferred word that nothing known defines."""
    names = dict(word.known)
    seen: dict[str, None] = {}

    class Names(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            value = names.get(name)
            seen.update(dict.fromkeys(_unknown(value) if isinstance(value, Deferred) else [name]))
            return default

    with suppress(ValueError):
        word.finish(Names())
    return list(seen)
