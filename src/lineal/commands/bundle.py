"""`lineal bundle`: a chart with its image digests as one artifact, published, installed and moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.commands.deploy import deploy_release
from lineal.commands.finish import Finishing
from lineal.commands.output import check_files, introduce, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import bare_report, reporting
from lineal.deploy.bundle import publish as publishing
from lineal.deploy.bundle import registry
from lineal.deploy.bundle.copy import BundleCopy, find_helm
from lineal.deploy.bundle.install import Installation
from lineal.deploy.bundle.publish import beside, put_beside
from lineal.deploy.bundle.vouched import vouched, vouchers_of
from lineal.deploy.inputs import ReleaseInputs
from lineal.errors import BadConfiguration
from lineal.report.model import ImageReport
from lineal.session.session import Session
from lineal.session.signing import signing_alone
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.report.model import Report


def publish(session: Session) -> None:
    """`bundle publish`, the whole command. Raises `LinealError`."""
    with reporting(session, "bundle publish", table=False) as told:
        publishing.check(session)
        inputs = ReleaseInputs(session, bundled=True)
        introduce(session)
        session.trust.require("bundle")
        _ = inputs.helm  # a missing one is told first
        told.result = Finishing.of(session, unbuilt(session, plan_images(session, release=inputs)))
        made = publishing.make(session, inputs, told.result)
        made = vouched(session.trust.marks, made, session.signing.signers)
        reference = publishing.put(session, made, session.web_address)
        if session.trust.policy is not None and not session.trust.vouches:
            session.progress.warn(
                "`trust` believes signatures, and this run has no key or identity: whoever installs this bundle with "
                "the policy refuses it until it is signed (`cosign sign`)."
            )
    session.progress.note(f"Published the bundle {made.version} of commit {made.commit[:12]}.")
    show(f"{reference}\n")


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


def copy(session: Session, reference: str, to: str, *, all_images: bool = False) -> None:
    """`bundle copy`, the whole command. Raises `LinealError`."""
    show(copy_bundle(session, reference, to, all_images=all_images) + "\n")


def copy_bundle(session: Session, reference: str, to: str, *, all_images: bool = False) -> str:
    """Copy the bundle's images into the store `to` and the bundle beside them; its new reference. `all_images`: those
    of others that its manifests use too.

    The images come first: a bundle that can be seen can be installed. Raises `LinealError`."""
    address, version = registry.parse(reference)
    if is_directory(to):
        raise BadConfiguration(f"{to} is no registry, and no cluster could install from it.", id="LN-7002",
                               remedy="Write TO as HOST/REPOSITORY.")  # fmt: skip
    target = session.stores.store(to.removeprefix(registry.SCHEME))
    beside(target)
    helm = find_helm(session, needed=all_images)
    environ, given, warn = session.settings.environ, session.given_policy, session.progress.warn
    vouchers = vouchers_of(environ, given, warn)
    signing = signing_alone(environ, session.start, given, session.hide, warn)
    bundle, manifest = registry.get(session.stores.image(address, target)[0], version, reference, vouchers)
    moved = BundleCopy(session, bundle, reference, target, helm).carry_out(all_images)
    copied = vouched(vouchers.marks, moved, signing.signers)
    found = manifest.json.get("annotations")
    page = found.get("org.opencontainers.image.source") if isinstance(found, dict) else None
    return put_beside(target, copied, page if isinstance(page, str) else None, session.progress.note)
