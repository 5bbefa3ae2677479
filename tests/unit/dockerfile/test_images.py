"""Which images are read, in which order, and from which files of the commit."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lineal.config.giterminism import Giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts
from lineal.dockerfile.copy import CopyInstruction
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.dockerfile.stage import closure
from lineal.errors import BadConfiguration, LinealError, Uncommitted
from lineal.git.commit import Commit
from tests import servers

SCRATCH = "FROM scratch\nCOPY . /\n"


def read(
    repo: servers.Repository, files: Mapping[str, str | bytes | None], *wanted: str, config: str | None = None
) -> ImageGraphs:
    repo.write(files)
    text = config or files["lineal.yaml"]
    assert isinstance(text, str)
    facts = GitFacts(repo.head(), "", "main", None)
    loaded = load(text, env=None, vars={}, git=facts, environ={}, giterminism=Giterminism())
    return read_images(Commit.open(repo.path, repo.environment()), loaded, wanted)


def copied(images: ImageGraphs, name: str) -> set[str]:
    """What a `COPY .` of the image would copy."""
    stage = next(stage for stage in closure([images.last[name]]) if isinstance(stage.op, CopyInstruction))
    assert stage.context is not None
    return {path for path, _, _ in stage.context.identity("")}


CHAIN = """
project: shop
images:
  web: {needs: {API: api, BASE: base}}
  api: {needs: {BASE: base}}
  lone: {}
  base: {}
"""


def test_what_is_needed_comes_first(repo: servers.Repository) -> None:
    images = read(repo, {"Dockerfile": "ARG API BASE\n" + SCRATCH, "lineal.yaml": CHAIN})
    assert list(images.last) == ["base", "api", "web", "lone"]


def test_only_wanted_images_and_what_they_need_are_read(repo: servers.Repository) -> None:
    assert list(read(repo, {"Dockerfile": "ARG API BASE\n" + SCRATCH, "lineal.yaml": CHAIN}, "api").last) == [
        "base",
        "api",
    ]
    assert list(read(repo, {}, "lone", "base", "lone", config=CHAIN).last) == ["lone", "base"]


REQUIRES = """
project: shop
images:
  api: {requires: [tests]}
  tests: {needs: {API: api, TOOLS: tools}, publish: false}
  tools: {requires: [lint]}
  lint: {}
  lone: {}
