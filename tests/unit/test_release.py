"""scripts/release, publish and component, on clones of what they release, with real remotes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lineal import __version__
from tests import servers
from tests.unit.git import forge

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "ghcr.io/your_org/lineal"
DIGEST = "sha256:" + "1" * 64
BUILD = "sha256:" + "4" * 64
"""The image without Helm."""
LAYERS = ("X64=sha256:" + "2" * 64, "ARM64=sha256:" + "3" * 64)
CHANGELOG = """# Changelog

## {version} - unreleased

### Added

- What is new.

## 0.0.1 - 2026-01-01

- What is old.
"""


@dataclass
class Clone:
    """A maintainer's clone of the project, and the bare repository it pushes to."""

    repo: servers.Repository
    origin: Path

    def script(self, *words: str, code: int = 0, **env: str) -> str:
        """Runs one of the scripts; gives all that it printed."""
        done = subprocess.run(
            words, cwd=self.repo.path, env=self.repo.environment() | env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def release(self, version: str) -> str:
        """Writes what is new above the changelog, and releases it; gives the commit of the tag."""
        self.repo.write({"CHANGELOG.md": CHANGELOG.format(version=version)}, "Something new")
        self.script("scripts/release", version, IMAGE)
        return self.script("scripts/tag", version, f"{IMAGE}@{DIGEST}", f"BUILD={BUILD}", *LAYERS).strip()

    def at_origin(self) -> dict[str, str]:
        """Ref -> commit, tags peeled."""
        lines = self.repo.git("ls-remote", str(self.origin)).splitlines()
        refs = {name: commit for commit, name in (line.split("\t") for line in lines) if name != "HEAD"}
        return {name: refs.get(f"{name}^{{}}", commit) for name, commit in refs.items() if not name.endswith("^{}")}

    def show(self, where: str, path: str) -> str:
        return self.repo.git("show", f"{where}:{path}")


@pytest.fixture
def clone(repo: servers.Repository, tmp_path: Path) -> Clone:
    for name in ("scripts", "gitlab-ci", "build", "build-push", "setup"):
        shutil.copytree(ROOT / name, repo.path / name)
    # In the commit of a release it names the image already.
    action = re.sub(r"(?m)^  image: .*$", "  image: Dockerfile", (ROOT / "action.yml").read_text())
    build = re.sub(r"(?m)^  image: .*$", "  image: ../Dockerfile", (ROOT / "build/action.yml").read_text())
    module = (ROOT / "src/lineal/__init__.py").read_text().replace(__version__, "0.1.0")
    changelog = CHANGELOG.format(version="0.1.0")
    files = {"action.yml": action, "build/action.yml": build}
    repo.write({**files, "src/lineal/__init__.py": module, "CHANGELOG.md": changelog}, "Begin")
    origin = tmp_path / "origin.git"
    repo.git("init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    repo.git("remote", "add", "origin", str(origin))
    repo.git("push", "--quiet", "origin", "main")
    return Clone(repo, origin)


def defaults(template: str) -> str:
    header = next(yaml.safe_load_all(template))
    return str(header["spec"]["inputs"]["image"]["default"])


def test_the_tag_names_the_published_image_and_the_branch_does_not(clone: Clone) -> None:
    commit = clone.release("1.2.3")
    assert commit == clone.repo.git("rev-parse", "v1.2.3^{commit}")
    assert yaml.safe_load(clone.show("v1.2.3", "action.yml"))["runs"]["image"] == f"docker://{IMAGE}@{DIGEST}"
    assert yaml.safe_load(clone.show("main", "action.yml"))["runs"]["image"] == "Dockerfile"
    step = yaml.safe_load(clone.show("v1.2.3", "build-push/action.yml"))["runs"]["steps"][-1]
    assert step["uses"] == f"docker://{IMAGE}@{BUILD}"
    assert yaml.safe_load(clone.show("v1.2.3", "build/action.yml"))["runs"]["image"] == f"docker://{IMAGE}@{BUILD}"
    templates = [path.name for path in (ROOT / "gitlab-ci/templates").glob("*.yml")]
    assert templates
    for name in templates:
        path = f"gitlab-ci/templates/{name}"
        helm = name == "converge.yml"
        assert defaults(clone.show("v1.2.3", path)) == f"{IMAGE}@{DIGEST if helm else BUILD}"
        assert defaults(clone.show("main", path)) == f"registry.example.com/lineal:v1.2.3{'' if helm else '-build'}"
    assert '__version__ = "1.2.3"' in clone.show("main", "src/lineal/__init__.py")
    assert re.search(r"(?m)^## 1\.2\.3 - \d{4}-\d\d-\d\d$", clone.show("main", "CHANGELOG.md"))
    # One commit each, and nothing else in them.
    assert clone.repo.git("rev-parse", "v1.2.3^") == clone.repo.head()
    changed = clone.repo.git("diff", "--name-only", "main", "v1.2.3").splitlines()
    assert changed == [
        "action.yml",
        "build-push/action.yml",
        "build/action.yml",
        *sorted(f"gitlab-ci/templates/{name}" for name in templates),
        "setup/action.yml",
    ]
    given = yaml.safe_load(clone.show("v1.2.3", "setup/action.yml"))["runs"]["steps"][0]["env"]
    layers = {f"LAYER_{name}": layer for name, layer in (layer.split("=") for layer in LAYERS)}
    assert given == {"REGISTRY": "https://ghcr.io", "NAME": "your_org/lineal", **layers}
    assert clone.repo.git("status", "--porcelain") == ""


def test_the_message_of_the_tag_says_what_is_new(clone: Clone) -> None:
    clone.release("1.2.3")
    assert clone.repo.git("cat-file", "-t", "v1.2.3") == "tag"
    message = clone.repo.git("tag", "--list", "--format=%(contents)", "v1.2.3")
    assert message.split("\n\n") == ["Lineal 1.2.3", "### Added", "- What is new."]


def test_the_moving_tag_follows_the_newest_release_of_its_line(clone: Clone) -> None:
    first = clone.release("1.0.0")
    clone.script("scripts/publish", "1.0.0")
    refs = clone.at_origin()
    assert refs == {"refs/heads/main": clone.repo.head(), "refs/tags/v1.0.0": first, "refs/tags/v1": first}
    clone.repo.branch("old")
    clone.repo.switch("main")
    second = clone.release("1.10.0")
    clone.script("scripts/publish", "1.10.0")
    assert clone.at_origin()["refs/tags/v1"] == second
    third = clone.release("2.0.0")
    clone.script("scripts/publish", "2.0.0")
    clone.repo.switch("old")
    late = clone.release("1.9.1")
    clone.script("scripts/publish", "1.9.1")
    refs = clone.at_origin()
    assert (refs["refs/tags/v1"], refs["refs/tags/v2"], refs["refs/tags/v1.9.1"]) == (second, third, late)


def test_a_release_that_somebody_overtook_is_not_published_in_part(clone: Clone, tmp_path: Path) -> None:
    other = clone.repo.clone(tmp_path / "other")
    other.git("remote", "set-url", "origin", str(clone.origin))
    other.write({"file": "text"}, "Meanwhile")
    other.git("push", "--quiet", "origin", "main")
    before = clone.at_origin()
    clone.release("1.0.0")
    clone.script("scripts/publish", "1.0.0", code=1)
    assert clone.at_origin() == before


@pytest.mark.parametrize(
    ("version", "image", "message"),
    [
        ("1.0.0", f"{IMAGE}:v1.0.0", "is no image by its digest"),
        ("1.0.0", f"{IMAGE}@sha256:1", "is no image by its digest"),
        ("1.0.0", f"x|e touch x|@{DIGEST}", "is no image by its digest"),
        ("1.0.1", f"{IMAGE}@{DIGEST}", "this is not the commit of 1.0.1"),
        ("1.0.0", f"{IMAGE}@{DIGEST}", "v1.0.0 exists already"),
    ],
)
def test_a_tag_names_nothing_that_moves_and_never_moves(clone: Clone, version: str, image: str, message: str) -> None:
    clone.release("1.0.0")
    before = clone.repo.git("for-each-ref")
    assert message in clone.script("scripts/tag", version, image, f"BUILD={BUILD}", *LAYERS, code=1)
    assert before == clone.repo.git("for-each-ref")


def test_a_tag_names_the_layers_of_both_processors(clone: Clone) -> None:
    clone.release("1.0.0")
    build = f"BUILD={BUILD}"
    for layers in (
        (), LAYERS, (build, LAYERS[0]), (build, LAYERS[1], LAYERS[0]), (build, LAYERS[0], "ARM64=sha256:3"),
        ("BUILD=sha256:4", *LAYERS),
    ):  # fmt: skip
        said = clone.script("scripts/tag", "1.0.0", f"{IMAGE}@{DIGEST}", *layers, code=1)
        assert "usage: scripts/tag" in said


def changed(clone: Clone) -> None:
    clone.repo.put({"CHANGELOG.md": "Something else"})


def detached(clone: Clone) -> None:
    clone.repo.git("switch", "--quiet", "--detach")


def released(clone: Clone) -> None:
    clone.repo.git("tag", "v1.0.0")


def closed(clone: Clone) -> None:
    clone.repo.write({"CHANGELOG.md": "## 1.0.0 - 2026-01-01\n"})


def imageless(clone: Clone) -> None:
    clone.repo.write({"action.yml": "runs: {using: docker, image: Dockerfile}\n"})


def unknown(clone: Clone) -> None:
    clone.repo.write({"gitlab-ci/templates/build.yml": "spec:\n---\nbuild: {script: [lineal build]}\n"})


def nothing(clone: Clone) -> None: ...


@pytest.mark.parametrize(
    ("prepare", "version", "image", "message"),
    [
        (nothing, "v1.0.0", IMAGE, "usage: scripts/release VERSION IMAGE"),
        (nothing, "1.0", IMAGE, "usage: scripts/release VERSION IMAGE"),
        (nothing, "1.0.01", IMAGE, "usage: scripts/release VERSION IMAGE"),
        (nothing, "1.0.0", "ghcr.io/Example/lineal", "is no repository of a registry"),
        (nothing, "1.0.0", "x|e touch x|", "is no repository of a registry"),
        (nothing, "0.0.9", IMAGE, "says 0.1.0 already, which is newer than 0.0.9"),
        (changed, "1.0.0", IMAGE, "there are uncommitted changes"),
        (detached, "1.0.0", IMAGE, "HEAD is on no branch"),
        (released, "1.0.0", IMAGE, "v1.0.0 exists already"),
        (closed, "1.0.0", IMAGE, "CHANGELOG.md needs one heading like '## 1.0.0 - unreleased'"),
        (imageless, "1.0.0", IMAGE, "action.yml needs one line '  image: Dockerfile'"),
        (unknown, "1.0.0", IMAGE, "gitlab-ci/templates/build.yml needs one line 'default: "),
    ],
)
def test_what_cannot_be_released_is_refused_and_nothing_is_changed(
    clone: Clone, prepare: Callable[[Clone], None], version: str, image: str, message: str
) -> None:
    prepare(clone)
    before = clone.repo.git("for-each-ref"), clone.repo.git("status", "--porcelain"), clone.repo.head()
    assert message in clone.script("scripts/release", version, image, code=1)
    assert before == (clone.repo.git("for-each-ref"), clone.repo.git("status", "--porcelain"), clone.repo.head())


def test_the_component_becomes_a_project_of_its_own_and_its_token_no_argument(clone: Clone, tmp_path: Path) -> None:
    root = tmp_path / "gitlab"
    project = root / "component.git"
    clone.repo.git("init", "--quiet", "--bare", "--initial-branch=main", str(project))
    clone.repo.git("-C", str(project), "config", "http.receivepack", "true")
    path, arguments = forge.telling_git(tmp_path / "telling")
    path = f"{Path(path.partition(':')[0])}:{os.environ['PATH']}"
    clone.release("1.0.0")
    with forge.serve(root, ("oauth2", "glpat-secret")) as gitlab:
        url = f"{gitlab.url}/component.git"
        clone.script("scripts/component", "1.0.0", url, GITLAB_TOKEN="glpat-secret", PATH=path)
        clone.release("1.1.0")
        said = clone.script("scripts/component", "1.1.0", url, GITLAB_TOKEN="glpat-secret", PATH=path)
        # A correction of the older one leaves the project's branch where it is.
        clone.repo.branch("old", "v1.0.0^")
        clone.release("1.0.1")
        clone.script("scripts/component", "1.0.1", url, GITLAB_TOKEN="glpat-secret", PATH=path)
        clone.script("scripts/component", "1.0.1", url, code=128, GITLAB_TOKEN="wrong", PATH=path)
    there = servers.Repository(project)
    assert there.git("tag").split() == ["1.0.0", "1.0.1", "1.1.0"]
    assert there.git("rev-parse", "main") == there.git("rev-parse", "1.1.0")
    assert defaults(there.git("show", "1.0.0:templates/build.yml")) == f"{IMAGE}@{BUILD}"
    assert defaults(there.git("show", "main:templates/build.yml")) == f"{IMAGE}@{BUILD}"
    assert "push" in arguments.read_text()
    assert "glpat-secret" not in arguments.read_text() + said
