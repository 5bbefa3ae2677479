"""`lineal bundle`: a chart with its image digests as one artifact, published, installed and moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.commands.deploy import deploy_release
from lineal.commands.output import check_files, introduce, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import bare_report, reporting
from lineal.deploy.bundle import publish as publishing
from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import tag_of
from lineal.deploy.bundle.install import Installation
from lineal.deploy.bundle.publish import beside
from lineal.deploy.bundle.relocate import Relocation
from lineal.deploy.inputs import ReleaseInputs
from lineal.errors import BadConfiguration
from lineal.git.remote import web_address
from lineal.report.model import ImageReport
from lineal.session.session import Session
from lineal.store.copy import copy_image
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.report.model import Report

_MOST_NAMED = 5


def publish(session: Session) -> None:
    """`bundle publish`, the whole command. Raises `LinealError`."""
    with reporting(session, "bundle publish", table=False) as told:
        publishing.check(session)
        inputs = ReleaseInputs(session, bundled=True)
        introduce(session)
        _ = inputs.helm  # a missing one is told first
        told.result = unbuilt(session, plan_images(session, release=inputs))
        made = publishing.make(session, inputs, told.result)
        store = publishing.repository_of(session)
        manifest = registry.put(store, made, web_address(session.checkout), session.progress.note)
    session.progress.note(f"Published the bundle {made.version} of commit {made.commit[:12]}.")
    show(f"{registry.SCHEME}{store.address}:{tag_of(made.version)}@{manifest.digest}\n")


def apply(session: Session, reference: str) -> None:
    """`bundle apply`, the whole command. Raises `LinealError`."""
    with reporting(session, "bundle apply") as told:
        check_files(session, dotenv=False)
        installation = Installation(session, reference)
        told.report = lambda: _report(session, installation)
        release = installation.release()
        session.progress.note(f"bundle     {installation.bundle.version}  {installation.reference}")
        session.progress.note(f"commit     {installation.bundle.commit}  of {installation.bundle.project}")
        deploy_release(session, installation.helm, release, told.keep_release)


def _report(session: Session, installation: Installation) -> Report:
    about, bundle = installation.found()
    report = bare_report(session, "bundle apply", bundle.project if bundle else None, installation.store)
    report.bundle = about
    report.images = [
        ImageReport(name=name, ref=image.ref, image=image.image, repository=image.repository, tag=image.tag,
                    digest=image.digest)
        for name, image in (bundle.all_images if bundle else {}).items()
    ]  # fmt: skip
    return report


def copy(session: Session, reference: str, to: str) -> None:
    """`bundle copy`, the whole command. Raises `LinealError`."""
    show(copy_bundle(session, reference, to) + "\n")


def copy_bundle(session: Session, reference: str, to: str) -> str:
    """Copy the bundle's images into the store `to` and the bundle beside them; its new reference.

    The images come first: a bundle that can be seen can be installed. Raises `LinealError`."""
    address, version = registry.parse(reference)
    if is_directory(to):
        raise BadConfiguration(f"{to} is no registry, and no cluster could install from it.", id="LN-7002",
                               remedy="Write TO as HOST/REPOSITORY.")  # fmt: skip
    target = session.stores.store(to.removeprefix(registry.SCHEME))
    place = beside(target)
    bundle, manifest = registry.get(session.stores.image(address, target)[0], version, reference)
    for name, image in bundle.all_images.items():
        source = session.stores.image(image.repository, target)[0]
        moved = copy_image(image.digest, image.tag, source, target, session.workspace)
        how = f"{moved.mounted} mounted, {moved.streamed} streamed ({moved.size / 1e6:.1f} MB), {moved.there} there"
        session.progress.note(f"{name}  {image.digest}  {how}")
    relocation = Relocation(bundle.all_images, target.address)
    copied = relocation.bundle(bundle)
    left = relocation.left(copied)
    if left:
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        session.progress.warn(
            f"The copied bundle still names the old place in {', '.join(left[:_MOST_NAMED])}{more}."
        )
    found = manifest.json.get("annotations")
    source_page = found.get("org.opencontainers.image.source") if isinstance(found, dict) else None
    made = registry.put(place, copied, source_page if isinstance(source_page, str) else None, session.progress.note)
    return f"{registry.SCHEME}{place.address}:{tag_of(copied.version)}@{made.digest}"
