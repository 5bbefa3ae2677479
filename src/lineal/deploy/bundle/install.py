"""`lineal bundle apply`: a release made of a bundle, with no source at hand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lineal.config.secrets import SecretValues
from lineal.deploy import sops_policy
from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import Bundle
from lineal.deploy.bundle.vouched import vouchers_of
from lineal.deploy.inputs import read_values, seconds_of
from lineal.deploy.release import Chart, Release, ValuesFile
from lineal.deploy.sops import decrypted, is_encrypted
from lineal.deploy.values import ValuesText, template_names, write
from lineal.oci.types import Manifest
from lineal.report.model import BundleReport
from lineal.session.settings import ReleaseSettings

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm
    from lineal.session.session import Session


class Installation:
    """`reference` as the user wrote it. Raises `BadConfiguration` when it does not say which bundle."""

    def __init__(self, session: Session, reference: str) -> None:
        self.session = session
        self.reference = reference
        address, self.version = registry.parse(reference)
        self.store = session.stores.store(address)
        self._vouchers = vouchers_of(session.settings.environ, session.given_policy, session.progress.warn)
        self._found: tuple[Bundle, Manifest] | None = None

    @cached_property
    def helm(self) -> Helm:
        from lineal.deploy.helm.client import Helm

        return Helm.find(self.session.settings.environ, self.secrets.mask)

    @cached_property
    def secrets(self) -> SecretValues:
        """Learns the decrypted values, so that no message shows them."""
        return SecretValues({}, [], self.session.settings.environ, self.session.start, within=self.session.hidden)

    @property
    def bundle(self) -> Bundle:
        self._found = self._found or registry.get(self.store, self.version, self.reference, self._vouchers)
        return self._found[0]

    def found(self) -> tuple[BundleReport, Bundle | None]:
        """As far as the bundle is known by now."""
        about = BundleReport(reference=self.reference)
        if self._found is None:
            return about, None
        bundle, manifest = self._found
        about.name, about.version, about.commit = bundle.name, bundle.titles.get("version"), bundle.commit
        about.digest = manifest.digest
        return about, bundle

    def release(self) -> Release:
        """Everything that helm needs, in the run's private directory.

        Values in order, later wins: the bundle's, its encrypted ones, `--values`, the environment's name, `--set`."""
        session, settings = self.session, self.session.settings
        _ = self.helm  # a missing one is told before anything is fetched
        given = [ValuesText(path, read_values(session.start / path)) for path in settings.values.value]
        bundle = self.bundle
        chart = session.workspace / "bundle.tgz"
        chart.write_bytes(bundle.archive())
        env = settings.env.value
        names = ReleaseSettings.of(settings, default=f"{bundle.project}-{env}" if env else bundle.project)
        return Release(
            name=names.name.value,
            namespace=names.namespace.value,
            chart=Chart(str(chart), self.reference),
            values=self._values(given),
            sets=settings.sets.value,
            kube_context=settings.kube_context.value or None,
            skip_schema=settings.skip_schema_validation.value,
            take_ownership=settings.take_ownership.value,
            server_side=settings.server_side.value,
            timeout=seconds_of(names.timeout),
            description=f"{bundle.project} {bundle.commit[:12]}",
        )

    def _values(self, given: list[ValuesText]) -> tuple[ValuesFile, ...]:
        from lineal.config.giterminism import Giterminism
        from lineal.config.template import GitFacts, names

        session, bundle = self.session, self.bundle
        settings = session.settings
        common = names(
            git=GitFacts(bundle.commit, bundle.commit[:7], None, None), env=settings.env.value or None,
            vars=settings.vars.value, environ={}, giterminism=Giterminism(),
        )  # fmt: skip
        encrypted = [ValuesText(path, text.decode("utf-8", "replace")) for path, text in bundle.encrypted.items()]
        sops_policy.check(encrypted, settings.environ)
        if encrypted or any(map(is_encrypted, given)):
            session.holds_secrets()
        files = decrypted([*encrypted, *given], settings.environ, self.secrets, session.workspace / "decrypted")
        told = settings.env.value and bundle.tells_environment
        about: dict[str, object] = {"global": {"lineal": {"env": settings.env.value}}} if told else {}
        known = template_names(common, bundle.project, bundle.images)
        return write(session.workspace / "values", files, known, about)
