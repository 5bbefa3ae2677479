"""Submodules that are not here, as actions/checkout leaves them by default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lineal.config.giterminism import load_giterminism
from lineal.context.uncommitted import find
from lineal.errors import BadConfiguration
from tests import servers
from tests.conftest import Lineal
from tests.strangers.commits import checksums, copied, opened, planned
from tests.unit.git.modules import add, create, pin

ALL = {"Dockerfile": "FROM scratch\nCOPY . /src/\n", "a": "1"}


def declare(repo: servers.Repository, pattern: str = "theme") -> None:
    repo.put({"lineal-giterminism.yaml": f"submodules: {{empty: [{pattern!r}]}}\n"})
    # `--all` would remove the submodules whose folders are not here.
    repo.git("add", "lineal-giterminism.yaml")
    repo.commit()


@pytest.mark.parametrize("path", ["theme", "web/the me", "tüv: {x}"])
def test_the_message_prints_the_line_that_helps(repo: servers.Repository, path: str) -> None:
    repo.write({**ALL, "web/a": "1"})
    pin(repo, path, "1" * 40)
    with pytest.raises(BadConfiguration) as refused:
        planned(opened(repo))
    line = re.search(r"lineal-giterminism\.yaml: `(.*)`", str(refused.value))
    assert line is not None and refused.value.id == "LN-3009"
    repo.put({"lineal-giterminism.yaml": line[1] + "\n"})
    repo.git("add", "lineal-giterminism.yaml")
    repo.commit()
    context = planned(opened(repo)).last["app"].context
    assert context is not None and (path, "040000", "") in context.identity("")


def test_one_line_names_all_of_them(repo: servers.Repository) -> None:
    repo.write(ALL)
    for path in ("theme", "web/other", "ignored"):
        pin(repo, path, "1" * 40)
    repo.put({".dockerignore": "ignored\n"})
    repo.git("add", ".dockerignore")
    repo.commit()
    with pytest.raises(BadConfiguration) as refused:
        planned(opened(repo))
    assert "The pinned commits of the submodules theme, web/other are not here." in str(refused.value)
    assert '`submodules: {empty: ["theme", "web/other"]}`' in str(refused.value)


def test_it_is_copied_as_an_empty_folder_as_docker_does(
    repo: servers.Repository, lineal: Lineal, tmp_path: Path
) -> None:
    repo.write(ALL)
    pin(repo, "theme", "1" * 40)
    declare(repo)
    assert lineal("build", f"--repo=layout:{tmp_path / 'store'}").code == 0
    context = planned(opened(repo)).last["app"].context
    assert context is not None
    assert [(node.path, node.kind, node.mode) for node in context.walk("") if "theme" in node.path] == [
        ("theme", "directory", 0o755)
    ]
    assert (context.children("theme"), context.identity("theme")) == ([], [])


def test_it_counts_as_empty_whether_it_is_here_or_not_and_whatever_is_pinned(tmp_path: Path) -> None:
    outer = create(tmp_path / "outer", ALL)
    inner = create(tmp_path / "inner", {"b": "1"})
    add(outer, inner, "theme")
    declare(outer)
    clone = outer.clone(tmp_path / "clone")
    assert checksums(opened(outer)) == checksums(opened(clone))
    assert "theme/b" not in copied(opened(outer))
    (outer.path / "theme/b").write_text("changed")
    servers.Repository(outer.path / "theme", outer.clock).write({"c": "new"})
    commit = opened(outer)
    graphs = planned(commit)
    assert find(commit, graphs.files, (), graphs.readings()) == []
    pinned = checksums(commit)
    outer.git("commit", "--all", "--quiet", "--no-gpg-sign", "-m", "Another one")
    assert checksums(opened(outer)) == pinned


def test_only_what_is_declared_counts_as_empty(repo: servers.Repository) -> None:
    repo.write({**ALL, "theme2/a": "1"})
    pin(repo, "theme", "1" * 40)
    pin(repo, "other", "1" * 40)
    declare(repo, "theme*")
    with pytest.raises(BadConfiguration, match="The submodule other is pinned"):
        planned(opened(repo))
    declare(repo, "**")
    assert copied(opened(repo))["theme2/a"] == b"1"
    repo.put({"theme2/a": "changed"})
    commit = opened(repo)
    graphs = planned(commit)
    assert [change.path for change in find(commit, graphs.files, (), graphs.readings())] == ["theme2/a"]


@pytest.mark.parametrize("instruction", ["COPY theme/css /x", "RUN --mount=target=/x,source=theme/css true"])
def test_a_source_in_it_says_so(repo: servers.Repository, instruction: str) -> None:
    repo.write({"Dockerfile": f"FROM busybox\n{instruction}\n"})
    pin(repo, "theme", "1" * 40)
    declare(repo)
    with pytest.raises(BadConfiguration, match=r"it is in a submodule that .* declares empty"):
        planned(opened(repo))


@pytest.mark.parametrize("pattern", ["/theme", "../theme", " "])
def test_a_path_outside_of_the_repository_is_refused(pattern: str) -> None:
    with pytest.raises(BadConfiguration, match=r"lineal-giterminism.yaml:1: submodules.empty\[0\]: A pattern must"):
        load_giterminism(f"submodules: {{empty: ['{pattern}']}}")
