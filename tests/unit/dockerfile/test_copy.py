"""COPY and ADD as values: sources, heredocs and flags; and what is refused, with its line."""

from __future__ import annotations

import pytest

from lineal.context.chmod import Chmod
from lineal.context.remote_source import GitSource, HttpSource
from lineal.dockerfile.scope import Deferred, finish
from tests.unit.dockerfile.parts import FILES, copied, refusal
from tests.unit.stages.workbench import planned


def test_a_copy_has_sources_a_destination_and_flags() -> None:
    found = copied("COPY --chown=app:7 --chmod=750 a b /d/")
    assert (found.sources, found.destination, found.chown, found.chmod, found.add) == (
        ("a", "b"), "/d/", "app:7", Chmod("750"), False,
    )  # fmt: skip
    assert copied("ADD a /d/").add


@pytest.mark.parametrize("text", ['COPY ["with space", "/d/"]', 'COPY "with space" /d/', "COPY with\\ space /d/"])
def test_names_with_spaces(text: str) -> None:
    assert copied(text).sources == ("with space",)


def test_words_of_a_copy_are_expanded_where_they_stand() -> None:
    found = copied("ARG N=a U=7\nCOPY --chown=$U --chmod=0${U}55 $N $HOME/$N/")
    assert (found.sources, found.chown, found.chmod) == (("a",), "7", Chmod("0755"))
    assert isinstance(found.destination, Deferred)
    assert finish(found.destination, {"HOME": "/root"}) == "/root/a/"


def test_a_heredoc_is_a_file_and_is_expanded_unless_its_name_is_quoted() -> None:
    found = copied('ARG X=1\nCOPY <<one <<"two" a <<-three /d/\nis $X "$X" \\$X\none\nis $X\ntwo\n\ttab $X\nthree')
    assert found.sources == ("a",)
    assert [(heredoc.name, heredoc.content) for heredoc in found.heredocs] == [
        ("one", 'is 1 "1" $X\n'), ("two", "is $X\n"), ("three", "tab 1\n"),
    ]  # fmt: skip


def test_a_file_may_be_called_as_a_heredoc_elsewhere() -> None:
    assert copied("COPY EOF /d/").sources == ("EOF",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("COPY a", "at least one source and a destination"),
        ("COPY", "at least one source and a destination"),
        ("COPY --link=perhaps a /d", "--link is true or false"),
        ("COPY --link --chown=app a /d", "knows no names"),
        ("COPY --parents=true . /d", "names nothing below"),
        ("COPY --parents dir/nope /d", "'dir/nope': there is no such file"),
        ("COPY --exclude=[a . /d", "Invalid ignore pattern"),
        ("COPY https://example.com/a /d", "Use ADD for it"),
        ("COPY --chwon=1 a /d", "Did you mean --chown?"),
        ("COPY --chown a /d", "--chown needs a value"),
        ("COPY --chown=1 --chown=2 a /d", "given twice"),
        ("COPY --chmod=u+y a /d", "--chmod=u+y is neither an octal mode"),
        ("COPY --chmod=77777 a /d", "--chmod=77777 is neither an octal mode"),
        ("COPY $NOPE/x /d", "uses $NOPE, which the Dockerfile does not define"),
        ("COPY ${A:-$B}/x /d", "uses $A, $B, which"),
        ("COPY --from=$X a /d", "does not expand variables"),
        ("COPY --from=later a /d\nFROM x AS later\nFROM base:1\nCOPY --from=0 /a /d", "not a target above"),
        ("COPY --from=3 a /d", "not a target above"),
        ("COPY --from= a /d", "reference"),
        ("COPY --from=UP/../x a /d", "reference"),
        ("COPY nope /d", "there is no such file in the commit"),
        ("COPY [a-] /d", "malformed"),
        ("ADD git@example.com:x /d", "is reached with ssh"),
        ("ADD https://me:pass@example.com/x /d", "has a user name or password in it"),
        ("ADD --checksum=sha256:1 https://example.com/x /d", "has the --checksum 'sha256:1', which is no digest"),
        ("ADD --checksum=sha256:1 a /d", "for exactly one source, a URL or a git repository"),
        ("ADD --from=x a /d", "ADD --from is not supported"),
        ("COPY ${a /d", "failed to process"),
        ("COPY <<E /d\nnever ends", "unterminated heredoc"),
        ("COPY [\"a\", 1] /d", "malformed"),
        ("COPY [\"a\", 1]", "Only strings are supported in JSON arrays"),
    ],
)  # fmt: skip
def test_a_copy_that_cannot_be_done_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)


def test_flags_that_stand_alone_are_true() -> None:
    found = copied("COPY --link --parents --exclude=*.md --exclude=!a dir /d/")
    assert (found.link, found.parents, found.exclude, found.places()) == (True, True, ("*.md", "!a"), ("dir",))
    assert not copied("COPY --link=false a /d/").link
    assert not copied("COPY --link --chmod=600 a /d/").link, "as in BuildKit"


def test_flags_count_for_the_checksum_and_those_switched_off_do_not() -> None:
    plain = planned("FROM base:1\nCOPY dir /d/\n", FILES).checksum
    same = planned("FROM base:1\nCOPY --link=false --parents=False dir /d/\n", FILES).checksum
    others = [
        planned(f"FROM base:1\n{text}\n", FILES).checksum
        for text in ("COPY --link dir /d/", "COPY --parents dir /d/", "COPY --exclude=x dir /d/", "ADD dir /d/",
                     "ADD --unpack=false dir /d/", "COPY --chmod=u+x dir /d/")
    ]  # fmt: skip
    assert same == plain
    assert len({plain, *others}) == len(others) + 1


def test_what_is_excluded_does_not_count() -> None:
    def of(content: str, flags: str) -> str:
        files = {**FILES, "dir/out.md": content}
        return planned(f"FROM base:1\nCOPY {flags} dir /d/\n", files).checksum

    assert of("1", "--exclude=*.md") == of("2", "--exclude=*.md")
    assert of("1", "--exclude=out") != of("2", "--exclude=out")
    assert of("1", "--parents --exclude=**/*.md") == of("2", "--parents --exclude=**/*.md")


def test_remote_sources() -> None:
    digest = "sha256:" + "1" * 64
    assert copied(f"ARG D={digest}\nADD --checksum=$D https://example.com/v1/x%20y.tgz?z /d/").remotes == (
        ("https://example.com/v1/x%20y.tgz?z", HttpSource("https://example.com/v1/x%20y.tgz?z", "x y.tgz", digest)),
    )
    commit = "a" * 40
    ((_, found),) = copied(f"ADD --keep-git-dir https://example.com/r.git#{commit}:sub /d/").remotes
    assert found == GitSource("https://example.com/r.git", commit, commit, "sub", keep_git=True)


def test_a_wildcard_may_match_nothing_as_long_as_the_assembler_says_so() -> None:
    assert copied("COPY *.none a /d/").sources == ("*.none", "a")
