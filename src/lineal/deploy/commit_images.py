"""The images of the commit as a release knows them: published, or not built yet; and what templates know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lineal.errors import DeployFailed

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.values import ImageValue
    from lineal.session.session import Session


def published(result: BuildResult) -> Mapping[str, ImageValue]:
    """Every image. Raises `DeployFailed` when one is not published."""
    from lineal.deploy.values import image_values

    images = image_values(result)
    # An index that `publish: false` keeps from being made is none that anything could deploy.
    missing = [
        name for name, parts in result.plan.images.items()
        if name not in images and (len(parts) == 1 or name in result.finished)
    ]  # fmt: skip
    if missing:
        parts = result.plan.images[missing[0]]
        absent = [stage for stage in parts.values() if result.candidate(stage) is None]
        if absent:
            platform = f"{absent[0].platform}: " if len(parts) > 1 else ""
            reason = f"{platform}{result.resolutions[absent[0].checksum].reason}"
        else:
            reason = f"it is built, and not in {result.finished[missing[0]].repository} yet"
        raise DeployFailed(
            f"{'Images are' if len(missing) > 1 else 'An image is'} missing for this commit: "
            f"{', '.join(missing)} ({reason}).",
            id="LN-6002",
            remedy="Run `lineal build` first, or `lineal converge`, which does both.",
        )
    return images


def not_built(result: BuildResult) -> Mapping[str, ImageValue]:
    """Every image, those that are not built yet with a digest that stands for theirs."""
    from lineal.build.result import NOT_BUILT
    from lineal.deploy.values import ImageValue, image_values

    known = image_values(result)
    planned = {
        name: ImageValue.of(finished.repository, finished.tag, NOT_BUILT)
        for name, finished in result.finished.items()
    }
    first = {name: next(iter(parts.values())) for name, parts in result.plan.images.items()}
    return {
        name: known.get(name) or planned.get(name) or ImageValue.not_built(result.store, stage.checksum)
        for name, stage in first.items()
    }


def bases(session: Session) -> set[str]:
    """Images that nobody deploys: those that others are made from, and those that are never finished."""
    images = session.loaded.project.images
    kept = {name for name, image in images.items() if image.publish is False}
    return kept | {base for image in images.values() for base in image.needed}


def names_of(session: Session, images: Mapping[str, ImageValue]) -> dict[str, object]:
    """What the commit's templates know: images, the commit, the environment, variables."""
    from lineal.config.template import names
    from lineal.deploy.values import template_names

    settings = session.settings
    common = names(
        git=session.git_facts, env=settings.env.value or None, vars=settings.vars.value, environ=settings.environ,
        giterminism=session.giterminism, grants=session.given.templates(session.giterminism),
    )  # fmt: skip
    return template_names(common, session.loaded.project.project, images)
