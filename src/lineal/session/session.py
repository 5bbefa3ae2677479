"""One run: from the checked-out commit to images and a report. The commands of `cli.py` are uses of this class."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.ci.context import Context
from lineal.ci.provider import detect
from lineal.config.giterminism import FILE as GITERMINISM_FILE
from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.load import LoadedProject, implicit_project, load
from lineal.config.model import FILE
from lineal.config.secrets import SecretValues, parse_secret
from lineal.config.setting import Setting
from lineal.config.ssh_agents import SshAgents, parse_ssh
from lineal.config.template import GitFacts
from lineal.context.uncommitted import find, refuse
from lineal.dockerfile.images import ImageGraphs, read_images
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, LinealError, Location, Uncommitted
from lineal.git.history import GitHistory
from lineal.git.repository import Repository
from lineal.lock import Lock
from lineal.lock.select import Choice, LockContext, choose, open_lock
from lineal.oci import Store
from lineal.progress import Progress
from lineal.report.model import StageReport
from lineal.session.options import Options
from lineal.stages.lookup import Lookup
from lineal.stages.plan import BuildPlan, reconcile, resolve
from lineal.stages.visibility import HistoryPosition
from lineal.store.open import LAYOUT, REGISTRY_LOGIN, StoreOpener, check_address

if TYPE_CHECKING:
    from lineal.build.environment import BuildEnvironment


class Session:
    """Everything is worked out when it is first asked for: a command pays only for what it uses."""

    def __init__(self, options: Options, progress: Progress, workspace: Path, start: Path) -> None:
        """`workspace` is a private directory that the caller removes; `start` is inside the repository."""
        self.options = options
        self.progress = progress
        self.workspace = workspace
        self.start = start
        self.started = time.monotonic()
        self.reports: dict[str, StageReport] = {}
        self.told = False
        """Whether its report was written: a run that failed before has only its error to tell."""
        self.stopped = threading.Event()
        """Set when building ends early: whoever waits for something gives up."""
        self._closing = ExitStack()

    def close(self) -> None:
        self._closing.close()

    # --- the commit ---------------------------------------------------------------------------------------------

    @cached_property
    def checkout(self) -> Repository:
        """The clone at its HEAD."""
        repository = Repository.open(self.start, dict(self.options.environ))
        self._closing.callback(repository.close)
        return repository

    @cached_property
    def repository(self) -> Repository:
        """What is built: the checked-out commit; with --dev the working tree, as a commit of this run only."""
        if not self.dev:
            return self.checkout
        from lineal.git.working_tree import working_tree

        repository = working_tree(self.checkout, self.workspace / "dev")
        self._closing.callback(repository.close)
        return repository

    @cached_property
    def dev(self) -> bool:
        return self.options.flag("dev").value

    @cached_property
    def context(self) -> Context:
        return detect(self.options.environ, self.checkout)

    @cached_property
    def line(self) -> HistoryPosition:
        """The line of history that stages are looked up and published for."""
        repository, context = self.repository, self.context
        if self.dev:
            from lineal.git.working_tree import dev_branch

            return HistoryPosition(repository.commit, repository.tree, dev_branch(repository))
        return HistoryPosition(
            repository.commit, repository.tree, context.branch or context.tag or "", context.parents
        )

    # --- the configuration --------------------------------------------------------------------------------------

    @cached_property
    def giterminism(self) -> Giterminism:
        return load_giterminism(self._text(GITERMINISM_FILE))

    @cached_property
    def env(self) -> Setting[str]:
        return self.options.text("env")

    @cached_property
    def git_facts(self) -> GitFacts:
        commit = self.checkout.commit
        return GitFacts(commit, commit[:7], self.context.branch, self.context.tag)

    @cached_property
    def loaded(self) -> LoadedProject:
        text = self._text(FILE)
        if text is None:
            self._complain_about_uncommitted(FILE)
            name = (self.context.repository or self.repository.root.name).rpartition("/")[2]
            found = implicit_project(self.repository.file("Dockerfile") is not None, name)
            self.progress.note(f"There is no {FILE}: building ./Dockerfile as the image {found.project.project!r}.")
            return found
        return load(
            text,
            env=self.env.value or None,
            vars=self.options.variables(),
            git=self.git_facts,
            environ=self.options.environ,
            giterminism=self.giterminism,
        )

    def _text(self, path: str) -> str | None:
        data = self.repository.file(path)
        try:
            return None if data is None else data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadConfiguration("is not UTF-8 text.", place=Location(path), remedy="Save it as UTF-8.") from None

    def _complain_about_uncommitted(self, path: str) -> None:
        if (self.repository.root / path).exists():
            raise Uncommitted(
                f"{path} is in the working tree, but not in the commit.",
                remedy="Run `git add` and `git commit` first, or build the working tree with --dev.",
            )

    @cached_property
    def secrets(self) -> SecretValues:
        configured = {name: image.secrets for name, image in self.loaded.project.images.items()}
        given = [parse_secret(text, self.start) for text in self.options.many("secret")]
        return SecretValues(configured, given, self.options.environ, self.repository.root)

    @cached_property
    def agents(self) -> SshAgents:
        configured = {name: image.ssh for name, image in self.loaded.project.images.items()}
        given = [parse_ssh(text, self.start) for text in self.options.many("ssh")]
        return SshAgents(configured, given, self.options.environ, self.repository.root)

    # --- the store ----------------------------------------------------------------------------------------------

    @cached_property
    def repo(self) -> Setting[str]:
        """The store's address, which may be shown: one with a password in it is refused."""
        configured, default = self.loaded.setting("repo"), self.context.default_store
        source = self.context.sources.get("default_store", "the CI")
        if not default:
            cache = cache_directory(self.options.environ) / "stores" / self.loaded.project.project
            default, source = f"{LAYOUT}{cache}", "default outside CI"
        found = self.options.text("repo", configured, default, source)
        try:
            check_address(found.value)
        except BadConfiguration as error:
            error.message = f"{error.message[:-1]} ({found.origin})."
            raise
        return found

    @cached_property
    def insecure(self) -> list[str]:
        return self.options.many("insecure-registry")

    @cached_property
    def stores(self) -> StoreOpener:
        """Opens what is not the run's own store: base images, bundles."""
        return StoreOpener(self.start, self.options.environ, self.insecure)

    @cached_property
    def store(self) -> Store:
        own = StoreOpener(self.repository.root, self._registry_login, self.insecure)
        store = own.store(self.repo.value)
        if self.context.may_write:
            return store
        from lineal.store.layout import Layout
        from lineal.store.read_through import ReadThroughStore

        self.progress.note(
            "This run may not write: it reads the store, builds what is missing and publishes nothing."
        )
        return ReadThroughStore(Layout(self.workspace / "private", "private", partial=True), store)

    @property
    def _registry_login(self) -> Mapping[str, str]:
        """A stranger's commit does not say who gets this job's password."""
        environ = self.options.environ
        if self.context.may_write or self.repo.origin.place is None or not environ.get(REGISTRY_LOGIN[0]):
            return environ
        self.progress.warn(
            f"{self.repo.value} comes from the commit ({self.repo.origin}), which is not this project's own: it does "
            f"not get the password in {REGISTRY_LOGIN[1]}. Give the store with `--repo` if it should."
        )
        return {name: value for name, value in environ.items() if name not in REGISTRY_LOGIN}

    @cached_property
    def lock_choice(self) -> Setting[str]:
        return self.options.text("lock", self.loaded.setting("lock"), "auto")

    @cached_property
    def lock_used(self) -> Choice:
        return choose(self.lock_choice, self.repo.value, self.context.may_write, self.options.environ)

    @cached_property
    def lock(self) -> Lock:
        surroundings = LockContext(
            store=self.repo.value,
            layout=self.store.directory,
            repository=self.checkout,
            workspace=self.workspace,
            kube_context=self.options.text("kube-context").value,
            environ=self.options.environ,
            stopped=self.stopped,
            warn=self.progress.warn,
            note=self.progress.note,
        )
        return open_lock(self.lock_used.address, surroundings)

    @cached_property
    def history(self) -> GitHistory:
        history = GitHistory(self.repository, [self.repository.commit], cache_directory(self.options.environ))
        self._closing.callback(history.close)
        return history

    @cached_property
    def lookup(self) -> Lookup:
        lookup = Lookup(self.store, self.line, self.history)
        self._closing.callback(lookup.close)
        return lookup

    # --- images -------------------------------------------------------------------------------------------------

    def images(
        self, wanted: Iterable[str] = (), folders: Iterable[str] = (), files: Iterable[str] = ()
    ) -> ImageGraphs:
        """The graphs of the wanted images, once nothing uncommitted would change them. `folders` and `files` are what
        else the command reads: the chart, values files."""
        images = read_images(self.repository, self.loaded, wanted, self.giterminism.unpinned)
        if not self.dev:
            read = {FILE, GITERMINISM_FILE, *images.files, *files}
            changes = find(self.repository, read, folders, images.readings())
            left_out = self.options.flag("ignore-uncommitted").value
            refuse(changes, lambda path: left_out or self.giterminism.tolerates(path), self.progress.warn)
        return images

    def look(self, images: ImageGraphs) -> BuildPlan:
        """What the store has for these images; for what it never had, the change that made it new."""
        outlook = resolve(images.last, self.lookup)
        for note in self.history.notes:
            self.progress.warn(note)
        unknown = [stage for stage in outlook.needed if not outlook.findings[stage.checksum].anchored]
        if unknown:
            reasons = self._reasons(images.last)
            for stage in unknown:
                finding = outlook.findings[stage.checksum]
                outlook.findings[stage.checksum] = replace(
                    finding, reason=reasons.get(stage.checksum, finding.reason)
                )
        return outlook

    def _reasons(self, images: Mapping[str, Stage]) -> dict[str, str]:
        """What changed since the commit before; nothing when that one is not here or could not be planned."""
        from lineal.stages.rebuild_reason import explain

        earlier = next(iter(self.repository.parents(self.repository.commit)), None)
        try:
            before = self.repository.at(earlier) if earlier else None
            if before is None:
                return {}
            previous = read_images(before, self.loaded, list(images), self.giterminism.unpinned)
            return explain(images, previous.last, before.commit[:7])
        except LinealError:
            return {}

    def build(self, outlook: BuildPlan) -> None:
        """Build and publish what is missing, and agree with runs that did the same at the same time."""
        if outlook.needed:
            self._build(outlook)
        reconcile(outlook, self.lookup, self.reports)

    def _build(self, outlook: BuildPlan) -> None:
        from lineal.build.scheduler import Provenance, Scheduler
        from lineal.stages.publish import Publisher

        conveyor = Scheduler(
            self.store,
            self.lookup,
            Publisher(self.store, self.lock, self.lookup),
            self._workshop(),
            Provenance(self.line.recorded, self.line.tree, self.line.branch, self.loaded.project.project),
            self.progress,
            self.options.job_count().value,
            self.stopped,
        )
        try:
            conveyor.build(outlook)
        finally:
            self.reports |= conveyor.reports

    @property
    def days_kept(self) -> Setting[int]:
        key = "cleanup.keep_days"
        configured = Setting(self.loaded.project.cleanup.keep_days, self.loaded.origins[key])
        return self.options.days_kept(configured)

    @property
    def engine_network(self) -> Setting[str]:
        return self.options.text("engine-network", default="default")

    def _workshop(self) -> BuildEnvironment:
        from lineal.build.environment import BuildEnvironment
        from lineal.engine.docker.engine import DockerEngine

        environ = self.options.environ
        return BuildEnvironment(
            store=self.store,
            base_store=lambda reference: self.stores.image(reference, self.store),
            engine=DockerEngine(network=self.engine_network.value, environment=environ),
            secrets=self.secrets,
            agents=self.agents.socket,
            proxies={name: image.args for name, image in self.loaded.project.images.items()},
            cache_scope=self.loaded.project.project + ("" if self.context.may_write else " (may not write)"),
            workspace=self.workspace,
        )


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where Lineal keeps what it can do without: the default store, fetched history."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/tmp", ".cache")  # noqa: S108, PTH118
    return Path(base) / "lineal"
