"""werf.yaml and skaffold.yaml: which of their images have a Dockerfile, and what of it is known."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lineal.init import skaffold, werf
from lineal.init.build import UNKNOWN


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def test_paths_of_werf_are_seen_from_the_context_and_platforms_are_kept() -> None:
    image = "image: ~\ncontext: app\ndockerfile: docker/Dockerfile\nplatform: [linux/arm64]\n"
    text = f"project: x\nconfigVersion: 1\n---\n{image}"
    (found,) = werf.builds("sub/werf.yaml", documents(text))
    assert (found.dockerfile, found.context, found.name) == ("sub/app/docker/Dockerfile", "sub/app", "")
    assert found.platforms == ("linux/arm64",)


def test_images_that_werf_makes_itself_have_no_dockerfile() -> None:
    assert not list(werf.builds("werf.yaml", documents("image: a\nfrom: alpine\nshell: {install: [x]}\n")))


def test_what_skaffold_knows_when_it_runs_is_unknown() -> None:
    text = """
build:
  platforms: [linux/amd64]
  artifacts:
  - image: api
    kaniko: {dockerfile: Containerfile, buildArgs: {COMMIT: "{{.IMAGE_TAG}}", DEBUG: true}}
  - {image: web, context: web, jib: {}}
"""
    (found,) = skaffold.builds("skaffold.yaml", documents(text))
    assert (found.dockerfile, found.context, found.name) == ("Containerfile", ".", "api")
    assert found.args == {"COMMIT": UNKNOWN, "DEBUG": "true"}
    assert found.platforms == ("linux/amd64",)


ODD = ["[]", "build: 1", "build: {artifacts: [1, {context: /etc}, {context: {}}]}", "dockerfile: 1",
       "{dockerfile: ../../x, context: ..}", "{dockerfile: x, args: [1], target: {}}"]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_what_is_neither_is_passed_over(text: str) -> None:
    for read in (werf.builds, skaffold.builds):
        assert all(not one.dockerfile.startswith("..") for one in read("x.yaml", documents(text)))
