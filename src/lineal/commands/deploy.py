"""`lineal deploy` and `lineal converge`: the release with the images' digests, until it is ready."""

from __future__ import annotations

from collections.abc import Callable

from lineal.commands.build import build_images
from lineal.commands.finish import Finishing
from lineal.commands.output import introduce, introduce_lock, references, show
from lineal.commands.plan import plan_images, unbuilt
from lineal.commands.reporting import reporting
from lineal.deploy.helm.client import Helm
from lineal.deploy.inputs import ReleaseInputs
from lineal.deploy.release import Release
from lineal.deploy.upgrade import Upgrade
from lineal.report.model import ReleaseReport
from lineal.session.session import Session, require_write


def deploy(session: Session) -> None:
    """The whole command. Raises `LinealError`."""
    with reporting(session, "deploy") as told:
        inputs = ReleaseInputs(session)
        introduce(session)
        require_write(session, "it does not deploy")
        session.trust.require("deploy")
        inputs.prepare()
        told.result = Finishing.of(session, unbuilt(session, plan_images(session, release=inputs)))
        deploy_release(session, inputs.helm, inputs.release(told.result), told.keep_release)


def converge(session: Session) -> None:
    """The whole command: build what is missing, then deploy. Raises `LinealError`."""
    with reporting(session, "converge") as told:
        inputs = ReleaseInputs(session)
        introduce(session)
        introduce_lock(session)
        if session.context.may_write:
            session.trust.require("deploy")
        _ = inputs.helm  # a missing one is told before the build, not after it
        plan = plan_images(session, release=inputs)
        told.result = unbuilt(session, plan)
        told.result = build_images(session, plan, told.keep)
        if session.context.may_write:
            deploy_release(session, inputs.helm, inputs.release(told.result), told.keep_release)
        else:
            session.progress.note("This run may not write, so it does not deploy either.")
    show(references(told.result))


def deploy_release(
    session: Session, helm: Helm, release: Release, told: Callable[[ReleaseReport], None] = lambda _: None
) -> ReleaseReport:
    """Install or upgrade, and wait until the release is ready. `told` gets the report at once: it is right at any
    time, also when this raises `LinealError`."""
    progress = session.progress
    progress.note(f"Deploying {release} with helm {helm.version}.")
    upgrade = Upgrade(helm, release, session.notes, session.holder)
    told(upgrade.report)
    upgrade.run(session.settings.skip_unchanged.value)
    return upgrade.report
