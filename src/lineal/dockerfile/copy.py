"""`COPY` and `ADD`, parsed: what they copy, from where, and with which flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from posixpath import join
from typing import NoReturn

from e2b_dockerfile_utils import DockerfileHeredoc, DockerfileInstruction, chomp_heredoc_content, parse_heredoc

from lineal.context.chmod import Chmod
from lineal.context.glob import has_wildcards
from lineal.context.path_filter import PathFilter, split
from lineal.context.remote_source import BadRemote, Remote, is_address, parse
from lineal.context.tree import chown_number
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.parser import Parser
from lineal.dockerfile.scope import Deferred, Scope, Word, canonical_word
from lineal.errors import BadConfiguration, Location
from lineal.value import dataclass

_COPY = ("from", "chown", "chmod", "link", "parents", "exclude")
_ADD = ("chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack")
_SWITCHES = ("link", "parents", "keep-git-dir", "unpack")
_SWITCH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Heredoc:
    """An inline file. `content` is expanded unless its terminator was quoted."""

    name: str
    content: Word


@dataclass(frozen=True, slots=True)
class CopyInstruction:
    """COPY or ADD. `sources` are paths in the context or in the stage named by `source_stage`, and the texts of
    `remotes`. What waits for the base image is in place once it is `finished`."""

    add: bool
    place: Location
    sources: tuple[Word, ...]
    heredocs: tuple[Heredoc, ...]
    destination: Word
    source_stage: str | None = None
    chown: Word | None = None
    chmod: Chmod | Deferred | None = None
    parents: bool = False
    exclude: tuple[str, ...] = ()
    unpack: bool | None = None
    """As written. Otherwise an `ADD` unpacks archives of the context."""
    remotes: tuple[tuple[str, Remote], ...] = ()
    flags: tuple[tuple[str, Word], ...] = ()
    """Those flags, as written, that only count where they are given."""
    unset: tuple[str, ...] = ()
    """The variables that are taken for empty in paths of the context: the base must not have them."""

    def canonical(self) -> Inputs:
        chmod = self.chmod
        if isinstance(chmod, Chmod):
            chmod_input = chmod.text if chmod.octal is None else chmod.octal
        else:
            chmod_input = canonical_word(chmod)
        return {
            "instruction": "ADD" if self.add else "COPY",
            "sources": [canonical_word(source) for source in self.sources],
            "heredocs": [[heredoc.name, canonical_word(heredoc.content)] for heredoc in self.heredocs],
            "destination": canonical_word(self.destination),
            "chown": canonical_word(self.chown),
            "chmod": chmod_input,
            **({"flags": [[name, canonical_word(value)] for name, value in self.flags]} if self.flags else {}),
            **({"unset": list(self.unset)} if self.unset else {}),
        }

    def finished(self, finish: Callable[[Word], str]) -> CopyInstruction:
        """The instruction once the base image is known. Raises `BadConfiguration` without a place."""
        chmod = self.chmod
        copy = replace(
            self,
            sources=tuple(finish(source) for source in self.sources),
            chown=None if self.chown is None else finish(self.chown),
            chmod=_chmod(finish(chmod)) if isinstance(chmod, Deferred) else chmod,
            flags=tuple((name, finish(value)) for name, value in self.flags),
        )
        return copy.checked()

    @property
    def link(self) -> bool:
        # As in BuildKit, where `--chmod` switches `--link` off.
        return self._links and self.chmod is None

    @property
    def _links(self) -> bool:
        return ("link", "true") in self.flags

    def checked(self) -> CopyInstruction:
        """With its `remotes`, as far as it is known. Raises `BadConfiguration` without a place."""
        remotes = self._remotes()
        checksum = dict(self.flags).get("checksum")
        waits = any(isinstance(word, Deferred) for word in (checksum, *self.sources))
        if checksum and not waits and (len(self.sources) + len(self.heredocs) != 1 or not remotes):
            message = "ADD --checksum is for exactly one source, a URL or a git repository."
            raise BadConfiguration(message, id="LN-2002")
        copy = replace(self, remotes=remotes)
        for source in copy.paths():
            root, path_filter = copy.root(source)
            path_filter.check()
            if path_filter.include == "":
                message = f"COPY --parents {source!r} names nothing below {root or '/'!r}."
                remedy = "Write a path or a pattern there, such as `dir` or `**`."
                raise BadConfiguration(message, id="LN-2002", remedy=remedy)
        if self._links and isinstance(self.chown, str) and not _numeric(self.chown):
            message = f"--chown={self.chown} has a name in it, and a layer made with --link knows no names."
            raise BadConfiguration(
                message, id="LN-2003", remedy="Use numbers such as 1000:1000, or leave --link out."
            )
        return copy

    def _remotes(self) -> tuple[tuple[str, Remote], ...]:
        flags = {name: value for name, value in self.flags if isinstance(value, str)}
        found = []
        for source in self.sources:
            if isinstance(source, Deferred):
                continue
            name = "ADD" if self.add else "COPY"
            try:
                remote = parse(source, flags.get("checksum", ""), _SWITCH.get(flags.get("keep-git-dir", "")))
            except BadRemote as error:
                message = f"{name} of {source!r}: it {error}."
                raise BadConfiguration(message, id="LN-2002", remedy=error.remedy) from None
            if remote is None:
                continue
            if not self.add:
                message = f"COPY of {source!r}, which is not a file of the context."
                raise BadConfiguration(message, id="LN-2009", remedy="Use ADD for it.")
            found.append((source, remote))
        return tuple(found)

    def history(self, finish: Callable[[Word], str]) -> str:
        """The instruction as BuildKit writes it into an image's history, once it is `finished`."""
        words = ["ADD" if self.add else "COPY", *(["--parents"] if self.parents else [])]
        words += [f"--chown={finish(self.chown)}"] if self.chown else []
        words += [f"--chmod={self.chmod.text}"] if isinstance(self.chmod, Chmod) else []
        words += [*map(finish, self.sources), *(f"<<{heredoc.name}" for heredoc in self.heredocs)]
        return " ".join([*words, finish(self.destination)])

    def remote(self, source: Word) -> Remote | None:
        return next((remote for text, remote in self.remotes if text == source), None)

    def paths(self) -> tuple[str, ...]:
        """The sources in the context or in a stage: those that are not remote, and known."""
        return tuple(one for one in self.sources if isinstance(one, str) and self.remote(one) is None)

    def places(self) -> tuple[str, ...]:
        """The patterns of all paths that are read. No file outside of them is copied."""
        return tuple(_fixed(*split(source)) if self.parents else source for source in self.paths())

    def root(self, source: str) -> tuple[str, PathFilter]:
        """The pattern of a source, and the filter for the directories that it matches."""
        root, include = split(source) if self.parents else (source, None)
        return root, PathFilter(include, self.exclude)


