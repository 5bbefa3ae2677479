"""`lineal render --to-git`: what was rendered as a commit of another repository, for whatever deploys from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lineal.build.result import BuildResult
from lineal.ci.provider import run_name
from lineal.config.setting import Setting
from lineal.deploy import manifest_files
from lineal.deploy.handover import Destination, Folder, Overtaken, Stamp, ValuesOnly, message
from lineal.deploy.inputs import ReleaseInputs
from lineal.deploy.values import GLOBAL, image_values, put_values
from lineal.errors import BadConfiguration
from lineal.git.cache import cache_directory
from lineal.git.login import SIGNING_KEY, parse_address, signing
from lineal.git.succession import is_overtaken
from lineal.git.target_branch import Committed, TargetBranch, check_branch, check_path
from lineal.report.model import HandoverReport
from lineal.session.session import Session, require_write

_SHORT = 12
Content = Folder | ValuesOnly
"""What is committed."""


class Handover:
    """`report` tells what has become of it at any time."""

    def __init__(self, session: Session, to: Destination) -> None:
        """Raises `BadConfiguration` and `DeployFailed` for a run that cannot do it, before any work."""
        assert to.url is not None and to.branch is not None
        self._session = session
        environ = session.settings.environ
        self._address = parse_address(to.url, session.start, environ)
        self._branch, self._path = check_branch(to.branch), check_path(to.path or "")
        self.report = HandoverReport(
            repository=self._address.url, branch=self._branch, path=self._path, outcome="not committed"
        )
        if session.settings.dev.value:
            what = "A commit elsewhere is of a commit here, and --dev is about the working tree."
            raise BadConfiguration(what, id="LN-6067", remedy="Commit, and leave --dev out.")
        require_write(session, "it commits nothing to another repository")

    def carry_out(self, result: BuildResult, content: Content) -> None:
        """Raises `LinealError`."""
        session, note = self._session, self._session.progress.note
        settings, variables = signing(
            session.settings.environ, session.workspace / "keys", before=session.holds_secrets,
            at_end=session.at_close,
        )  # fmt: skip
        branch = TargetBranch(
            self._address.url, self._branch, session.workspace / "target",
            {**session.settings.environ, **variables}, login=(*self._address.login, *settings),
            stopped=session.stopped,
        )  # fmt: skip
        note(f"Committing to {self._branch} of {self._address.url}.")
        try:
            done = branch.commit(content.change, self._message(result), sign=bool(settings), note=note)
        except Overtaken as later:
            self.report.outcome, self.report.commit = "left", branch.base
            note(
                f"Nothing was committed: {self._where} is of commit {later.commit[:_SHORT]} already, which comes "
                "after this one."
            )
            return
        self._tell(done)

    def _tell(self, done: Committed) -> None:
        report, note = self.report, self._session.progress.note
        report.commit = done.commit
        if done.changed and done.commit:
            report.outcome, report.changed = "committed", sorted(done.paths)
            note(f"Committed {done.commit[:_SHORT]} to {self._branch}: {len(done.paths)} files of {self._where}.")
        else:
            report.outcome = "unchanged"
            note(f"Nothing changed in {self._where}, so nothing is committed.")

    @property
    def _where(self) -> str:
        return f"{self._path or 'the root'} of {self._address.url}"

    @property
    def _stamp(self) -> Stamp:
        return Stamp(self._session.loaded.project.project, self._session.checkout.commit)

    def _overtaken(self, by: str) -> bool:
        session = self._session
        cache = cache_directory(session.settings.environ)
        return is_overtaken(session.checkout, session.checkout.commit, by, cache)

    def check_manifests(self, inputs: ReleaseInputs) -> None:
        """Raises `BadConfiguration` when the manifests would show what the commit keeps secret."""
        if encrypted := inputs.encrypted:
            what = f"{encrypted[0].name} is encrypted, and the manifests would have its values in plain text in git."
            remedy = (
                "Leave it out of `deploy.values`, commit `--values-only`, or let the cluster open secrets itself."
            )
            raise BadConfiguration(what, id="LN-6067", remedy=remedy)

    def folder(self, files: Mapping[str, str]) -> Folder:
        """These files, by name."""
        signed = bool(self._session.settings.environ.get(SIGNING_KEY, "").strip())
        return Folder(self._path, files, self._stamp, self._overtaken, signed)

    def values(self, inputs: ReleaseInputs, result: BuildResult) -> ValuesOnly:
        """The values files of the release without encrypted ones, and of `global.lineal` the images alone: all else
        there would be another text for each commit."""
        from lineal.deploy.helm.values_merge import merged

        workspace = self._session.workspace
        sealed = {file.name for file in inputs.encrypted}
        for name in sorted(sealed):
            self._session.progress.warn(f"{name} is encrypted, and its values are left out of {self._path}.")
        release = inputs.release(result)
        plain = [file for file in release.values if file.name not in (*sealed, GLOBAL)]
        if not inputs.deploy.chart:
            what = "--values-only is for a chart, and this project has none."
            raise BadConfiguration(what, id="LN-6067", remedy="Leave it out: the manifests are committed.")
        if inputs.deploy.global_:
            plain.append(put_values(workspace / "images.json", image_values(result)))
        release = replace(release, values=tuple(plain))
        values = merged(inputs.helm, release, workspace / "merged").given
        return ValuesOnly(self._path, manifest_files.written(values), self._stamp, self._overtaken)

    def _message(self, result: BuildResult) -> str:
        session = self._session
        env: Setting[str] = session.settings.env
        images = {name: image.image for name, image in image_values(result).items()}
        source = session.web_address
        return message(self._stamp, env.value, source, run_name(session.settings.environ), images)