"""


def test_what_an_image_requires_is_read_with_it_and_so_on(repo: servers.Repository) -> None:
    files = {"Dockerfile": "ARG API TOOLS\n" + SCRATCH, "lineal.yaml": REQUIRES}
    assert list(read(repo, files, "api").last) == ["api", "tools", "tests", "lint"]
    assert set(read(repo, {}, "tests", config=REQUIRES).last) == {"api", "tools", "tests", "lint"}
    assert list(read(repo, {}, "lint", config=REQUIRES).last) == ["lint"]


def test_an_unwanted_image_may_be_broken(repo: servers.Repository) -> None:
    config = "project: shop\nimages:\n  good: {}\n  bad: {dockerfile: none}\n"
    assert list(read(repo, {"Dockerfile": SCRATCH, "lineal.yaml": config}, "good").last) == ["good"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("wbe", "Did you mean 'web'?"), ("nonsense", "It has web, api, lone, base."), ("", "It has web")],
)
def test_an_unknown_image_is_named_with_what_was_meant(repo: servers.Repository, name: str, remedy: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        read(repo, {"Dockerfile": "ARG API BASE\n" + SCRATCH, "lineal.yaml": CHAIN}, name)
    assert str(refused.value).startswith(f"There is no image {name!r} in lineal.yaml. {remedy}")


@pytest.mark.parametrize(
    ("settings", "file", "inside"),
    [
        ("{}", "Dockerfile", {"Dockerfile", "lineal.yaml", "api/a"}),
        ("{context: api}", "api/Dockerfile", {"Dockerfile", "a"}),
        ("{context: ./api/}", "api/Dockerfile", {"Dockerfile", "a"}),
        ("{context: api, dockerfile: docker/x.Dockerfile}", "docker/x.Dockerfile", {"a"}),
        (
            "{dockerfile: ./docker//x.Dockerfile}",
            "docker/x.Dockerfile",
            {"docker/x.Dockerfile", "lineal.yaml", "api/a"},
        ),
    ],
)
def test_where_the_dockerfile_is_and_what_its_context_holds(
    repo: servers.Repository, settings: str, file: str, inside: set[str]
) -> None:
    images = read(repo, {file: SCRATCH, "api/a": "1", "lineal.yaml": f"project: shop\nimages:\n  one: {settings}\n"})
    assert copied(images, "one") == inside
    assert file in images.files


CONFIG = "project: shop\nimages:\n  one: {context: api, dockerfile: docker/Dockerfile}\n"
CONTEXT: dict[str, str | bytes | None] = {"docker/Dockerfile": SCRATCH, "api/a": "1", "api/b": "1", "api/c": "1"}


def test_the_dockerignore_of_the_dockerfile_wins_over_that_of_the_context(repo: servers.Repository) -> None:
    files = CONTEXT | {"lineal.yaml": CONFIG}
    assert copied(read(repo, files), "one") == {"a", "b", "c"}
    assert copied(read(repo, {".dockerignore": "*"}, config=CONFIG), "one") == {"a", "b", "c"}
    images = read(repo, {"api/.dockerignore": "a\n.dockerignore"}, config=CONFIG)
    assert copied(images, "one") == {"b", "c"}
    assert images.files == {"docker/Dockerfile", "docker/Dockerfile.dockerignore", "api/.dockerignore"}
    images = read(repo, {"docker/Dockerfile.dockerignore": "b\n.*"}, config=CONFIG)
    assert copied(images, "one") == {"a", "c"}


def test_an_empty_dockerignore_of_the_dockerfile_wins_too(repo: servers.Repository) -> None:
    files = CONTEXT | {"api/.dockerignore": "*", "docker/Dockerfile.dockerignore": "", "lineal.yaml": CONFIG}
    assert copied(read(repo, files), "one") == {"a", "b", "c", ".dockerignore"}


def test_two_images_of_one_context_may_ignore_different_files(repo: servers.Repository) -> None:
    config = "project: shop\nimages:\n  one: {dockerfile: 1/Dockerfile}\n  two: {dockerfile: 2/Dockerfile}\n"
    ignores = {"1/Dockerfile.dockerignore": "*\n!a", "2/Dockerfile.dockerignore": "*\n!b"}
    files = {"1/Dockerfile": SCRATCH, "2/Dockerfile": SCRATCH, "a": "1", "b": "1"} | ignores
    images = read(repo, files, config=config)
    assert (copied(images, "one"), copied(images, "two")) == ({"a"}, {"b"})


@pytest.mark.parametrize("written", [True, False])
def test_a_dockerfile_that_the_commit_lacks(repo: servers.Repository, written: bool) -> None:
    repo.write({"api/a": "1"})
    if written:
        repo.put({"api/Dockerfile": SCRATCH, ".git/info/exclude": "api/Dockerfile"})
    with pytest.raises(LinealError) as refused:
        read(repo, {}, config="project: shop\nimages:\n  one: {context: api}\n")
    if written:
        assert str(refused.value).startswith(
            "lineal.yaml:3: images.one: The Dockerfile api/Dockerfile of image 'one' "
            "is in the working tree, and .git/info/exclude:1 (api/Dockerfile) keeps it out of the commit. "
            "Commit it with `git add --force`."
        )
    else:
        assert "does not exist in the commit. Write it, or name it with `dockerfile:`." in str(refused.value)
    assert isinstance(refused.value, Uncommitted if written else BadConfiguration)


@pytest.mark.parametrize("file", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"])
def test_a_file_that_is_no_text_is_refused(repo: servers.Repository, file: str) -> None:
    with pytest.raises(BadConfiguration, match=f"^{file}: is not UTF-8 text"):
        read(repo, {"Dockerfile": SCRATCH, file: b"\xff\xfe"}, config="project: shop\nimages: {one: {}}\n")


def test_a_byte_order_mark_is_no_part_of_the_text(repo: servers.Repository) -> None:
    files: dict[str, str | bytes | None] = {
        "Dockerfile": "\ufeff" + SCRATCH,
        ".dockerignore": "\ufeffa",
        "a": "1",
        "b": "1",
    }
    assert copied(read(repo, files, config="project: shop\nimages: {one: {}}\n"), "one") >= {"b"}
    assert "a" not in copied(read(repo, {}, config="project: shop\nimages: {one: {}}\n"), "one")


def test_the_working_tree_is_not_read(repo: servers.Repository) -> None:
    repo.write({"Dockerfile": SCRATCH, "a": "1"})
    repo.put({"Dockerfile": "nonsense", "new": "1", "a": None})
    repository = Commit.open(repo.path, repo.environment())
    config = "project: shop\nimages: {one: {}}\n"
    facts = GitFacts(repo.head(), "", "main", None)
    loaded = load(config, env=None, vars={}, git=facts, environ={}, giterminism=Giterminism())
    assert copied(read_images(repository, loaded), "one") == {"Dockerfile", "a"}


def test_the_readings_are_what_instructions_copy_and_mount(repo: servers.Repository) -> None:
    dockerfile = (
        "FROM scratch AS lib\nCOPY lib /lib\nFROM scratch\nCOPY src a.txt /\nADD x.tar /\n"
        "RUN --mount=type=bind,source=mounted,target=/m --mount=type=cache,target=/c true\n"
        "COPY --from=lib /from-stage /\n"
    )
    files: dict[str, str | bytes | None] = {f"{name}/f": "1" for name in ("lib", "src", "mounted", "other")}
    images = read(
        repo, files | {"Dockerfile": dockerfile, "a.txt": "1", "x.tar": "1"}, config="project: s\nimages: {o: {}}\n"
    )
    (reading,) = images.readings()
    assert {pattern.strip("/") for pattern in reading.patterns} == {"lib", "src", "a.txt", "x.tar", "mounted"}
    assert reading.covers("src/new") and not reading.covers("other/f")
