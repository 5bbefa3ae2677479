"""`lineal bundle publish`: the commit's chart, its values and its images' digests become one bundle in a registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import (
    ABOUT,
    ENCRYPTED,
    Bundle,
    check_version,
    commit_version,
    tag_of,
    tagged_version,
    written,
)
from lineal.deploy.helm.chart_archive import unpack
from lineal.errors import BadConfiguration, DeployFailed
from lineal.git.cache import cache_directory
from lineal.git.commit_count import commit_count
from lineal.oci import Store
from lineal.oci.reference import DOCKER_HUB, parse_address
from lineal.session.session import require_write
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.build.result import BuildResult
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.inputs import ReleaseInputs
    from lineal.deploy.release import Chart, Release
    from lineal.session.session import Session

LIST = "bundle"
"""The repository below that of the images in which all bundles are, whatever their charts are called."""
_CHART_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
"""A chart's name that can end a repository, by which Helm and Argo CD find it."""


def check(session: Session) -> None:
    """Raises for a run that cannot publish a bundle, before it has done anything."""
    version = session.settings.bundle_version.value
    if version:
        check_version(version)
    if session.settings.dev.value:
        what = "A bundle is of a commit, and --dev is about the working tree."
        raise BadConfiguration(what, id="LN-7002", remedy="Commit, and leave --dev out.")
    repo = session.store_settings.repo.value
    if is_directory(repo):
        what = f"The images are in {repo}, where no cluster finds them, so a bundle of them is of no use."
        raise BadConfiguration(what, id="LN-7002", remedy="Give a registry with `--repo HOST/REPOSITORY`.")
    require_write(session, "it publishes no bundle", "Publish from a branch of the project itself.")
    named = _named(session)
    if named:
        parse_address(named)
    else:
        beside(session.store)


def _named(session: Session) -> str:
    """What `--to` says."""
    return session.settings.bundle_repo.value.removeprefix(registry.SCHEME)


def beside(store: Store, name: str = LIST) -> Store:
    """A repository of bundles that belongs to a store: the list of all, or that of the chart `name`."""
    host, repository = parse_address(store.address)
    if host == DOCKER_HUB:
        what = "Docker Hub has no repositories below another, so the bundle cannot be beside the images."
        raise BadConfiguration(what, id="LN-7002", remedy="Give its repository with `--to docker.io/USER/NAME`.")
    found = store.sibling(f"{repository}/{name}")
    assert found is not None, "only a run that may write, to a registry, gets here"
    return found


def put(session: Session, bundle: Bundle, source: str | None) -> str:
    """Publish a bundle where `--to` says, else beside the store; its reference. Raises `DeployFailed`."""
    progress, named = session.progress, _named(session)
    if not named:
        return put_beside(session.store, bundle, source, progress.note)
    if named.rpartition("/")[2] != bundle.name:
        progress.warn(
            f"{named} does not end in the chart's name, {bundle.name}: `lineal bundle apply` and `helm install` take "
            f"it, but no chart can name it as a dependency, nor does Argo CD find it."
        )
    return _put(session.stores.image(named, session.store)[0], bundle, source, progress.note)


def put_beside(store: Store, bundle: Bundle, source: str | None, note: Callable[[str], None]) -> str:
    """Publish a bundle in `<store>/<chart's name>`, and list it in `<store>/bundle`, where cleanup looks, before it
    can be installed. A chart whose name cannot end a repository is in the list only."""
    listed = beside(store)
    if bundle.name == LIST or not _CHART_NAME.fullmatch(bundle.name):
        return _put(listed, bundle, source, note)
    own = beside(store, bundle.name)
    registry.check_free(own, bundle, source)
    registry.list_in(listed, bundle, source)
    return _put(own, bundle, source, note)


def _put(store: Store, bundle: Bundle, source: str | None, note: Callable[[str], None]) -> str:
    manifest = registry.put(store, bundle, source, note)
    return f"{registry.SCHEME}{store.address}:{tag_of(bundle.version)}@{manifest.digest}"


