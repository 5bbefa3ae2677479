"""URLs and git repositories as sources of `ADD`: read as BuildKit reads them, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.context.remote_source import GitSource, HttpSource, parse

COMMIT = "0123456789abcdef" * 2 + "01234567"
URL = "https://example.com/team/repo.git"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://example.com/a/b.tar.gz", "b.tar.gz"), ("http://example.com/a/?q=/x", "a"),
        ("https://example.com", "__unnamed__"), ("https://example.com/", "__unnamed__"),
        ("https://example.com/?x=/y", "__unnamed__"), ("https://example.com/a%20b#c", "a b"),
        ("https://example.com/a%2Fb", "b"), ("https://example.com/x.git/y", "y"), ("HTTPS://example.com/z", "z"),
    ],
)  # fmt: skip
def test_a_download_is_called_by_the_path(text: str, name: str) -> None:
    assert parse(text) == HttpSource(text, name)


@pytest.mark.parametrize("text", ["a", "a.git", "./https://x", "ftp://x/y", "dir:sub", "C:/x", "github.com/a/b", ""])
def test_other_texts_are_paths(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{URL}#{COMMIT}", GitSource(URL, COMMIT, COMMIT)),
        (f"{URL}#{COMMIT}:a/b", GitSource(URL, COMMIT, COMMIT, "a/b")),
        (f"{URL}#:a/", GitSource(URL, "", "", "a")),
        (f"{URL}?ref={COMMIT}&subdir=a&submodules=false", GitSource(URL, COMMIT, COMMIT, "a", submodules=False)),
        (f"{URL}?tag=v1&checksum={COMMIT}", GitSource(URL, "refs/tags/v1", COMMIT)),
        (f"{URL}?branch=main&keep-git-dir", GitSource(URL, "refs/heads/main", keep_git=True)),
        ("git://example.com/x#main", GitSource("git://example.com/x", "main")),
        (URL, GitSource(URL)),
    ],
)
def test_a_repository_has_a_ref_and_a_folder(text: str, wanted: GitSource) -> None:
    assert parse(text) == wanted
    assert wanted.pinned == (COMMIT in text)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("git@example.com:x.git", {}, "ssh"),
        ("ssh://git@example.com/x.git", {}, "ssh"),
        ("https://token@example.com/x", {}, "user name or password"),
        ("https:///x", {}, "no host"),
        ("https://example.com/x", {"checksum": "md5:1"}, "which is no digest"),
        ("https://example.com/x", {"checksum": "sha256:" + "A" * 64}, "which is no digest"),
        (f"{URL}#{COMMIT}", {"checksum": "f" * 40}, "another one"),
        (f"{URL}#main", {"checksum": "abcdef0"}, "no full commit id"),
        (f"{URL}?ref=a#b", {}, "two values"),
        (f"{URL}?nope=1", {}, "not known: 'nope'"),
        (f"{URL}?ref=a&ref=b", {}, "twice"),
        (f"{URL}?submodules=maybe", {}, "neither true nor false"),
        (f"{URL}?keep-git-dir=0", {"keep_git": True}, "both"),
        (f"{URL}#{COMMIT}:../x", {}, "out of the repository"),
        (f"{URL}#--upload-pack=x", {}, "out of the repository"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text, **options)  # type: ignore[arg-type]


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_is_a_source_or_refused(rest: str) -> None:
    for start in ("https://h/", "https://h/x.git", "git://", ""):
        try:
            parse(start + rest)
        except ValueError as error:
            assert str(error)
