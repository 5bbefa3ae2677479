from __future__ import annotations

import pytest

from lineal.config.giterminism import Giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration
from lineal.publish.publication import Publication, publications

STORE = "registry.example.com/acme/store"
GIT = GitFacts("c" * 40, "ccccccc", "main", None, "main")


def read(text: str) -> dict[str, Publication]:
    loaded = load(f"project: shop\n{text}", env=None, vars={}, git=GIT, environ={}, giterminism=Giterminism())
    return publications(loaded, GIT, STORE)


def names(found: Publication) -> list[str]:
    return [tag.name for tag in found.tags]


def test_without_publish_nothing_is_finished() -> None:
    assert read("images: {api: {}}\n") == {}


def test_an_image_goes_where_it_says_else_where_the_project_says_else_into_the_store() -> None:
    found = read("""images:
  api: {}
  web: {publish: {to: [other.example.com/web, "other.example.com/{{ image }}", docker.io/acme/web]}}
  bare: {publish: {to: [], tags: [""]}}
  tests: {publish: false}
publish:
  to: ["ghcr.io/acme/{{ image }}"]
  tags: [latest, "{{ git.branch }}", "{{ git.tag }}", latest]
""")
    assert set(found) == {"api", "web", "bare"}
    assert found["api"].repositories == ("ghcr.io/acme/api",)
    assert names(found["api"]) == ["latest", "main"]
    assert found["web"].repositories == ("other.example.com/web", "docker.io/acme/web")
    assert found["bare"].repositories == (STORE,)
    assert [tag.name for tag in found["bare"].tags_of("sha256:" + "a" * 64)] == ["image-aaaaaaaaaaaaaaaa"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadConfiguration) as raised:
        read("""images:
  api: {}
  web: {publish: {tags: ["a/b"]}}
publish:
  to: ["https://ghcr.io/acme", "ghcr.io/ACME/x", "ghcr.io/acme/x:1"]
  tags: ["-"]
""")
    lines = str(raised.value).splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "images.web.publish.tags[0]", "publish.to[0]", "publish.to[1]", "publish.to[2]", "publish.tags[0]",
    ]  # fmt: skip
    assert "lineal.yaml:6: publish.to[0]: The final repository 'https://ghcr.io/acme' starts with" in lines[1]


@pytest.mark.parametrize(
    "to",
    [
        "[ghcr.io/acme/shop]",
        "[docker.io/acme/shop]",
        "['layout:out/{{ project }}']",
        "[]",
        "['ghcr.io/acme/{{ image }}', ghcr.io/acme/all]",
    ],
)
def test_two_images_that_would_write_one_tag_are_refused(to: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        read(f"""images:
  api: {{}}
  web: {{publish: {{tags: [main, latest]}}}}
publish:
  to: {to}
  tags: ["{{{{ image | slug }}}}-1", latest]
""")
    assert "The images `api` and `web` would both be" in str(raised.value)
    assert raised.value.place is not None
    assert (raised.value.place.line, raised.value.place.key) == (4, "images.web.publish.tags")
    read(f"""images: {{api: {{}}, web: {{}}}}
publish:
  to: {to}
  tags: ["{{{{ image | slug }}}}-1"]
""")


def test_one_repository_is_one_however_it_is_spelt() -> None:
    with pytest.raises(BadConfiguration, match=r"would both be index.docker.io/acme/shop:latest"):
        read("""images:
  api: {publish: {to: [docker.io/acme/shop]}}
  web: {publish: {to: [index.docker.io/acme/shop]}}
publish: {tags: [latest]}
""")
