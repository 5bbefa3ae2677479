"""The names of an image in a Docker Engine."""

from __future__ import annotations

import pytest

from lineal.oci.reference import whole_name
from lineal.publish.local_image import local_names


@pytest.mark.parametrize(("project", "image", "name"), [
    ("shop", "api", "shop-api"),
    ("shop", "shop", "shop"),
    ("shop", "web/api", "shop-web/api"),
    ("a..b", "c._d", "a-b-c-d"),
    ("a__b", "c--d", "a__b-c--d"),
    ("a", "b-/c", "a-b/c"),
])  # fmt: skip
def test_an_image_has_a_name_of_its_own_that_docker_takes(project: str, image: str, name: str) -> None:
    assert local_names(project, image, ["ghcr.io/acme/x:1"]) == (f"{name}:latest", "ghcr.io/acme/x:1")


def test_containerd_knows_it_by_its_whole_name() -> None:
    assert whole_name("app:latest") == "docker.io/library/app:latest"
    assert whole_name("web/api:latest") == "docker.io/web/api:latest"
    assert whole_name("localhost:5000/x:1") == "localhost:5000/x:1"
