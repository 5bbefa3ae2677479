"""Names that somebody else could take and that are not ours stand nowhere: what they would hold runs in people's
pipelines, with their credentials."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs", "examples", "gitlab-ci", "action.yml",
         "src", "scripts", ".github", "Dockerfile")  # fmt: skip
OWNERS = frozenset({"actions", "aws-actions", "docker", "azure", "helm"})
"""Whose actions there are, for longer than we are."""
PACKAGES = frozenset({".", "lightkube<2"})


def lines() -> Iterator[tuple[str, str]]:
    """Each line of what people read and copy, with its place."""
    listed = subprocess.run(["git", "ls-files", "-z", *PAGES], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        path = ROOT / name
        if path.is_file() and not path.is_symlink() and b"\0" not in (data := path.read_bytes())[:4096]:
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
                yield f"{name}:{number}", line


def test_actions_are_of_owners_that_there_are_or_cannot_be() -> None:
    used = [
        (place, found[1])
        for place, line in lines()
        if (found := re.search(r"^[\s-]*uses: *[\"']?([^\s\"'#]+)", line))
    ]
    assert len(used) > 20
    for place, name in used:
        owner = name.partition("/")[0]
        assert name.startswith(("./", "docker://")) or owner in OWNERS or "_" in owner, f"{place}: {name}"


def test_components_are_in_groups_that_gitlab_gives_nobody() -> None:
    pattern = re.compile(r"^\s*- *(?:component|project): *[\"']?(\S+)")
    used = [(place, found[1]) for place, line in lines() if (found := pattern.search(line))]
    assert len(used) > 5
    for place, name in used:
        path = name.removeprefix("$CI_SERVER_FQDN/")
        assert path.startswith(("projects/", "$CI_PROJECT_PATH")), f"{place}: {name}"


def test_packages_of_indexes_are_those_that_lineal_needs() -> None:
    pattern = re.compile(r"\bpip3? install ((?:\"[^\"]*\"|'[^']*'|[^\s`#)&;]+)(?: +[^\s`#)&;]+)*)")
    for place, line in lines():
        for found in pattern.finditer(line) if place.startswith(("README", "docs", "examples", "CHANGELOG")) else ():
            names = [word.strip("\"'") for word in found[1].split() if not word.startswith("-")]
            ours = [name for name in names if "lineal" in name.lower() or "lightkube" in name]
            assert PACKAGES.issuperset(ours), f"{place}: {found[0]}"


def test_nothing_of_ours_is_at_an_address_that_somebody_could_have() -> None:
    pattern = re.compile(r"(?:ghcr\.io|docker\.io|quay\.io|github\.com|gitlab\.com)/([^/\s]+)/lineal\b")
    for place, line in lines():
        for owner in pattern.findall(line):
            assert "_" in owner or owner.startswith(("<", "$")), f"{place}: {line.strip()}"