def make(session: Session, inputs: ReleaseInputs, result: BuildResult) -> Bundle:
    """The bundle of this commit. Raises `DeployFailed` when an image is missing or the chart does not work."""
    from lineal.deploy.bundle.nulls import settle
    from lineal.deploy.helm import dependencies
    from lineal.deploy.helm.values_merge import merged, parsed

    helm, release = inputs.helm, inputs.release(result)
    folder = Path(release.chart.location)
    with _kept(folder / "Chart.lock"), _kept(folder / "requirements.lock"):
        dependencies.complete(helm, release, session.progress.note)
    values, given = merged(helm, release, session.workspace / "merge")
    _warn_unused(session, helm, release)
    # The chart is a private copy, or was fetched for this run.
    (Path(release.chart.location) / "values.yaml").write_bytes(written(values))
    encrypted = {f"{ENCRYPTED}{number:03}.yaml": file.text.encode() for number, file in enumerate(inputs.encrypted)}
    name, files = unpack(_packaged(session, inputs, release.chart), f"The chart {release.chart.name}")
    numbers = count()
    own, values = settle(
        files, values, given, lambda data: parsed(helm, data, session.workspace / f"own-{next(numbers)}")
    )
    own["values.yaml"] = written(values)
    own = {path: text for path, text in own.items() if path != ABOUT and not path.startswith(ENCRYPTED)}
    return Bundle(name, {**own, **encrypted, **_about(inputs, result)})


def _about(inputs: ReleaseInputs, result: BuildResult) -> dict[str, bytes]:
    """The commit and its images, where the values do not hold them."""
    from lineal.deploy.values import global_values, image_values

    if inputs.deploy.global_ is True:
        return {}
    session = inputs.session
    told: Any = global_values(
        session.loaded.project.project, None, session.checkout.commit, None, image_values(result)
    )
    return {ABOUT: written({key: told["global"]["lineal"][key] for key in ("project", "commit", "images")})}


def _warn_unused(session: Session, helm: Helm, release: Release) -> None:
    """Tell of images that no manifest uses. A chart that renders only with values of an environment tells nothing."""
    from lineal.deploy.image_use import unused

    with suppress(DeployFailed, BadConfiguration):
        for sentence in unused(release.images, helm.template(release)):
            session.progress.warn(sentence)


@contextmanager
def _kept(lock: Path) -> Iterator[None]:
    """Put a lock file back afterwards: the one that helm writes has the time of day in it."""
    before = lock.read_bytes() if lock.is_file() else None
    yield
    lock.unlink(missing_ok=True)
    if before is not None:
        lock.write_bytes(before)


def _packaged(session: Session, inputs: ReleaseInputs, chart: Chart) -> bytes:
    """The archive that `helm package` makes of the chart: helm knows .helmignore, and checks the chart."""
    version = session.settings.bundle_version.value or _version(session, chart)
    made = session.workspace / "package"
    made.mkdir()
    flags = ["--version", version, "--destination", str(made)]
    answer = inputs.helm.run(["package", *flags, "--", chart.location], output=session.progress.note)
    answer.or_interrupted("Packing the chart")
    found = list(made.glob("*.tgz"))
    if answer.code != 0 or len(found) != 1:
        from lineal.deploy.helm import errors

        reason = errors.reason_of(answer.stderr).replace(chart.location, chart.name)
        what = f"helm cannot pack the chart {chart.name}: {errors.sentence(reason)}"
        raise DeployFailed(what, id="LN-7003", remedy="Correct what helm names.")
    return found[0].read_bytes()


def _version(session: Session, chart: Chart) -> str:
    own = Bundle("", {"Chart.yaml": (Path(chart.location) / "Chart.yaml").read_bytes()}).titles.get("version", "")
    context = session.context
    if (tagged := tagged_version(context.tag)) is not None:
        return tagged
    facts = session.git_facts
    line = "" if facts.is_default_branch or not context.default_branch else context.branch or context.tag or "none"
    count = commit_count(session.checkout, cache_directory(session.settings.environ))
    return commit_version(own, line, count, session.checkout.commit)
