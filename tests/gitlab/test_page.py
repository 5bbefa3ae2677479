"""docs/gitlab.md shows pipelines that tests run, and all of them."""

from __future__ import annotations

import re

from tests.gitlab.conftest import EXAMPLES, ROOT

PAGE = (ROOT / "docs/gitlab.md").read_text()
RECIPES = (ROOT / "docs/recipes.md").read_text()


def shown(text: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_page_shows_every_example_word_for_word_and_nothing_else() -> None:
    recipe = EXAMPLES / "gitlab-artifacts.yml"
    files = [*sorted(EXAMPLES.glob("gitlab*.yml")), ROOT / "examples/shop/lineal.yaml"]
    assert sorted(shown(PAGE)) == sorted(path.read_text() for path in files if path != recipe)
    assert recipe.read_text() in shown(RECIPES)


def test_every_example_is_run() -> None:
    tests = (ROOT / "tests/gitlab/test_examples.py").read_text()
    assert not [path.name for path in EXAMPLES.glob("gitlab*.yml") if f'"{path.name}"' not in tests]


def test_the_components_readme_shows_the_first_of_them() -> None:
    assert shown((ROOT / "gitlab-ci/README.md").read_text()) == [(EXAMPLES / "gitlab.yml").read_text()]
