"""The scope of an instruction: `ARG` and `ENV`, shell, user and working directory, and how words expand in it.

Checksums are known before any network call (DESIGN G6), so a variable that only the base image may define is left
open: the word becomes `Deferred` and is finished when the parent's config is at hand."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from typing import Any

from e2b_dockerfile_utils import ShellLex

from lineal.dockerfile.checksum import checksum
from lineal.regex import regex
from lineal.value import dataclass

DEFAULT_SHELL = ("/bin/sh", "-c")
# What BuildKit gives an image that starts from scratch.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Usable in RUN without an ARG instruction (Dockerfile reference, "Predefined ARGs"). The job gives their values, and
# these are part of no checksum; what a commit says in an ARG or ENV of these names is.
PROXY_ARGS = frozenset(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)


_SPECIAL = "$'\"<"
"""The letters at which the lexer does more than go on."""
_DEEPEST = 8
"""Values of ARG that may wait for each other: each could double the one before."""
Missed = Callable[[str], None]
"""Takes the name of a variable that has no value, where a word uses it."""


def _ignore(_name: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Deferred:
    """A word that depends on the base image's environment: its text and the variables of it that are known."""

    raw: str
    known: tuple[tuple[str, Word], ...]
    escape: str
    quotes: bool = True
    argument: bool = field(default=False, compare=False)
    """The value of an ARG, which no image config holds: it is finished anew wherever it is used."""
    waits: frozenset[str] = field(default=frozenset(), compare=False)
    """The variables that the config of an image has to give."""
    depth: int = field(default=0, compare=False)
    """How many values of ARG are finished for it, one for the other."""
    identity: str = field(init=False, compare=False, repr=False)
    """Stands for the word in the words that use it, so that a long `ENV PATH=$PATH:...` chain stays flat."""

    def canonical(self) -> Any:
        known = {
            name: value if isinstance(value, str) else {"checksum": value.identity} for name, value in self.known
        }
        return {"word": self.raw, "escape": self.escape, "known": known}

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", checksum(self.canonical()))

    def finish(self, environment: Mapping[str, str], missed: Missed = _ignore) -> str:
        """`environment` is the config's as it is at the word's line: an open ENV has its final value there."""
        known = dict(self.known)

        class Finished(_Values):
            def find(self, name: str) -> str | None:
                value = known.get(name)
                if isinstance(value, Deferred):
                    value = value.finish(environment, missed) if value.argument else environment.get(name)
                elif value is None:
                    value = environment.get(name)
                if value is None:
                    missed(name)
                return value

        return _lex(self.escape, Finished(), skip_unset=False, quotes=self.quotes).process_word(self.raw)

    def without_base(self) -> str | None:
        """The text when the base image defines nothing; None for what then is an error."""
        with suppress(ValueError):
            return self.finish({})
        return None


Word = str | Deferred


def finish(word: Word, environment: Mapping[str, str], missed: Missed = _ignore) -> str:
    """The final text, given the environment of the parent's config."""
    return word if isinstance(word, str) else word.finish(environment, missed)


def canonical_word(word: Word | None) -> Any:
    return word.canonical() if isinstance(word, Deferred) else word


_MOST = 256 << 10
"""Letters that the variables of one word may have together. A few lines of `ENV A=$A$A` would fill any memory; the
kernel takes 128 KiB for a variable."""


