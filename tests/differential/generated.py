"""Random contexts, .dockerignore files and Dockerfiles, from few names, so that they meet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

Draw = st.DrawFn
# Each has something that one of the many pattern languages, the lexer or a tar could trip over.
NAMES = [
    "a", "b", "ab", "a.txt", ".hid", "two words", "é", "[x]", "s*r", "q?", "b\\s", "#c", "!n", "-d", "..d",
    "A", "$V",
]  # fmt: skip
TARGETS = [
    "a", "b", "../a", "..", ".", "/a", "/a/b", "a/", "./b", "../../..", "gone", "/etc/passwd", "é", "../b/a",
]  # fmt: skip
USERS = ["app", "app:staff", "1000", "7:8", "root", ":staff", "0:0", "nogroup", "1002"]
NUMBERS = ["1000", "7:8", "0:0", "1002", ":5"]
MODES = ["0755", "600", "4711", "0", "u+x", "g=u,o-r", "a+X", "go-rwx", "1777", "u=rwX,go=rX"]
MALFORMED = ["[]", "[a", "[^", "[b-a]", "[-]", "\\"]
PLACES = [
    "/", ".", "./", "..", "/x", "/x/", "x", "x/", "/x/y", "x/y/", "/srv", "/srv/", "/opt/www", "/opt/www/z",
    "/opt/up", "/lnk", "/lnk/", "/lnk/n", "/dang", "/dang/", "/bin/t", "/usr/bin", "/data", "/data/f",
    "/data/sub", "/data/f/", "/flink", "/h", "/h/z/", "/new/deep/", "/new/./deep", "/x/../y", "/sp/q",
    "/sp/q/r/", "/lib32", "/loop", "/opt/real", "/var/www/w/", "$V", "${V}/y", "/${U:-d}/", "two words",
    "/é/", "/a", "/a/", "/a.txt", "a/b",
]  # fmt: skip
IN_BASE = [
    "/opt", "/opt/", "/data", "/data/f", "/data/*", "/opt/*", "/lnk", "/lnk/", "/lnk/*", "/l*", "/dang",
    "/flink", "/home/app", "/h", "/opt/hard", "/capable", "/lib??", "/sp", "/sp/*/r", "/[a-d]*",
    "/etc/passwd", "/var", "/var/w*", "/loop", "/", "opt/real", "/gone", "/g*", "/lib32/../data", "/opt/up",
    "/opt/[^h]*", "/*/f", "/bin",
]  # fmt: skip


@dataclass(frozen=True)
class File:
    executable: bool = False
    link: str = ""

    def __str__(self) -> str:
        return f"-> {self.link}" if self.link else "executable" if self.executable else "file"


Files = dict[str, File]


@dataclass(frozen=True)
class Program:
    """A Dockerfile and its .dockerignore."""

    ignore: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def ignore_text(self) -> str:
        return "".join(f"{line}\n" for line in self.ignore)


@dataclass(frozen=True)
class Example:
    """Several programs for one context."""

    files: Files
    programs: tuple[Program, ...] = field(default=())

    def only(self, program: Program) -> Example:
        return Example(self.files, (program,))

    def smaller(self) -> Iterator[Example]:
        """The same, for its first program, with one thing less."""
        program = self.programs[0]
        for path in self.files:
            yield Example({other: file for other, file in self.files.items() if other != path}, (program,))
        for at in range(len(program.ignore)):
            yield Example(self.files, (replace(program, ignore=program.ignore[:at] + program.ignore[at + 1 :]),))
        for lines in _less(program.lines):
            yield Example(self.files, (replace(program, lines=lines),))

    def show(self) -> str:
        program = self.programs[0]
        lines = ["context:", *(f"  {path}: {entry}" for path, entry in sorted(self.files.items()))]
        lines += [".dockerignore:", *(f"  {line}" for line in program.ignore)] if program.ignore else []
        return "\n".join([*lines, "Dockerfile:", *(f"  {line}" for line in program.lines)])


def _less(lines: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for at, line in enumerate(lines):
        if line.startswith(("ARG BASE", "FROM")):
            continue
        yield lines[:at] + lines[at + 1 :]
        words = line.split(" ")
        for word in range(1, len(words) - 1):
            yield (*lines[:at], " ".join(words[:word] + words[word + 1 :]), *lines[at + 1 :])


# --- the context ----------------------------------------------------------------------------------------------------

_PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
_FILES = st.one_of(
    st.just(File()), st.just(File(executable=True)), st.sampled_from(TARGETS).map(lambda target: File(link=target))
)


def contexts() -> st.SearchStrategy[Files]:
    return st.dictionaries(_PATHS, _FILES, min_size=1, max_size=8).map(_without_files_in_files)


def _without_files_in_files(wanted: Files) -> Files:
    files: Files = {}
    for path in sorted(wanted):
        parts = path.split("/")
        if not any("/".join(parts[:end]) in files for end in range(1, len(parts))):
            files[path] = wanted[path]
    return files


# --- patterns -------------------------------------------------------------------------------------------------------


@st.composite
def patterns(draw: Draw, files: Files) -> str:
    """Mostly something that is there, or nearly."""
    path = draw(st.sampled_from(sorted({*_and_above(files), *NAMES[:4]})))
    text = "/".join(draw(_component(part)) for part in path.split("/"))
    if draw(st.integers(0, 150)) == 0:
        text += draw(st.sampled_from(MALFORMED))
    around = draw(st.sampled_from(["", "", "", "", "/", "./", "../", "a/../"]))
    return around + text + draw(st.sampled_from(["", "", "", "", "/", "/.", "/*", "/.."]))


def _component(name: str) -> st.SearchStrategy[str]:
    escaped = "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in name)
    return st.sampled_from(
        [
            name, name, escaped, escaped, "*", f"{name[0]}*", f"*{name[-1]}", f"?{name[1:]}",
            f"[{name[0]}-z]{name[1:]}",
            f"[^{name[0]}]*", f"[^x]{name[1:]}", "*.*", "[a-c]*", "**", name[:-1] + "?", "[!a]", "?*", "a*b", "*",
        ]
    )  # fmt: skip


def _and_above(files: Files) -> list[str]:
    return ["/".join(path.split("/")[:end]) for path in files for end in range(1, path.count("/") + 2)]


@st.composite
def ignores(draw: Draw, files: Files) -> tuple[str, ...]:
    return tuple(draw(st.lists(_ignore_lines(files), max_size=4)))


@st.composite
def _ignore_lines(draw: Draw, files: Files) -> str:
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.sampled_from(
                ["", "# a", " ", "!", "/", ".", "..", "!**", "*", "**", " #c", "\\#c", "!/", "**/", "\\!n"]
            )
        )
    front = draw(st.sampled_from(["", "", "", "!", "!", "**/", "!**/", "/", "!/", " ", "! ", "a/**/"]))
    return front + draw(patterns(files)) + draw(st.sampled_from(["", "", "", "/", "/**", "/**/a", " ", "**", "\r"]))


# --- Dockerfiles ----------------------------------------------------------------------------------------------------

_FRONT = ("ARG BASE", "FROM $BASE AS src", "COPY . /ctx/", "FROM $BASE")


@st.composite
def programs(draw: Draw, files: Files) -> Program:
    lines = draw(
        st.lists(st.one_of(_copies(files), _copies(files), _copies(files), _metadata()), min_size=1, max_size=3)
    )
    front = list(_FRONT) if any("--from=src" in line for line in lines) else [_FRONT[0], _FRONT[3]]
    if draw(st.integers(0, 7)) == 0:
        front[-1] = "FROM scratch"
    ignore = draw(ignores(files))
    if ignore and not any(line.startswith(("COPY", "ADD")) and "--from" not in line for line in lines):
        # BuildKit does not look at a .dockerignore that nothing needs.
        lines.append("COPY . /all/")
    return Program(ignore, (*front, *lines))


@st.composite
def _copies(draw: Draw, files: Files) -> str:
    add = draw(st.integers(0, 4)) == 0
    flags, inside = [], files
    origin = not add and draw(st.integers(0, 3)) == 0
    if origin:
        flags.append("--from=src")
    for flag, odds in (("link", 6), ("chown", 4), ("chmod", 4), ("parents", 4), ("exclude", 4), ("exclude", 6)):
        if (add and flag == "parents") or draw(st.integers(0, odds)):
            continue
        flags.append(_flag(draw, flag, flags, inside))
    sources = [draw(_sources(inside, origin=origin)) for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3])))]
    if "--parents" in flags and draw(st.booleans()):
        sources = [_pivoted(source) for source in sources]
    words = [*sources, draw(st.sampled_from(PLACES))]
    if any(" " in word or not word for word in words) or draw(st.integers(0, 3)) == 0:
        text = json.dumps(words, ensure_ascii=False)
    else:
        text = " ".join(words)
    return " ".join(["ADD" if add else "COPY", *flags, text])


def _flag(draw: Draw, name: str, flags: list[str], files: Files) -> str:
    if name in ("link", "parents"):
        return f"--{name}"
    if name == "exclude":
        pattern = draw(patterns(files)) + draw(st.sampled_from(["", "", "/**", "/"]))
        return "--exclude=" + draw(st.sampled_from(["", "", "**/", "!", "/"])) + pattern.replace(" ", "?")
    if name == "chmod":
        return "--chmod=" + draw(st.sampled_from(MODES))
    return "--chown=" + draw(st.sampled_from(NUMBERS if "--link" in flags else USERS))


def _sources(files: Files, *, origin: bool) -> st.SearchStrategy[str]:
    usual = st.one_of(st.just("."), patterns(files), patterns(files), patterns(files), patterns(files))
    if not origin:
        return usual.map(_escaped)
    return st.one_of(st.sampled_from(IN_BASE), usual.map(lambda source: _escaped(f"/ctx/{source}")))


def _pivoted(source: str) -> str:
    """Not behind a wildcard: which files BuildKit then has depends on what else it was sent."""
    first, slash, rest = source.partition("/")
    return source if any(letter in first for letter in "*?[") or not slash else f"{first}/./{rest}"


def _escaped(source: str) -> str:
    """For the lexer, which takes backslashes away once; some stay, to be something else."""
    return source.replace("\\", "\\\\") if "\\\\" not in source else source


def _metadata() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(
            ["/srv", "w", "/opt/www", "/new/w", "..", "/lnk/k", "$V", "/h/x", "/dang", "/data/f", "é"]
        ).map(lambda path: f"WORKDIR {path}"),
        st.sampled_from(
            ["V=/srv", "V=x", "V=a U=b", "V=", "U=${V:-é}", "V='$V'", "V=${FROM_BASE}", 'V="two words"']
        ).map(lambda pair: f"ENV {pair}"),
        st.sampled_from(["V", "V=/opt", "U=$V", "U"]).map(lambda pair: f"ARG {pair}"),
        st.sampled_from(USERS).map(lambda user: f"USER {user}"),
    )


@st.composite
def examples(draw: Draw, most: int) -> Example:
    files = draw(contexts())
    return Example(files, tuple(draw(st.lists(programs(files), min_size=1, max_size=most))))


# --- words ----------------------------------------------------------------------------------------------------------

VALUES = {"A": "a", "P": "/a/b.tar.gz", "E": "", "S": "two  words", "D": "a-b-a"}
_VARIABLES = [*VALUES, "N"]


def words(depth: int = 1) -> st.SearchStrategy[str]:
    """What can stand after `ENV X=`: text, quotes and substitutions in each other."""
    parts = [_TEXTS, _TEXTS, st.sampled_from(_VARIABLES).map(lambda name: f"${name}"), _substitutions(depth)]
    if depth:
        parts += [words(0).map(lambda word: f'"{word} "'), _TEXTS.map(lambda text: f"'{text}$A'")]
    return st.lists(st.one_of(parts), min_size=1, max_size=3).map("".join)


_TEXTS = st.sampled_from(
    ["a", "-", "/", "b", "é", ".", "\\\\", "\\$", "\\a", "$", "{", "}", "#", "%", "*", "?", ":", "\\ ", "$$"]
)
_GLOBS = st.lists(
    st.sampled_from(["a", "b", "/", ".", "*", "?", "**", "-", "\\*", "\\/", "$A", "[a]", "+"]), max_size=3
).map("".join)


def _substitutions(depth: int) -> st.SearchStrategy[str]:
    name, inner = st.sampled_from(_VARIABLES), words(depth - 1) if depth else st.sampled_from(["", "x", "$A", "a b"])
    simple = st.sampled_from([":-", "-", ":+", "+", ":?", "?"])
    cut = st.sampled_from(["#", "##", "%", "%%"])
    replaced = st.sampled_from(["/", "//"])
    return st.one_of(
        name.map(lambda one: f"${{{one}}}"),
        st.tuples(name, simple, inner).map(lambda t: f"${{{t[0]}{t[1]}{t[2]}}}"),
        st.tuples(name, cut, _GLOBS).map(lambda t: f"${{{t[0]}{t[1]}{t[2]}}}"),
        st.tuples(name, replaced, _GLOBS, st.sampled_from(["", "x", "$A", "/", "a b"])).map(
            lambda t: f"${{{t[0]}{t[1]}{t[2]}/{t[3]}}}"
        ),
    )


def word_program(*some: str) -> Program:
    """From scratch, so that every variable is known."""
    given = " ".join(f"{name}='{value}'" for name, value in VALUES.items())
    lines = [f'ENV R{number}="{word}"' if number % 2 else f"ENV R{number}={word}" for number, word in enumerate(some)]
    return Program((), ("FROM scratch", f"ENV {given}", *lines, "COPY a /"))
