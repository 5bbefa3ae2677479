"""`lineal bundle apply`: a release made of a bundle, with no source at hand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lineal.config.secrets import SecretValues
from lineal.deploy import shelf
from lineal.deploy.bundle import Bundle
from lineal.deploy.release import Chart, Release, ValuesFile
from lineal.deploy.sops import opened
from lineal.deploy.values import ValuesText, template_names, write
from lineal.rollout import read_values, seconds_of
from lineal.store import Manifest, Store
from lineal.store.address import open_store

if TYPE_CHECKING:
    from lineal.deploy.helm import Helm
    from lineal.run import Run

_TIMEOUT = "10m"


class Installation:
    """`reference` as the user wrote it. Raises `BadConfiguration` when it does not say which bundle."""

    def __init__(self, run: Run, reference: str) -> None:
        self.run = run
        self.reference = reference
        self.address, self.version = shelf.parse(reference)

    @cached_property
    def helm(self) -> Helm:
        from lineal.deploy.helm import Helm

        return Helm.find(self.run.options.environ, self.secrets.mask)

    @cached_property
    def secrets(self) -> SecretValues:
        """What the encrypted values turn out to be."""
        return SecretValues({}, [], self.run.options.environ, self.run.start)

    @cached_property
    def store(self) -> Store:
        run = self.run
        return open_store(
            self.address, insecure_hosts=run.insecure, workdir=run.workspace, environ=run.options.environ
        )

    @cached_property
    def _found(self) -> tuple[Bundle, Manifest]:
        return shelf.get(self.store, self.version, self.reference)

    @property
    def bundle(self) -> Bundle:
        return self._found[0]

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
        files = opened([*sealed, *given], run.options.environ, self.secrets, run.workspace / "sealed")
        about: dict[str, object] = {"global": {"lineal": {"env": run.env.value}}} if run.env.value else {}
        known = template_names(common, bundle.project, bundle.images)
        return write(run.workspace / "values", files, known, about)
