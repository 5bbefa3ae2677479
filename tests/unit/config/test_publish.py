"""`publish:` of lineal.yaml: what may depend on the commit and on the image, and what is left out."""

from __future__ import annotations

import pytest

from lineal.config.deferred import for_image
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.publish import Publish, publish_of
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration

BRANCH = GitFacts("c" * 40, "ccccccc", "feature/x", None, "main")
TAG = GitFacts("c" * 40, "ccccccc", None, "v1.2.3", "main")
MAIN = GitFacts("c" * 40, "ccccccc", "main", None, "main")
HEAD = "project: shop\nimages: {api: {}, team/web: {}}\n"


def loaded(text: str, git: GitFacts = BRANCH, env: str | None = None) -> LoadedProject:
    return load(HEAD + text, env=env, vars={"v": "1"}, git=git, environ={}, giterminism=Giterminism())


def tags(template: str, git: GitFacts) -> list[str]:
    publish = loaded(f'publish: {{tags: ["{template}"]}}\n', git).project.publish
    assert publish is not None
    return [tag for tag in publish.tags or [] if tag]


@pytest.mark.parametrize(
    "template, on_branch, on_tag, on_main",
    [
        ("{{ git.tag | semver('{major}.{minor}.{patch}') }}", [], ["1.2.3"], []),
        ("v{{ git.tag | semver('{major}') }}", [], ["v1"], []),
        ("{{ git.tag }}", [], ["v1.2.3"], []),
        ("{{ git.tag | replace('v', '') }}-x", [], ["1.2.3-x"], []),
        ("{{ git.tag | lower | upper | trim | string }}", [], ["V1.2.3"], []),
        ("{{ git.branch | slug }}", ["feature-x"], [], ["main"]),
        ("{{ git.branch | slug }}-{{ git.short }}", ["feature-x-ccccccc"], [], ["main-ccccccc"]),
        ("{{ 'latest' if git.is_default_branch }}", [], [], ["latest"]),
        ("x{{ '-main' if git.is_default_branch }}", ["x"], ["x"], ["x-main"]),
        ("{% if git.tag %}{{ git.tag }}{% endif %}", [], ["v1.2.3"], []),
        ("{{ git.tag or '' }}", [], ["v1.2.3"], []),
        ("sha-{{ git.short }}", ["sha-ccccccc"], ["sha-ccccccc"], ["sha-ccccccc"]),
        ("{{ git.default_branch }}", ["main"], ["main"], ["main"]),
    ],
)
def test_a_tag_without_its_value_is_left_out(
    template: str, on_branch: list[str], on_tag: list[str], on_main: list[str]
) -> None:
    assert [tags(template, git) for git in (BRANCH, TAG, MAIN)] == [on_branch, on_tag, on_main]


def test_the_merge_of_a_pull_request_is_of_no_branch() -> None:
    """Not of the default branch either, when that is merged into another one."""
    merge = GitFacts("c" * 40, "ccccccc", "main", None, "main", _merged=True)
    assert tags("{{ 'latest' if git.is_default_branch }}", merge) == []
    with pytest.raises(BadConfiguration):
        tags("{{ git._merged }}", merge)


def test_names_of_images_and_project_are_put_in() -> None:
    text = """publish:
  to: ["ghcr.io/{{ project }}/{{ image }}", "{{ 'docker.io/acme/x' if git.tag }}"]
  tags: ["{{ image | slug }}-1"]
  annotations: {title: "{{ image }} of {{ project | slug }}", version: "{{ git.tag }}"}
"""
    publish = loaded(text).project.publish
    assert publish is not None
    assert [for_image(text, "team/web") for text in publish.to or []] == ["ghcr.io/shop/team/web", ""]
    assert [for_image(text, "team/web") for text in publish.tags or []] == ["team-web-1"]
    assert publish.annotations["version"] == ""
    assert for_image(publish.annotations["title"], "api") == "api of shop"


