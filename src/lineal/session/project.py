"""`lineal.yaml` of a commit, or what stands for it where a commit has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lineal.config.giterminism import FILE as GITERMINISM_FILE
from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.grants import Grants
from lineal.config.load import LoadedProject, described_project, implicit_project, load, name_of
from lineal.config.model import FILE
from lineal.config.template import GitFacts
from lineal.context.committed import COMMIT_IT, NOT_COMMITTED, committed_text, dockerfile_of
from lineal.errors import Uncommitted
from lineal.git.commit import Commit
from lineal.session.settings import Settings


def load_project(
    repository: Commit, settings: Settings, git: GitFacts, giterminism: Giterminism, grants: Grants
) -> LoadedProject | None:
    """The project as the commit of `repository` has it; None without a `lineal.yaml`. Raises `BadConfiguration`."""
    text = committed_text(repository, FILE)
    if text is None:
        return None
    loaded = load(
        text,
        env=settings.env.value or None,
        vars=settings.vars.value,
        git=git,
        environ=settings.environ,
        giterminism=giterminism,
        grants=grants,
    )
    return loaded.for_platforms(settings.platforms.value)


def project_of_dockerfile(repository: Commit, forge_name: str | None, platforms: Sequence[str] = ()) -> LoadedProject:
    """The project of a commit without a `lineal.yaml`: its Dockerfile, if it has one, as an image named as the
    repository. `forge_name` is `owner/name`, None outside CI."""
    loaded = implicit_project(_has_dockerfile(repository), _name(repository, forge_name))
    return loaded.for_platforms(platforms)


def project_without_file(
    repository: Commit, forge_name: str | None, settings: Settings, start: Path, note: Callable[[str], None]
) -> LoadedProject:
    """The project of a commit without a `lineal.yaml`: what the flags describe, else its Dockerfile. `start` is where
    their paths begin. Raises `LinealError`."""
    if (repository.root / FILE).exists():
        raise Uncommitted(f"{FILE} {NOT_COMMITTED}", id="LN-3002", remedy=COMMIT_IT)
    flags, platforms, name = settings.given.image, settings.platforms.value, _name(repository, forge_name)
    if flags.describe(name_of(name)) or (flags.words and not _has_dockerfile(repository)):
        described = described_project(flags, name, start, repository.root, settings.environ)
        return described.for_platforms(platforms)
    found = project_of_dockerfile(repository, forge_name, platforms)
    note(f"There is no {FILE}: building ./Dockerfile as the image {found.project.project!r}.")
    return found


def _name(repository: Commit, forge_name: str | None) -> str:
    return (forge_name or repository.root.name).rpartition("/")[2]


def _has_dockerfile(repository: Commit) -> bool:
    return repository.file(dockerfile_of(repository, "Dockerfile")) is not None


def load_exceptions(repository: Commit) -> Giterminism:
    """`lineal-giterminism.yaml` of the commit. Raises `BadConfiguration`."""
    return load_giterminism(committed_text(repository, GITERMINISM_FILE))
