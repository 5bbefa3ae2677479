"""`.dockerignore` against the library's matcher, which asks the same question path by path."""

from __future__ import annotations

import subprocess
import sys
from posixpath import normpath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineal.context.dockerignore import Ignore
from lineal.errors import BadConfiguration

_NAMES = st.sampled_from(["a", "b", "ab", "src", "x.log", "y.txt", "node_modules", "é", "a b"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)
_PIECES = st.sampled_from(
    ["a", "b", "src", "*", "**", "*.log", "x.*", "?", "[ab]", "[^b]", "a[^b]b", "\\a", "**.log", "a**", "..", "."]
)
_PATTERNS = (
    st.tuples(
        st.sampled_from(["", "!", "/", "!/", "! ", "  "]), st.lists(_PIECES, min_size=1, max_size=3).map("/".join)
    )
    .map("".join)
    .filter(lambda text: not text.startswith("!/") or normpath(text[1:]).strip("/"))
)  # '!/' is refused


def tree(paths: list[str]) -> tuple[set[str], set[str]]:
    """Files and directories of a tree that can exist: a path that others go through is a directory."""
    files = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
    folders = {"/".join(file.split("/")[:depth]) for file in files for depth in range(1, file.count("/") + 1)}
    return files, folders


def kept(ignore: Ignore, files: set[str], folders: set[str]) -> set[str]:
    entries = sorted([(path, "040000", "") for path in folders] + [(path, "100644", "") for path in files])
    return {path for path, _, _ in ignore.keep(iter(entries))}


@settings(max_examples=400, deadline=None)
@example(paths=["a/b"], patterns=["a[^x]b"])
@example(paths=["a/a/src"], patterns=["a", "!a/a", "a/a/src"])
@example(paths=["a/b/src", "a/b/x.log"], patterns=["a", "!a/b/src"])
@given(paths=st.lists(_PATHS, max_size=12), patterns=st.lists(_PATTERNS, max_size=5))
def test_the_same_files_stay_as_when_each_is_matched_alone(paths: list[str], patterns: list[str]) -> None:
    files, folders = tree(paths)
    ignore = Ignore("\n".join(patterns), file=".dockerignore")
    found = kept(ignore, files, folders)
    wanted = {path for path in files if not ignore.excludes(path)}
    assert found & files == wanted
    # A directory stays when it is not excluded itself, and when something in it stays.
    wanted |= {path for path in folders if not ignore.excludes(path)}
    assert found & folders == {
        path for path in folders if any(other == path or other.startswith(path + "/") for other in wanted)
    }


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("# a comment\n\n  \n", {"a", "b", "x\x0cy"}),
        ("\ufeffa\n", {"b", "x\x0cy"}),
        ("a\r\nb\r\n", {"x\x0cy"}),
        ("*\n!b", {"b"}),
        ("!b\n*", set()),
        # Only a line feed ends a line: the other characters that Python takes for line ends are part of a name.
        ("x\x0cy", {"a", "b"}),
        ("a\x0cb", {"a", "b", "x\x0cy"}),
    ],
)
def test_lines_are_read_as_docker_reads_them(text: str, stays: set[str]) -> None:
    assert kept(Ignore(text, file="i"), {"a", "b", "x\x0cy"}, set()) == stays


def test_an_excluded_directory_with_nothing_in_it_is_gone_and_one_emptied_by_patterns_stays() -> None:
    assert kept(Ignore("gone\nemptied/*", file="i"), {"gone/a", "emptied/a"}, {"gone", "emptied"}) == {"emptied"}


@pytest.mark.parametrize("line", ["[", "a[b", "!", "a\\"])
def test_a_malformed_line_is_named_with_its_file(line: str) -> None:
    with pytest.raises(BadConfiguration, match=r"^api/\.dockerignore: ") as refused:
        Ignore(f"fine\n{line}\n", file="api/.dockerignore")
    assert line in str(refused.value)


@pytest.mark.parametrize("line", ["!/", "!//", "!/..", " !/ "])
def test_an_exception_for_the_root_is_refused_as_by_buildkit(line: str) -> None:
    with pytest.raises(BadConfiguration, match="takes nothing back"):
        Ignore(f"a\n{line}\n", file=".dockerignore")


def test_an_odd_set_of_characters_makes_python_say_nothing() -> None:
    """Python warns of `[[`, and its warnings went to users. In a process of its own: pytest has other filters."""
    program = "from lineal.context.patterns import pattern_matcher; pattern_matcher(['a[[]b', '[a&&b]']).matches('x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
