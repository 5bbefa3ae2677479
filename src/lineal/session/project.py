"""`lineal.yaml` of a commit, or what stands for it where a commit has none."""

from __future__ import annotations

from collections.abc import Sequence

from lineal.config.giterminism import FILE as GITERMINISM_FILE
from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.grants import Grants
from lineal.config.load import LoadedProject, implicit_project, load
from lineal.config.model import FILE
from lineal.config.template import GitFacts
from lineal.context.committed import committed_text, dockerfile_of
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
    name = (forge_name or repository.root.name).rpartition("/")[2]
    loaded = implicit_project(repository.file(dockerfile_of(repository, "Dockerfile")) is not None, name)
    return loaded.for_platforms(platforms)


def load_exceptions(repository: Commit) -> Giterminism:
    """`lineal-giterminism.yaml` of the commit. Raises `BadConfiguration`."""
    return load_giterminism(committed_text(repository, GITERMINISM_FILE))
