"""`COPY` and `ADD`, parsed: what they copy, from where, and with which flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from posixpath import join
from typing import Any

from e2b_dockerfile_utils import DockerfileHeredoc, DockerfileInstruction, chomp_heredoc_content, parse_heredoc

from lineal.context.build_context import BuildContext
from lineal.context.chmod import Chmod
from lineal.context.glob import has_wildcards
from lineal.context.path_filter import PathFilter, split
from lineal.context.remote_source import Remote, parse
from lineal.context.tree import chown_number
from lineal.dockerfile.checksum import Inputs
from lineal.dockerfile.parser import Parser
from lineal.dockerfile.scope import Deferred, Scope, Word, canonical_word
from lineal.errors import BadConfiguration, Location

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
    `remotes`."""

    add: bool
    place: Location
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: Word
    source_stage: str | None = None
    chown: Word | None = None
    chmod: Chmod | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    unpack: bool | None = None
    """As written. Otherwise an `ADD` unpacks archives of the context."""
    remotes: tuple[tuple[str, Remote], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    """Those flags, as written, that only count where they are given."""

    def canonical(self) -> Inputs:
        chmod = self.chmod and (self.chmod.text if self.chmod.octal is None else self.chmod.octal)
        return {
            "instruction": "ADD" if self.add else "COPY",
            "sources": list(self.sources),
            "heredocs": [[heredoc.name, canonical_word(heredoc.content)] for heredoc in self.heredocs],
            "destination": canonical_word(self.destination),
            "chown": canonical_word(self.chown),
            "chmod": chmod,
            **({"flags": [list(flag) for flag in self.flags]} if self.flags else {}),
        }

    def history(self, finish: Callable[[Word], str]) -> str:
        """The instruction as BuildKit writes it into an image's history."""
        words = ["ADD" if self.add else "COPY", *(["--parents"] if self.parents else [])]
        chown = "" if self.chown is None else finish(self.chown)
        words += [f"--chown={chown}"] if chown else []
        words += [f"--chmod={self.chmod.text}"] if self.chmod else []
        words += [*self.sources, *(f"<<{heredoc.name}" for heredoc in self.heredocs), finish(self.destination)]
        return " ".join(words)

    def remote(self, source: str) -> Remote | None:
        return dict(self.remotes).get(source)

    def paths(self) -> tuple[str, ...]:
        """The sources in the context or in a stage: those that are not remote."""
        return tuple(source for source in self.sources if self.remote(source) is None)

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

    def __init__(self, parser: Parser, instruction: DockerfileInstruction, scope: Scope) -> None:
        self._parser = parser
        self._instruction = instruction
        self._scope = scope
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
        chmod = self._chmod()
        chown = (
            self._parser.expand(instruction, self._scope, self._flags["chown"]) if "chown" in self._flags else None
        )
        copy = CopyInstruction(
            add=self._add,
            place=self._parser.place(instruction),
            sources=tuple(sources),
            heredocs=tuple(heredocs),
            destination=self._parser.expand(instruction, self._scope, raw_destination),
            source_stage=self._origin(),
            chown=chown,
            chmod=chmod,
            # As in BuildKit, where `--chmod` switches `--link` off.
            link=self._flags.get("link") == "true" and chmod is None,
            parents=self._flags.get("parents") == "true",
            exclude=self._exclude(),
            unpack=_SWITCH.get(self._flags.get("unpack", "")),
        )
        remotes = self._remotes(copy)
        if "checksum" in self._flags and (len(sources) + len(heredocs) != 1 or not remotes):
            self._refuse("ADD --checksum is for exactly one source, a URL or a git repository.", id="LN-2002")
        return self._checked(replace(copy, remotes=remotes, flags=tuple(self._given(copy))))

    def _refuse(self, message: str, remedy: str | None = None, *, id: str) -> Any:
        self._parser.refuse(self._instruction, message, remedy, id=id)

    def _known(self, raw: str, what: str) -> str:
        return self._parser.known(self._instruction, self._scope, raw, what)

    def _sources(self, raw_sources: Iterable[str]) -> tuple[list[str], list[Heredoc]]:
        by_name = {heredoc.name: heredoc for heredoc in self._instruction.heredocs}
        sources, heredocs = [], []
        for raw in raw_sources:
            marker = None if self._instruction.json else parse_heredoc(raw)
            if marker is not None and marker.name in by_name:
                heredocs.append(self._heredoc(by_name[marker.name]))
            else:
                sources.append(self._known(raw, f"The source {raw!r}"))
        return sources, heredocs

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

    def _chmod(self) -> Chmod | None:
        if not self._flags.get("chmod"):
            return None
        text = self._known(self._flags["chmod"], "--chmod")
        try:
            return Chmod(text) if text else None
        except ValueError as error:
            self._refuse(f"--chmod={text} {error}.", id="LN-2002")
            raise AssertionError from error

    def _exclude(self) -> tuple[str, ...]:
        """As in BuildKit, variables in a pattern mean nothing."""
        given = [flag.partition("=") for flag in self._instruction.flags]
        return tuple(value for name, _, value in given if name == "--exclude")

    def _remotes(self, copy: CopyInstruction) -> tuple[tuple[str, Remote], ...]:
        checksum = self._known(self._flags.get("checksum", ""), "--checksum")
        keep = _SWITCH.get(self._flags.get("keep-git-dir", ""))
        found = []
        for source in copy.sources:
            try:
                remote = parse(source, checksum, keep)
            except ValueError as error:
                self._refuse(f"{self._instruction.name} of {source!r}: it {error}.",
                             "Download it in a RUN and check its digest there.", id="LN-2002")  # fmt: skip
            if remote is None:
                continue
            if not copy.add:
                self._refuse(
                    f"COPY of {source!r}, which is not a file of the context.", "Use ADD for it.", id="LN-2009"
                )
            found.append((source, remote))
        return tuple(found)

    def _given(self, copy: CopyInstruction) -> Iterable[tuple[str, str]]:
        for name in ("checksum", "keep-git-dir", "unpack"):
            if name in self._flags:
                yield name, self._known(self._flags[name], f"--{name}")
        for name in ("link", "parents"):
            if self._flags.get(name) == "true":
                yield name, "true"
        yield from (("exclude", pattern) for pattern in copy.exclude)

    def _checked(self, copy: CopyInstruction) -> CopyInstruction:
        try:
            for source in copy.paths():
                root, path_filter = copy.root(source)
                path_filter.check()
                if path_filter.include == "":
                    self._refuse(f"COPY --parents {source!r} names nothing below {root or '/'!r}.",
                                 "Write a path or a pattern there, such as `dir` or `**`.", id="LN-2002")  # fmt: skip
        except BadConfiguration as error:
            if error.place is None:
                self._refuse(error.message, error.remedy, id=error.id)
            raise
        linked = self._flags.get("link") == "true"
        if linked and isinstance(copy.chown, str) and not _numeric(copy.chown):
            self._refuse(f"--chown={copy.chown} has a name in it, and a layer made with --link knows no names.",
                         "Use numbers such as 1000:1000, or leave --link out.", id="LN-2003")  # fmt: skip
        if linked and isinstance(copy.chown, Deferred):
            self._refuse("--chown of a COPY --link uses a variable that only the base image defines.",
                         "Declare it with ARG or ENV, or leave --link out.", id="LN-2004")  # fmt: skip
        return copy


def identity_of_selected(context: BuildContext, root: str, path_filter: PathFilter) -> list[list[str]]:
    """(path, git mode, object id) of the entries below a directory of the context that the filter selects. A
    directory is an entry too: if none of its files is selected, it is copied empty."""
    rows = []
    for node, _ in path_filter.select(root, context.names().walk(root)):
        if node.kind == "directory":
            rows.append([node.path, "040000", ""])
        else:
            rows += [list(entry) for entry in context.identity(node.path)]
    return rows


def _numeric(chown: str) -> bool:
    return all(chown_number(part) is not None or not part for part in chown.split(":", 1))