class _Values(Mapping[str, str]):
    """The lexer only ever calls `get`."""

    _given = 0

    def find(self, name: str) -> str | None:
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        value = self.find(name)
        self._given += len(value or "")
        if self._given > _MOST:
            raise ValueError(f"its variables have more than the {_MOST >> 10} KiB that are the limit")
        return default if value is None else value

    def __getitem__(self, name: str) -> str:
        value = self.find(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _lex(escape: str, values: _Values, *, skip_unset: bool, quotes: bool) -> ShellLex:
    return ShellLex(escape, skip_process_quotes=not quotes, env=values, skip_unset_env=skip_unset)


# The few substitutions in which the lexer and BuildKit's come to different results. The first: of a pattern that is
# nothing but stars, once its variables are expanded, the lexer finds one more match, the empty one at the end.
_ODD = regex(
    r"""\$\{ \w+ (?: // (?: ['"] | \$\w+ | \$\{\w+\} )* \* (?: [*'"] | \$\w+ | \$\{\w+\} )* /
         | // [^\n]* (?: \\\$ | '[^'\n]*\$ )
         | [#%/] [^}\n]* '[^'\n]*\\ )""",
    re.VERBOSE,
)


def _refuse_odd(raw: str) -> None:
    if "${" in raw and _ODD.search(raw):
        raise ValueError(f"{raw!r} has a pattern that Lineal does not read as BuildKit does; write it more simply")


@dataclass(frozen=True, slots=True)
class Scope:
    """Immutable: every instruction gives the next one. `variables` holds ENV and ARG, the last one set wins."""

    escape: str = "\\"
    open: bool = True
    """Whether the base image may define variables that the Dockerfile does not mention."""
    variables: dict[str, Word] = field(default_factory=dict)
    env: dict[str, Word] = field(default_factory=dict)
    shell: tuple[str, ...] = DEFAULT_SHELL
    user: Word | None = None
    workdir: tuple[Word, ...] = ()
    """The words of all WORKDIRs so far. The first one is absolute when the base image's own does not matter."""
    onbuild: tuple[str, ...] = ()
    """The instructions that a target `FROM` this one begins with."""
    declared: frozenset[str] = frozenset()
    """The names of all ARGs, those without a value too."""

    @staticmethod
    def scratch(escape: str) -> Scope:
        path: dict[str, Word] = {"PATH": DEFAULT_PATH}
        return Scope(escape=escape, open=False, variables=dict(path), env=path, workdir=("/",))

    def inherited(self, escape: str, *, args: bool) -> Scope:
        """For a target `FROM` this one. Within a Dockerfile its `ARG`s go on, `ENV` before them (as in BuildKit);
        they end with the image."""
        variables = {**self.variables, **self.env} if args else dict(self.env)
        declared = self.declared if args else frozenset()
        return replace(self, escape=escape, variables=variables, onbuild=(), declared=declared)

    def expand(self, raw: str, *, quotes: bool = True, missed: Missed = _ignore) -> Word:
        """`missed` is told the variables without a value that no ARG declares. Raises ValueError for a bad
        substitution and for `${x:?message}`."""
        if not any(letter in raw for letter in (*_SPECIAL, self.escape)):
            return raw
        _refuse_odd(raw)
        seen: dict[str, Word | None] = {}
        variables = self.variables

        class Recorded(_Values):
            def find(self, name: str) -> str | None:
                value = seen[name] = variables.get(name)
                return value if isinstance(value, str) else None

        text: str = _lex(self.escape, Recorded(), skip_unset=True, quotes=quotes).process_word(raw)
        empty = [name for name, value in seen.items() if value is None]
        for name in empty:
            if name not in self.declared:
                missed(name)
        if any(isinstance(value, Deferred) for value in seen.values()) or (empty and self.open):
            return self._deferred(raw, quotes, seen)
        if empty:
            return _lex(self.escape, Recorded(), skip_unset=False, quotes=quotes).process_word(raw)
        return text

    def _deferred(self, raw: str, quotes: bool, seen: Mapping[str, Word | None]) -> Deferred:
        known = tuple(sorted((name, value) for name, value in seen.items() if value is not None))
        waits: frozenset[str] = frozenset()
        depth = 0
        for name, value in seen.items():
            if isinstance(value, Deferred) and value.argument:
                waits, depth = waits | value.waits, max(depth, value.depth + 1)
            elif not isinstance(value, str):
                waits |= {name}
        return Deferred(raw, known, self.escape, quotes, waits=waits, depth=depth)

    def with_env(self, pairs: Iterable[tuple[str, Word]]) -> Scope:
        new = dict(pairs)
        return replace(self, env={**self.env, **new}, variables={**self.variables, **new})

    def before_env(self, names: Collection[str]) -> tuple[Scope, frozenset[str]]:
        """For an ENV that sets these: ARGs that wait for what the base says in their place have to have their value
        now. They get the one that they have when the base says nothing, and the variables that it must not have are
        returned. Raises ValueError where that cannot be."""
        settled: dict[str, Word] = {}
        unset: frozenset[str] = frozenset()
        for name, value in self.variables.items():
            if isinstance(value, Deferred) and value.argument and name not in names and value.waits & set(names):
                text = value.without_base()
                if text is None or value.waits & self.env.keys():
                    raise ValueError(f"it replaces ${min(value.waits)}, for which the ARG {name} waits")
                settled[name], unset = text, unset | value.waits
        return replace(self, variables={**self.variables, **settled}), unset

    def with_arg(self, name: str, value: Word | None) -> Scope:
        """Raises ValueError for values that wait for each other without end."""
        scope = replace(self, declared=self.declared | {name})
        if value is None:
            return scope
        if isinstance(value, Deferred):
            if value.depth >= _DEEPEST:
                raise ValueError(f"the values of more than {_DEEPEST} ARGs wait for each other")
            value = replace(value, argument=True)
        return replace(scope, variables={**self.variables, name: value})

    def with_workdir(self, word: Word) -> Scope:
        absolute = isinstance(word, str) and word.startswith("/")
        return replace(self, workdir=(word,) if absolute else (*self.workdir, word))

    def canonical_workdir(self) -> Any:
        words = self.workdir
        if words and all(isinstance(word, str) for word in words) and str(words[0]).startswith("/"):
            return posixpath.normpath(posixpath.join(*[str(word) for word in words]))
        return ["base", *(canonical_word(word) for word in words)]

    def canonical_run(self) -> dict[str, Any]:
        """The part of a RUN's inputs that comes from its scope."""
        seen = self.variables.items()
        return {
            # An ENV of such a name counts where it stands.
            "env": {
                name: canonical_word(value)
                for name, value in seen
                if name not in PROXY_ARGS or self.env.get(name) != value
            },
            "shell": list(self.shell),
            "user": canonical_word(self.user),
            "workdir": self.canonical_workdir(),
        }
