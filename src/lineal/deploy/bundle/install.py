"""`lineal bundle apply`: a release made of a bundle, with no source at hand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lineal.commands.reporting import bare_report
from lineal.config.secrets import SecretValues
from lineal.deploy import sops_policy
from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import Bundle
from lineal.deploy.inputs import read_values, seconds_of
from lineal.deploy.release import Chart, Release, ValuesFile
from lineal.deploy.sops import decrypted
from lineal.deploy.values import ValuesText, template_names, write
from lineal.oci.types import Manifest
from lineal.report.model import BundleReport, ImageReport

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm
    from lineal.report.model import Report
    from lineal.session.session import Session

COMMAND = "bundle apply"
_TIMEOUT = "10m"


class Installation:
    """`reference` as the user wrote it. Raises `BadConfiguration` when it does not say which bundle."""

    def __init__(self, run: Session, reference: str) -> None:
        self.run = run
        self.reference = reference
        address, self.version = registry.parse(reference)
        self.store = run.stores.store(address)
        self._found: tuple[Bundle, Manifest] | None = None

    @cached_property
    def helm(self) -> Helm:
        from lineal.deploy.helm.client import Helm

        return Helm.find(self.run.options.environ, self.secrets.mask)

    @cached_property
    def secrets(self) -> SecretValues:
        """What the encrypted values turn out to be."""
        return SecretValues({}, [], self.run.options.environ, self.run.start)

    @property
    def bundle(self) -> Bundle:
        self._found = self._found or registry.get(self.store, self.version, self.reference)
        return self._found[0]

    def report(self) -> Report:
        """As far as it is known by now."""
        about = BundleReport(reference=self.reference)
        if self._found is None:
            made = bare_report(self.run, COMMAND, None, self.store)
        else:
            bundle, manifest = self._found
            about.name, about.version, about.commit = bundle.name, bundle.titles.get("version"), bundle.commit
            about.digest = manifest.digest
            made = bare_report(self.run, COMMAND, bundle.project, self.store)
            made.images = [
                ImageReport(name=name, ref=image.ref, image=image.image, repository=image.repository, tag=image.tag,
                            digest=image.digest)
                for name, image in bundle.all_images.items()
            ]  # fmt: skip
        made.bundle = about
        return made

    def release(self) -> Release:
        """Everything that helm needs, in the run's private directory.

        Values in order, later wins: the bundle's, its encrypted ones, `--values`, the environment's name, `--set`."""
        run, options = self.run, self.run.options
        _ = self.helm  # a missing one is told before anything is fetched
        given = [ValuesText(path, read_values(run.start / path)) for path in options.many("values")]
        bundle = self.bundle
        chart = run.workspace / "bundle.tgz"
        chart.write_bytes(bundle.archive())
        env = run.env.value
        default = f"{bundle.project}-{env}" if env else bundle.project
        timeout = options.text("timeout", default=_TIMEOUT)
        return Release(
            name=options.text("release", default=default).value,
            namespace=options.text("namespace", default=default).value,
            chart=Chart(str(chart), self.reference),
            values=self._values(given),
            sets=tuple(options.many("set")),
            kube_context=options.text("kube-context").value or None,
            timeout=seconds_of(timeout),
            description=f"{bundle.project} {bundle.commit[:12]}",
        )

    def _values(self, given: list[ValuesText]) -> tuple[ValuesFile, ...]:
        from lineal.config.giterminism import Giterminism
        from lineal.config.template import GitFacts, names

        run, bundle = self.run, self.bundle
        common = names(
            git=GitFacts(bundle.commit, bundle.commit[:7], None, None), env=run.env.value or None,
            vars=run.options.variables(), environ={}, giterminism=Giterminism(),
        )  # fmt: skip
        sealed = [ValuesText(path, text.decode("utf-8", "replace")) for path, text in bundle.sealed.items()]
        sops_policy.check(sealed, run.options.environ)
        files = decrypted([*sealed, *given], run.options.environ, self.secrets, run.workspace / "sealed")
        about: dict[str, object] = {"global": {"lineal": {"env": run.env.value}}} if run.env.value else {}
        known = template_names(common, bundle.project, bundle.images)
        return write(run.workspace / "values", files, known, about)
