"""Plans a commit as `lineal plan` does, without a process of its own."""

from __future__ import annotations

from collections.abc import Mapping

from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.load import load
from lineal.config.template import GitFacts
from lineal.context.committed import committed_text
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.git.commit import Commit
from lineal.session.project import project_of_dockerfile
from tests import servers


def opened(repo: servers.Repository, **environ: str) -> Commit:
    return Commit.open(repo.path, repo.environment() | environ)


def planned(commit: Commit) -> ImageGraphs:
    """All images of the commit, from its lineal.yaml or its Dockerfile."""
    exceptions = load_giterminism(committed_text(commit, "lineal-giterminism.yaml"))
    text = committed_text(commit, "lineal.yaml")
    if text is None:
        loaded = project_of_dockerfile(commit, "acme/app")
    else:
        facts = GitFacts(commit.commit, commit.commit[:7], "main", None)
        loaded = load(text, env=None, vars={}, git=facts, environ={}, giterminism=Giterminism())
    return read_images(commit, loaded, (), exceptions)


def checksums(commit: Commit) -> dict[str, str]:
    return {name: stage.checksum for name, stage in planned(commit).last.items()}


def write(repo: servers.Repository, files: Mapping[str, str | bytes], links: Mapping[str, str] = {}) -> None:
    """Commits files and symbolic links."""
    repo.put(files)
    for name, target in links.items():
        (repo.path / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.path / name).symlink_to(target)
    repo.git("add", "--all")
    repo.commit()


def copied(commit: Commit, image: str = "app") -> dict[str, bytes]:
    """What the last instruction of an image copies of its context: all files below it, with their content."""
    context = planned(commit).last[image].context
    assert context is not None
    return {node.path: b"".join(context.open(node)) for node in context.walk("") if node.kind == "file"}