def _fixed(root: str, pattern: str) -> str:
    """The directory above everything that a pattern of `--parents` can match: wildcards in it may cross slashes."""
    parts = pattern.split("/")
    count = next((number for number, part in enumerate(parts) if has_wildcards(part)), len(parts))
    return join(root, *parts[:count]) or "/"


class CopyParser:
    """One instruction's words and flags in the scope that it sees. Raises `BadConfiguration` with its line."""

    def __init__(
        self, parser: Parser, instruction: DockerfileInstruction, scope: Scope, there: Callable[[str], bool],
        *, fixed: bool = False,
    ) -> None:  # fmt: skip
        self._parser = parser
        self._instruction = instruction
        self._scope = scope
        self._there = there
        self._fixed = fixed
        self._unset: set[str] = set()
        self._add = instruction.name == "ADD"
        self._flags = parser.flags(instruction, _ADD if self._add else _COPY, _SWITCHES)

    def parse(self) -> CopyInstruction:
        instruction = self._instruction
        if len(instruction.args) < 2:
            self._refuse(f"{instruction.name} needs at least one source and a destination.", id="LN-2002")
        *raw_sources, raw_destination = instruction.args
        if not instruction.json and parse_heredoc(raw_destination) is not None:
            self._refuse(f"A heredoc cannot be the destination of {instruction.name}.", id="LN-2002")
        sources, heredocs = self._sources(raw_sources)
        chmod = self._expand(self._flags.get("chmod", ""))
        exclude = self._exclude()
        copy = CopyInstruction(
            add=self._add,
            place=self._parser.place(instruction),
            sources=tuple(sources),
            heredocs=tuple(heredocs),
            destination=self._expand(raw_destination),
            source_stage=self._origin(),
            chown=self._expand(self._flags["chown"]) if "chown" in self._flags else None,
            parents=self._flags.get("parents") == "true",
            exclude=exclude,
            unpack=_SWITCH.get(self._flags.get("unpack", "")),
            flags=tuple(self._given(exclude)),
            unset=tuple(sorted(self._unset)),
        )
        try:
            return replace(copy, chmod=chmod if isinstance(chmod, Deferred) else _chmod(chmod)).checked()
        except BadConfiguration as error:
            self._refuse(error.message, error.remedy, id=error.id)

    def _refuse(self, message: str, remedy: str | None = None, *, id: str) -> NoReturn:
        self._parser.refuse(self._instruction, message, remedy, id=id)

    def _expand(self, raw: str) -> Word:
        return self._parser.expand(self._instruction, self._scope, raw)

    def _sources(self, raw_sources: Iterable[str]) -> tuple[list[Word], list[Heredoc]]:
        by_name = {heredoc.name: heredoc for heredoc in self._instruction.heredocs}
        sources: list[Word] = []
        heredocs: list[Heredoc] = []
        for raw in raw_sources:
            marker = None if self._instruction.json else parse_heredoc(raw)
            if marker is not None and marker.name in by_name:
                heredocs.append(self._heredoc(by_name[marker.name]))
            else:
                sources.append(self._source(raw))
        return sources, heredocs

    def _source(self, raw: str) -> Word:
        """The files of a stage or from elsewhere are fixed by that stage or by their text; those of the context have
        to be known."""
        word = self._expand(raw)
        text = word.without_base() if isinstance(word, Deferred) else word
        if (self._flags.get("from") and not self._fixed) or (self._add and is_address(text or raw)):
            return word
        what = f"The source {raw!r}"
        source, assumed = self._parser.assumed(self._instruction, self._scope, word, self._there, what)
        self._unset |= assumed
        return source

    def _heredoc(self, heredoc: DockerfileHeredoc) -> Heredoc:
        content = chomp_heredoc_content(heredoc.content) if heredoc.chomp else heredoc.content
        if heredoc.expand:
            return Heredoc(heredoc.name, self._parser.expand(self._instruction, self._scope, content, quotes=False))
        return Heredoc(heredoc.name, content)

    def _origin(self) -> str | None:
        origin = self._flags.get("from")
        if origin is not None and "$" in origin:
            self._refuse("COPY --from does not expand variables.",
                         "Define a target with `FROM ${NAME} AS name` and copy from that.", id="LN-2003")  # fmt: skip
        return origin

    def _exclude(self) -> tuple[str, ...]:
        """As in BuildKit, variables in a pattern mean nothing."""
        given = [flag.partition("=") for flag in self._instruction.flags]
        return tuple(value for name, _, value in given if name == "--exclude")

    def _given(self, exclude: Iterable[str]) -> Iterable[tuple[str, Word]]:
        if "checksum" in self._flags:
            yield "checksum", self._expand(self._flags["checksum"])
        for name in ("keep-git-dir", "unpack"):
            if name in self._flags:
                yield name, self._flags[name]
        for name in ("link", "parents"):
            if self._flags.get(name) == "true":
                yield name, "true"
        yield from (("exclude", pattern) for pattern in exclude)


def _chmod(text: str) -> Chmod | None:
    try:
        return Chmod(text) if text else None
    except ValueError as error:
        raise BadConfiguration(f"--chmod={text} {error}.", id="LN-2002") from None


def _numeric(chown: str) -> bool:
    return all(chown_number(part) is not None or not part for part in chown.split(":", 1))
