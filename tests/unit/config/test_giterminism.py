"""`lineal-giterminism.yaml`: what it allows and how its mistakes are named."""

from __future__ import annotations

import pytest

from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.errors import BadConfiguration, Location


def test_without_a_file_nothing_is_allowed() -> None:
    for text in (None, "", "# later\n"):
        found = load_giterminism(text)
        assert found.config.environment == []
        assert not found.tolerates("a")


def test_allowed_variables_and_paths() -> None:
    found = load_giterminism("config:\n  environment: [TEAM, CI_X]\nuncommitted: [docs/]\n")
    assert found.config.environment == ["TEAM", "CI_X"]
    assert found.tolerates("docs/a/b.md")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "b/a.txt", False),
        ("*.txt", "a.txt", True),
        ("*.txt", "b/a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "b/c/a.txt", True),
        ("docs/**", "docs/a/b", True),
        ("docs/**", "docsx/a", False),
        ("docs/", "docs/a", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("./a", "a", True),
        ("a.c", "abc", False),
        ("[x]", "[x]", True),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert Giterminism(uncommitted=[pattern]).tolerates(path) is matches


@pytest.mark.parametrize(
    ("text", "line", "key", "remedy"),
    [
        ("confg: {}\n", 1, "confg", "`config`"),
        ("config:\n  environmnt: [A]\n", 2, "config.environmnt", "`environment`"),
        ("config:\n  environment:\n    - A\n    - 'B*'\n", 4, "config.environment[1]", "letters, digits"),
        ("config: {environment: HOME}\n", 1, "config.environment", "item"),
        ("uncommitted:\n  - ../x\n", 2, "uncommitted[0]", "relative to the root"),
        ("uncommitted: [/etc]\n", 1, "uncommitted[0]", "relative to the root"),
        ("uncommitted: [1]\n", 1, "uncommitted[0]", 'Quote it: `"1"`.'),
        ("artifacts:\n  - a\n  - ../x\n", 3, "artifacts[1]", "relative to the root"),
        ("artifacts: [/tmp/x]\n", 1, "artifacts[0]", "relative to the root"),
        ("artifacts: ['']\n", 1, "artifacts[0]", "relative to the root"),
        ("artifacts: [.git/**]\n", 1, "artifacts[0]", "Write what a build needs of it to a file."),
        ("artifacts: [web/.GIT/config]\n", 1, "artifacts[0]", "Write what a build needs of it to a file."),
        ("artifacts: ['!web/dist/a']\n", 1, "artifacts[0]", ".dockerignore"),
        ("artifacts: [web//dist]\n", 1, "artifacts[0]", "`web/dist/**`"),
        ("artifacts: [./]\n", 1, "artifacts[0]", "`web/dist/**`"),
        ("artifacts: web/dist\n", 1, "artifacts", "item"),
    ],
)
def test_a_mistake_names_line_key_and_remedy(text: str, line: int, key: str, remedy: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        load_giterminism(text)
    assert caught.value.place == Location("lineal-giterminism.yaml", line, key)
    assert remedy in str(caught.value.remedy)


def test_templates_are_not_rendered_here() -> None:
    with pytest.raises(BadConfiguration):
        load_giterminism("uncommitted: {{ 1 }}\n")
