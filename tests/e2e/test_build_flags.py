"""`lineal build` with the flags of `docker buildx build`, in a repository without a lineal.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Published, docker

pytestmark = [pytest.mark.engine, pytest.mark.registry]
FILES = {
    "docker/Dockerfile": "FROM scratch AS runtime\nARG A\nLABEL a=file b=file\nENV A=$A\nCOPY app /\n"
    "FROM runtime AS tests\nCOPY app /tests\n",
    "app": "1",
}
FLAGS = ("-f", "docker/Dockerfile", "--target", "runtime", "--build-arg", "A=1", "--platform", "linux/amd64")


@pytest.fixture
def app(repo: servers.Repository, lineal: Lineal, tmp_path: Path) -> Lineal:
    repo.write(FILES)
    lineal.env |= {"LINEAL_REPO": f"layout:{tmp_path}/store", **NOWHERE}
    return lineal


def test_what_is_pushed_is_what_the_flags_say(app: Lineal, repository: str) -> None:
    names = [f"{repository}:1.0", f"{repository}-two:latest"]
    tags = [word for name in names for word in ("-t", name)]
    labels = ("--label", "b=flag", "--label", "c=d e", "--annotation", "manifest:x=y")
    unneeded = ("--cache-from", "type=gha", "--cache-to=type=gha")
    pushed = app("build", *FLAGS, *tags, *labels, *unneeded, "--provenance=false", "--push", ".")
    assert pushed.code == 0, pushed.stderr
    reference = pushed.stdout.strip()
    assert reference.startswith(f"{repository}:1.0@sha256:")
    assert pushed.stderr.count("not needed") == 1 and "--cache-from and --cache-to are not needed" in pushed.stderr
    there = Published(repository)
    digest = reference.partition("@")[2]
    assert there.tags() == {"1.0": digest} and Published(f"{repository}-two").tags() == {"latest": digest}
    manifest = there.json(digest)
    config = there.json(manifest["config"]["digest"])["config"]
    assert config["Labels"] == {"a": "file", "b": "flag", "c": "d e"}
    assert "A=1" in config["Env"]
    assert len(manifest["layers"]) == 1
    assert manifest["annotations"]["x"] == "y"


def test_without_push_no_name_is_written_and_the_run_says_so(app: Lineal, repository: str) -> None:
    ran = app("build", *FLAGS, "-t", f"{repository}:1.0", ".")
    assert ran.code == 0 and "no --tag is written" in ran.stderr
    assert Published(repository).tags() == {}


def test_what_is_loaded_has_the_names_of_the_flags(app: Lineal, mark: str) -> None:
    del app.env["DOCKER_HOST"]
    name = f"lineal-test-{mark.encode().hex()[:12]}:dev"
    try:
        ran = app("build", *FLAGS, "-t", name, "-o", "type=docker", ".")
        assert ran.code == 0, ran.stderr
        (found,) = json.loads(docker("image", "inspect", name).stdout)
        assert found["RepoTags"] == [name] and "A=1" in found["Config"]["Env"]
    finally:
        docker("image", "rm", name, check=False)


def test_nobody_finds_what_was_built_without_a_cache(app: Lineal) -> None:
    first, anew, after = (app("build", *FLAGS, *more, ".") for more in ((), ("--no-cache",), ()))
    assert (first.code, anew.code) == (0, 0)
    assert first.stdout == after.stdout != anew.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--pull",), "--no-cache"),
        (("--no-cache-filter", "runtime"), "--no-cache-filter"),
        (("--network", "none"), "RUN --network=none"),
        (("--provenance", "mode=max"), "--provenance"),
        (("--sbom", "true"), "--push"),
        (("--attest", "type=provenance,disabled=true"), "--provenance"),
        (("--output", "type=image,push=true,compression=zstd"), "compression"),
        (("--call", "check"), "lineal plan"),
        (("--metadata-file", "x"), "--report"),
    ],
)
def test_a_flag_that_cannot_be_is_refused_with_the_way_to_say_it(
    app: Lineal, flags: tuple[str, ...], said: str
) -> None:
    ran = app("build", *flags, ".")
    assert ran.code == 3 and said in ran.stderr and "[LN-" in ran.stderr


def test_a_statement_is_beside_what_is_pushed_unless_it_is_switched_off(app: Lineal, repository: str) -> None:
    for flags, count in ((("--provenance=false", "--sbom=false"), 1), (("--provenance=true",), 2)):
        name = f"{repository}-{count}"
        assert app("build", *FLAGS, "-t", f"{name}:latest", "--push", *flags, ".").code == 0
        assert len(Published(name).tags()) == count


@pytest.mark.parametrize("flags", [("-f", "docker/Dockerfile"), ("-t", "app", "--push"), ("--no-cache",)])
def test_beside_a_lineal_yaml_they_are_refused(app: Lineal, repo: servers.Repository, flags: tuple[str, ...]) -> None:
    repo.write({"lineal.yaml": "project: shop\nimages: {app: {dockerfile: docker/Dockerfile}}\n"})
    ran = app("build", *flags)
    assert ran.code == 3 and "the commit has a lineal.yaml" in ran.stderr


def test_the_own_name_of_the_image_and_a_directory(app: Lineal, repo: servers.Repository) -> None:
    own = repo.path.name
    repo.write({"Dockerfile": "FROM scratch\nCOPY app /\n", f"{own}/Dockerfile": "FROM scratch\nCOPY x /\n",
                f"{own}/x": "2"})  # fmt: skip
    assert app("build", own).stdout == app("build").stdout.partition(" ")[2]
    assert app("build", f"./{own}").stdout != app("build", own).stdout
    plan = json.loads(app("plan", "--format", "json", "-f", "docker/Dockerfile", ".").stdout)
    assert [stage["instruction"] for stage in plan["stages"]] == ["COPY app /", "COPY app /tests"]


def test_several_platforms_are_one_name(app: Lineal, repository: str) -> None:
    both = ("--platform", "linux/amd64,linux/arm64", "--provenance=false")
    ran = app("build", "-f", "docker/Dockerfile", *both, "-t", f"{repository}:1.0", "--push", ".")
    assert ran.code == 0, ran.stderr
    there = Published(repository)
    index = there.json(there.tags()["1.0"])
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert ran.stdout == f"{repository}:1.0@{there.tags()['1.0']}\n"
