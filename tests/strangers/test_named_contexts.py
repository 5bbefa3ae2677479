"""`contexts:` of an image: what names stand for in FROM, COPY --from and mounts. What BuildKit makes of them, the
differential cases show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.template import GitFacts
from lineal.context.artifacts import Artifacts
from lineal.context.uncommitted import find
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.dockerfile.instructions import FromInstruction
from lineal.dockerfile.stage import closure
from lineal.errors import BadConfiguration, LinealError
from lineal.progress import QUIET, Notes
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import Project
from tests.strangers.commits import opened

COMMIT = "1" * 40
REPOSITORY = f"https://example.com/tools.git#{COMMIT}:bin"


def config(images: Mapping[str, Any]) -> str:
    return json.dumps({"project": "shop", "images": images})


def loaded(images: Mapping[str, Any]) -> LoadedProject:
    facts = GitFacts(COMMIT, COMMIT[:7], "main", None)
    return load(config(images), env=None, vars={}, git=facts, environ={}, giterminism=Giterminism())


def graphs(repo: servers.Repository, images: Mapping[str, Any], notes: Notes = QUIET) -> ImageGraphs:
    commit = opened(repo)
    exceptions = load_giterminism((commit.file("lineal-giterminism.yaml") or b"").decode())
    artifacts = Artifacts(exceptions.artifacts, commit)
    return read_images(commit, loaded(images), (), exceptions, notes, artifacts=artifacts)


def checksum(repo: servers.Repository, contexts: Mapping[str, Any], **more: Any) -> str:
    return graphs(repo, {"app": {"contexts": contexts, **more}}).last["app"].checksum


# --- directories --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "instruction",
    ["COPY --from=assets *.js /", "RUN --mount=from=assets,source=a.js,target=/a true", "COPY --from=assets a.js /"],
)
def test_of_a_directory_the_files_count_that_are_named(repo: servers.Repository, instruction: str) -> None:
    assets = {"assets": {"context": "web/dist"}}
    repo.write({"Dockerfile": f"FROM busybox\n{instruction}\n", "web/dist/a.js": "1", "web/dist/b.css": "1"})
    first = checksum(repo, assets)
    repo.write({"web/dist/b.css": "2", "other": "2"})
    assert checksum(repo, assets) == first
    repo.write({"elsewhere/a.js": "1"})
    assert checksum(repo, {"assets": {"context": "./elsewhere/"}}) == first
    repo.write({"web/dist/a.js": "2"})
    assert checksum(repo, assets) != first
    repo.put({"web/dist/a.js": "3", "web/dist/b.css": "3", "web/dist/c.js": "3"})
    found = graphs(repo, {"app": {"contexts": assets}})
    changes = {change.path for change in find(opened(repo), found.files, (), found.readings())}
    assert changes == {"web/dist/a.js"} | ({"web/dist/c.js"} if "*" in instruction else set())


def test_a_directory_counts_as_a_base_with_all_its_files(repo: servers.Repository) -> None:
    assets = {"assets": {"context": "assets"}}
    repo.write(
        {"Dockerfile": "FROM assets\nCOPY a /\n", "a": "1", "assets/x": "1", "assets/.dockerignore": "*.log\n"}
    )
    first = checksum(repo, assets)
    repo.write({"assets/y.log": "2"})
    assert checksum(repo, assets) == first
    repo.write({"assets/x": "2"})
    assert checksum(repo, assets) != first


def test_artifacts_are_in_a_directory_like_committed_files(repo: servers.Repository) -> None:
    assets = {"assets": {"context": "web/dist"}}
    declared = {"lineal-giterminism.yaml": "artifacts: [web/dist/**]\n", ".gitignore": "dist\n"}
    repo.write({"Dockerfile": "FROM scratch\nCOPY --from=assets . /\n", **declared})
    assert graphs(repo, {"app": {"contexts": assets}}).last["app"].unknown == ("web/dist/**",)
    repo.write({"Dockerfile": "FROM assets\nCOPY Dockerfile /\n"})
    assert graphs(repo, {"app": {"contexts": assets}}).last["app"].unknown == ("web/dist/**",)
    repo.put({"web/dist/app.js": "1"})
    first = checksum(repo, assets)
    assert not first.startswith("unknown")
    repo.put({"web/dist/app.js": "2"})
    assert checksum(repo, assets) != first


def test_a_directory_that_is_not_there_is_said_with_its_line(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY --from=assets . /\n"})
    with pytest.raises(LinealError) as refused:
        checksum(repo, {"assets": {"context": "web/dist"}})
    assert str(refused.value).startswith(
        "lineal.yaml:1: images.app.contexts.assets: The directory web/dist of the context 'assets' does not exist in "
        "the commit."
    )


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        (
            "FROM busybox\nCOPY --from=assets none /\n",
            "COPY 'none': there is no such file in the commit, below 'assets'",
        ),
        (
            "FROM busybox\nRUN --mount=from=assets,source=no,target=/m true\n",
            "RUN --mount 'no': there is no such file",
        ),
        ("FROM busybox\nRUN --mount=from=assets,source=$HERE,target=/m true\n", "only the base image may define"),
    ],
)
def test_a_source_that_is_not_in_a_directory(repo: servers.Repository, dockerfile: str, said: str) -> None:
    repo.write({"Dockerfile": dockerfile, "assets/a": "1"})
    with pytest.raises(BadConfiguration) as refused:
        checksum(repo, {"assets": {"context": "assets"}})
    assert said in str(refused.value) and "Dockerfile:2" in str(refused.value)


# --- images and repositories --------------------------------------------------------------------------------------


def test_an_image_counts_as_what_it_stands_for(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM tools\nCOPY --from=tools:latest a /\n", "plain/Dockerfile": "FROM golang:1.26\n"})
    repo.write({"plain/Dockerfile": "FROM golang:1.26\nCOPY --from=golang:1.26 a /\n"})
    plain = graphs(repo, {"app": {"context": "plain"}}).last["app"].checksum
    assert checksum(repo, {"tools": {"image": "golang:1.26"}}) == plain
    assert checksum(repo, {"docker.io/library/tools:latest": {"image": "golang:1.26"}}) == plain
    assert checksum(repo, {"tools": {"image": "golang:1.27"}}) != plain


def test_another_image_of_the_file_counts_as_its_own_checksum(repo: servers.Repository) -> None:
    repo.write({
        "Dockerfile": "FROM alpine AS build\nRUN false\nFROM tools\nCOPY --from=build /opt/a /a\nCOPY own /\n",
        "base/Dockerfile": "FROM debian\nENV A=b\nRUN make\n", "own": "1",
    })  # fmt: skip
    images = {
        "app": {"contexts": {"tools": {"needs": "base"}, "alpine": {"image": "debian"}, "build": {"needs": "base"}}},
        "base": {"context": "base"},
    }  # fmt: skip
    found = graphs(repo, images)
    chain = [stage.checksum for stage in closure([found.last["app"]])]
    assert found.last["base"].checksum in chain and list(found.last) == ["base", "app"]
    assert [stage for stage in closure([found.last["app"]]) if "RUN false" in stage.text] == []
    assert found.last["app"].scope.variables["A"] == "b"
    repo.write({"base/Dockerfile": "FROM debian\nENV A=c\nRUN make\n"})
    assert graphs(repo, images).last["app"].checksum != found.last["app"].checksum


def test_a_repository_counts_as_its_text_with_the_commit(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM scratch\nCOPY --from=tools /a /\nRUN --mount=from=tools,target=/t /t/run\n"})
    found = graphs(repo, {"app": {"contexts": {"tools": {"git": REPOSITORY}}}})
    (source,) = {id(one): one for stage in closure([found.last["app"]]) for one in stage.sources.values()}.values()
    assert source.text == f'ADD ["{REPOSITORY}", "/"]' and str(source.place).startswith("lineal.yaml")
    other = {"tools": {"git": REPOSITORY.replace("1", "2")}}
    assert checksum(repo, other) != found.last["app"].checksum


def test_without_contexts_a_name_is_what_it_was(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM tools\nCOPY Dockerfile /\n"})
    first = graphs(repo, {"app": {}}).last["app"]
    assert first.checksum == checksum(repo, {"other": {"image": "busybox"}})
    base = list(first.chain())[-1]
    assert isinstance(base.op, FromInstruction) and base.op.reference == "tools"


def test_one_that_nothing_uses_is_a_note(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": "FROM scratch AS empty\nCOPY --from=assets /a /\n", "assets/a": "1"})
    told: list[str] = []
    contexts = {"assets": {"context": "assets"}, "aset": {"context": "assets"}, "scrach": {"image": "busybox"}}
    graphs(repo, {"app": {"contexts": contexts}}, Notes(told.append, told.append))
    assert [note.split(": ")[1:] for note in told] == [
        ["images.app.contexts.aset", "Dockerfile has no FROM, COPY or mount of it."],
        ["images.app.contexts.scrach", "Dockerfile has no FROM, COPY or mount of it."],
    ]


def test_a_build_copies_from_all_kinds(repo: servers.Repository, lineal: Lineal, tmp_path: Any) -> None:
    repo.write({
        "lineal.yaml": config({
            "app": {"contexts": {"assets": {"context": "assets"}, "tools": {"needs": "tools"}}},
            "tools": {"context": "tools"},
        }),
        "Dockerfile": "FROM tools\nCOPY --from=assets --chown=3:4 . /web/\nCOPY --from=tools /bin/tool /again\n",
        "tools/Dockerfile": "FROM scratch\nCOPY tool /bin/\n", "tools/tool": "tool", "assets/x/y": "why",
    })  # fmt: skip
    project = Project(repo, lineal, f"layout:{tmp_path / 'store'}", tmp_path)
    digest = project.build().digests["app"]
    assert digest is not None
    assert project.contents.files(digest) == {"bin/tool": b"tool", "web/x/y": b"why", "again": b"tool"}
    assert project.build().made == []


# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contexts", "said"),
    [
        ({"a": {}}, "contexts.a: The context `a` has nothing. Give exactly one of"),
        ({"a": {"context": "x", "image": "y"}}, "The context `a` has `context` and `image`."),
        ({"a": {"contxt": "x"}}, "The key `contxt` is not known."),
        ({"a": "x"}, "The value must be a mapping"),
        ({"a": {"context": "../x"}}, "`../x` leaves the repository."),
        ({"a": {"context": "/x"}}, "`/x` is outside the repository."),
        ({"a": {"needs": "app2"}}, "There is no image `app2`."),
        ({"a": {"needs": "app"}}, "The images need each other in a circle: `app -> app`."),
        ({"a": {"image": "app"}}, "`app` is an image of this file. Write `needs: app`."),
        ({"a": {"image": "UPPER"}}, "its name must be lower case"),
        ({"A": {"image": "b"}}, "its name must be lower case"),
        ({"": {"image": "b"}}, "is not an image reference"),
        ({"scratch": {"image": "b"}}, "`scratch` always means what it is."),
        ({"context": {"image": "b"}}, "`context` always means what it is."),
        ({"a": {"image": "b"}, "docker.io/library/a:latest": {"image": "c"}}, "are the same name"),
        ({"a": {"git": "https://example.com/a.git"}}, "names no commit"),
        ({"a": {"git": "https://example.com/a.git#main"}}, "names no commit"),
        ({"a": {"git": f"https://example.com/a#{COMMIT}"}}, "is no git repository"),
        ({"a": {"git": f"https://me:pa55@example.com/a.git#{COMMIT}"}}, "has a user name or password in it"),
        ({"a": {"git": f"git@example.com:a.git#{COMMIT}"}}, "ssh"),
        ({"a": {"git": "tools"}}, "is no git repository"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(contexts: Mapping[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        loaded({"app": {"contexts": contexts}})
    assert said in str(refused.value) and "images.app.contexts" in str(refused.value)
    assert "pa55" not in str(refused.value)


def test_a_circle_of_both_kinds_is_found() -> None:
    with pytest.raises(BadConfiguration, match="in a circle"):
        loaded({"a": {"needs": {"B": "b"}}, "b": {"contexts": {"x": {"needs": "a"}}}})
