"""The part of reading that all instructions of a Dockerfile share: flags, expanded words, refusals with the line."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, NoReturn

from e2b_dockerfile_utils import DockerfileInstruction

from lineal.dockerfile.scope import Deferred, Missed, Scope, Word
from lineal.errors import BadConfiguration, Location
from lineal.progress import QUIET, Notes
from lineal.text import closest


class Parser:
    """Reads the flags and words of one Dockerfile. Raises `BadConfiguration` with file and line."""

    def __init__(self, file: str, notes: Notes = QUIET) -> None:
        self.file = file
        self.notes = notes
        self.before_from: Collection[str] = ()
        """The arguments that only FROM sees, as long as a target does not repeat them."""

    def place(self, instruction: DockerfileInstruction) -> Location:
        return Location(self.file, instruction.start_line)

    def refuse(
        self, instruction: DockerfileInstruction, message: str, remedy: str | None = None, *, id: str
    ) -> NoReturn:
        raise BadConfiguration(message, id=id, place=self.place(instruction), remedy=remedy)

    def expand(self, instruction: DockerfileInstruction, scope: Scope, raw: str, *, quotes: bool = True) -> Word:
        """The text of a word of a target, which may wait for the base image. A variable that is not there is empty,
        with docker's warning."""

        def missed(name: str) -> None:
            if name in self.before_from:
                base = " unless the base sets it" if scope.open else ""
                self._warn(instruction, f"`${name}` is not defined in this target, and empty{base} (UndefinedVar). "
                           f"Write `ARG {name}` after its FROM to use the value from before it.")  # fmt: skip
            elif not scope.open:
                self._warn(instruction, f"{undefined(name)}.")

        return self._expanded(instruction, scope, raw, quotes, missed)

    def known(self, instruction: DockerfileInstruction, scope: Scope, raw: str, what: str) -> str:
        """The text of a word that must be known before the base image is."""
        word = self._expanded(instruction, scope, raw, True, lambda _: None)
        if isinstance(word, Deferred):
            self._refuse_unknown(instruction, word, what)
        return word

    def assumed(
        self, instruction: DockerfileInstruction, scope: Scope, word: Word, there: Callable[[str], bool], what: str
    ) -> tuple[str, frozenset[str]]:
        """A path in the context, whose files are known before the base image is: the variables that only the base may
        have are taken for empty, as docker does when it has not, and are returned for the build to check. Refused
        where nothing is `there` then."""
        if isinstance(word, str):
            return word, frozenset()
        text = word.without_base()
        if text is None or not there(text) or word.waits & scope.variables.keys():
            self._refuse_unknown(instruction, word, what)
        for name in sorted(word.waits.difference(self.before_from)):
            self._warn(instruction, f"{undefined(name)}; a base that sets it is refused.")
        return text, word.waits

    def _expanded(
        self, instruction: DockerfileInstruction, scope: Scope, raw: str, quotes: bool, missed: Missed
    ) -> Word:
        try:
            return scope.expand(raw, quotes=quotes, missed=missed)
        except ValueError as error:
            self.refuse(instruction, f"{instruction.name}: {error}.", id="LN-2002")

    def _refuse_unknown(self, instruction: DockerfileInstruction, word: Deferred, what: str) -> NoReturn:
        names = _unknown(word)
        variables = ", ".join(f"${name}" for name in names)
        if self.before_from and all(name in self.before_from for name in names):
            self.refuse(
                instruction,
                f"{what} uses {variables}, which has a value only before the first FROM.",
                f"Write `ARG {' '.join(names)}` after the FROM of this target to use it here.",
                id="LN-2004",
            )
        args = ", ".join(f'{name}: "…"' for name in names)
        self.refuse(
            instruction,
            f"{what} uses {variables}, which the Dockerfile does not define before this line.",
            f"Give it a value: with ENV, a default of its ARG, or `args: {{{args}}}` in lineal.yaml. "
            "What only the base image defines is not known when checksums are made.",
            id="LN-2004",
        )

    def _warn(self, instruction: DockerfileInstruction, sentence: str) -> None:
        self.notes.warn(f"{self.place(instruction)}: {sentence}")

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
            if name in found and name not in ("mount", "device", "exclude"):
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


def undefined(name: str) -> str:
    """Docker's words for a variable that nothing defines."""
    return f"Usage of undefined variable `${name}`, which is empty (UndefinedVar)"


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
