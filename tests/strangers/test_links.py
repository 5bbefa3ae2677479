"""Symbolic links to the files that a build begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.context.uncommitted import find
from lineal.errors import BadConfiguration
from tests import servers
from tests.strangers.commits import checksums, copied, opened, planned, write
from tests.unit.git.modules import add, create

DOCKERFILE = "FROM scratch\nCOPY . /\n"
YAML = "project: shop\nimages:\n  app: {context: current, dockerfile: current/Dockerfile}\n"


@pytest.mark.parametrize(
    "links",
    [
        {"Dockerfile": "docker/real"},
        {"Dockerfile": "./docker/../docker//real"},
        {"Dockerfile": "one", "one": "docker/two", "docker/two": "../docker/real"},
        {"Dockerfile": "d/real", "d": "docker"},
        {"Dockerfile": "d/e/real", "d": "links", "links/e": "../docker"},
        {"dockerfile": "docker/real"},
    ],
)
def test_a_link_is_followed_inside_of_the_commit(repo: servers.Repository, links: dict[str, str]) -> None:
    write(repo, {"docker/real": DOCKERFILE, "a": "1"}, links)
    assert copied(opened(repo))["a"] == b"1"


@pytest.mark.parametrize(
    ("links", "says"),
    [
        (
            {"Dockerfile": "/etc/passwd"},
            "Dockerfile: is a symbolic link that leads to the absolute path '/etc/passwd'",
        ),
        ({"Dockerfile": "../repo/real"}, "Dockerfile: is a symbolic link that leads out of the commit"),
        ({"Dockerfile": "d/../../../x", "d": "docker"}, "d: is a symbolic link that leads out of the commit"),
        ({"Dockerfile": "b", "b": "Dockerfile"}, "Dockerfile: is a symbolic link that leads in a circle"),
        ({"Dockerfile": "Dockerfile"}, "Dockerfile: is a symbolic link that leads in a circle"),
        ({"Dockerfile": "d/x", "d": "d"}, "Dockerfile: is a symbolic link that leads in a circle"),
        ({"Dockerfile": "none"}, "Dockerfile: is a symbolic link to 'none', which the commit does not have"),
        ({"Dockerfile": "real/../real"}, "Dockerfile: is a symbolic link to 'real/real', which the commit"),
        (
            {".dockerignore": "/etc/x", "Dockerfile": "real"},
            ".dockerignore: is a symbolic link that leads to the abs",
        ),
        ({"lineal.yaml": "../x", "Dockerfile": "real"}, "lineal.yaml: is a symbolic link that leads out of the"),
        ({"lineal-giterminism.yaml": "../x", "Dockerfile": "real"}, "lineal-giterminism.yaml: is a symbolic link"),
    ],
)
def test_a_link_that_leaves_the_commit_is_refused(repo: servers.Repository, links: dict[str, str], says: str) -> None:
    write(repo, {"real": DOCKERFILE, "docker/a": "1"}, links)
    with pytest.raises(BadConfiguration) as refused:
        planned(opened(repo))
    assert str(refused.value).startswith(says)
    assert refused.value.id == "LN-2011"


def test_dockerignore_and_both_configurations_may_be_links(repo: servers.Repository) -> None:
    write(
        repo,
        {"conf/lineal.yaml": "project: x\nimages: {app: {}}\n", "conf/g.yaml": "submodules: {empty: [theme]}\n",
         ".gitignore": "*.log\n", "keep": "1", "Dockerfile": DOCKERFILE},
        {".dockerignore": ".gitignore", "lineal.yaml": "conf/lineal.yaml", "lineal-giterminism.yaml": "conf/g.yaml"},
    )  # fmt: skip
    repo.git("add", "--force", *_put(repo, {"a.log": "no"}))
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},theme")
    repo.commit()
    found = copied(opened(repo))
    assert "keep" in found and "a.log" not in found


@pytest.mark.parametrize("name", ["Dockerfile", "real"])
def test_the_dockerignore_of_a_linked_dockerfile_is_the_one_beside_its_own_name(
    repo: servers.Repository, name: str
) -> None:
    # As BuildKit takes it: the name that was asked for counts.
    write(repo, {"real": DOCKERFILE, f"{name}.dockerignore": "a\n", "a": "1"}, {"Dockerfile": "real"})
    assert ("a" in copied(opened(repo))) == (name == "real")


def test_a_context_may_be_a_link_or_lie_behind_one(repo: servers.Repository) -> None:
    files = {"releases/v1/Dockerfile": DOCKERFILE, "releases/v1/a": "1", "releases/v1/.dockerignore": "Dockerfile\n"}
    write(repo, {**files, "lineal.yaml": YAML}, {"current": "latest", "latest": "releases/v1"})
    assert copied(opened(repo)) == {"a": b"1", ".dockerignore": b"Dockerfile\n"}
    linked = checksums(opened(repo))
    repo.write({"lineal.yaml": YAML.replace("current", "releases/v1")})
    assert checksums(opened(repo)) == linked


def test_uncommitted_changes_of_links_and_of_what_they_lead_to_are_found(repo: servers.Repository) -> None:
    files = {"v1/Dockerfile": "FROM scratch\nCOPY a /\n", "v1/a": "1", "v1/unread": "1", "v2/a": "2"}
    write(repo, {**files, "lineal.yaml": YAML.replace("current/Dockerfile", "Dockerfile")},
          {"current": "v1", "Dockerfile": "link", "link": "current/Dockerfile"})  # fmt: skip

    def changed() -> set[str]:
        commit = opened(repo)
        graphs = planned(commit)
        return {change.path for change in find(commit, graphs.files, (), graphs.readings())}

    assert changed() == set()
    repo.put({"v1/Dockerfile": "changed", "v1/a": "changed", "v1/unread": "changed"})
    assert changed() == {"v1/Dockerfile", "v1/a"}
    for link in ("current", "link"):
        (repo.path / link).unlink()
        (repo.path / link).symlink_to("v2")
    assert changed() == {"v1/Dockerfile", "v1/a", "current", "link"}


def test_links_reach_into_submodules_and_out_of_them(tmp_path: Path) -> None:
    outer = create(tmp_path / "outer", {"real": DOCKERFILE, "a": "1"})
    inner = create(tmp_path / "inner", {"x": "1"})
    (inner.path / "up").symlink_to("../../real")
    inner.git("add", "up")
    inner.commit()
    add(outer, inner, "vendor/lib")
    (outer.path / "Dockerfile").symlink_to("lib/up")
    (outer.path / "lib").symlink_to("vendor/lib")
    outer.git("add", "Dockerfile", "lib")
    outer.commit()
    assert opened(outer).follow("Dockerfile").read == ("Dockerfile", "lib", "vendor/lib/up", "real")
    assert opened(outer).follow("lib").path == "vendor/lib"
    assert "a" in copied(opened(outer))


def test_a_deep_link_of_a_stranger_is_answered_at_once(repo: servers.Repository) -> None:
    deep = "a/" * 400
    target = deep + "../a/" * 400 + "x"
    write(repo, {f"{deep}x": "FROM scratch\n"}, {"Dockerfile": target})
    assert opened(repo).file("Dockerfile") == b"FROM scratch\n"


def test_docker_s_lower_case_name_counts_where_there_is_no_other(repo: servers.Repository) -> None:
    repo.write(
        {"dockerfile": DOCKERFILE, "api/dockerfile": DOCKERFILE, "api/dockerfile.dockerignore": "b", "api/b": ""}
    )
    assert "dockerfile" in copied(opened(repo))
    repo.write({"lineal.yaml": "project: x\nimages:\n  app: {context: api}\n  two: {dockerfile: api/Dockerfile}\n"})
    assert set(copied(opened(repo))) == {"dockerfile", "dockerfile.dockerignore"}
    repo.write({"api/Dockerfile": DOCKERFILE})
    assert "b" in copied(opened(repo))
    repo.write({"lineal.yaml": "project: x\nimages: {app: {dockerfile: api/Other}}\n", "api/other": DOCKERFILE})
    with pytest.raises(BadConfiguration, match="api/Other"):
        planned(opened(repo))


def _put(repo: servers.Repository, files: dict[str, str]) -> list[str]:
    repo.put(files)
    return list(files)