@pytest.mark.parametrize(
    "text, line, sentence",
    [
        ("repo: '{{ git.tag }}'\n", 3, "repo: An expression has no value."),
        ("repo: 'x{{ git.tag | semver }}'\n", 3, "repo: An expression has no value."),
        ("repo: 'ghcr.io/{{ image }}'\n", 3, "repo: `image` and `project` are known under `publish` only."),
        ("'{{ project }}': 1\n", 3, "`image` and `project` are known under `publish` only."),
        ("publish: {'{{ git.tag }}': []}\n", 3, "An expression has no value."),
        ("publish:\n  tags: ['{{ image | upper }}']\n", 4, "The template uses `image`, which is not defined."),
        (
            "publish:\n  tags: [\"{{ 'x' if image == 'api' }}\"]\n",
            4,
            "The template uses `image`, which is not defined.",
        ),
        ("publish:\n  tags: ['{{ env }}']\n", 4, "publish.tags[0]: The value depends on the environment"),
        ("publish:\n  tags: ['{{ env | slug }}']\n", 4, "The template uses `env`, which is not defined."),
        ("publish:\n  tags: ['{{ git.tga }}']\n", 4, "The template uses `git.tga`, which is not defined."),
        ("publish:\n  tags: [\"{{ git.tag | semver('{day}') }}\"]\n", 4, "no {day}"),
        ("publish:\n  tag: [x]\n", 4, "publish.tag: The key `tag` is not known. Did you mean `tags`?"),
        ("publish:\n  labels: {}\n", 4, "publish.labels: The key `labels` is not known."),
        ("publish:\n  tags: [1.2]\n", 4, "publish.tags[0]: The value must be text"),
        ("publish: true\n", 3, "publish: The value must be a mapping"),
        ("publish:\n  annotations: {'': x}\n", 4, "`` is not a name that can be used here."),
        ('publish:\n  annotations: {"a b": x}\n', 4, "`a b` is not a name that can be used here."),
    ],
)
def test_what_is_wrong_has_its_place(text: str, line: int, sentence: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        loaded(text, TAG if "day" in text else BRANCH)
    assert str(raised.value).startswith(f"lineal.yaml:{line}:")
    assert sentence in str(raised.value)


@pytest.mark.parametrize("own, sentence", [("{tag: [x]}", "The key `tag` is not known."),
                                           ("[x]", "They are: true, false, a mapping.")])  # fmt: skip
def test_what_is_wrong_at_an_image_has_its_place(own: str, sentence: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        load(f"project: shop\nimages:\n  api:\n    publish: {own}\n", env=None, vars={}, git=BRANCH, environ={},
             giterminism=Giterminism())  # fmt: skip
    assert str(raised.value).startswith("lineal.yaml:4: images.api.publish")
    assert sentence in str(raised.value)


def test_an_image_says_what_it_does_otherwise_key_by_key() -> None:
    project = Publish(to=["a.example/x"], tags=["1"], annotations={"k": "project", "l": "project"})
    own = Publish(tags=["2"], annotations={"k": "own"})
    found = publish_of(project, own)
    assert found is not None
    assert (found.to, found.tags, found.annotations) == (["a.example/x"], ["2"], {"k": "own", "l": "project"})
    assert publish_of(project, False) is None
    assert publish_of(project, None) == publish_of(project, True) == project
    assert publish_of(None, None) is None
    assert publish_of(None, True) == Publish()
    assert publish_of(project, Publish(tags=[])) == Publish(to=project.to, tags=[], annotations=project.annotations)


def test_a_value_file_refuses_what_has_no_value_as_before() -> None:
    from lineal.config.template import render

    for text in ("{{ git.tag }}", "{{ git.tag | lower }}", "{{ git.tag | semver }}", "{{ git.tag | slug }}"):
        with pytest.raises(BadConfiguration, match=r"values.j2:1: An expression has no value."):
            render(text, file="values.j2", names={"git": BRANCH})
