"""A session: everything that a run opens and closes: the clone, the configuration, the store, its lock, the
history."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.ci.context import Context
from lineal.ci.provider import provider_of, run_name
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject
from lineal.config.model import FILE
from lineal.config.secrets import Mask, SecretValues
from lineal.config.setting import DEFAULT, Origin, Setting
from lineal.config.ssh_agents import SshAgents
from lineal.config.template import GitFacts
from lineal.context.artifacts import Artifacts
from lineal.context.committed import COMMIT_IT, NOT_COMMITTED
from lineal.errors import DeployFailed, Uncommitted
from lineal.git.cache import cache_directory
from lineal.git.commit import Commit
from lineal.git.history import Ancestry, GitHistory
from lineal.lock import Lock
from lineal.lock.select import Choice, LockContext, choose, open_lock
from lineal.oci import Store
from lineal.oci.credential import Credential
from lineal.oci.platform import normal
from lineal.progress import Notes, Progress
from lineal.session.given import Given
from lineal.session.identity import IdentityOfRun
from lineal.session.leaving import MaskedProgress, mask_error, secrets_of_job
from lineal.session.policy import PolicyOfRun, of_commit, of_file, require_narrower
from lineal.session.private_directory import private_directory
from lineal.session.project import load_exceptions, load_project, project_of_dockerfile, project_of_flags
from lineal.session.settings import PUBLISH, Settings, StoreSettings
from lineal.session.signing import SigningOfRun
from lineal.session.trust import TrustOfRun, keys_of
from lineal.store.mirror import Mirrors
from lineal.store.open import LAYOUT, REGISTRY_LOGIN, StoreOpener, connect, normal_address
from lineal.trust.mark import repository_of

if TYPE_CHECKING:
    from lineal.dockerfile.stage import Platforms
    from lineal.engine.table import EngineTable
    from lineal.publish.publication import Publication
    from lineal.stages.lookup import Lookup
    from lineal.stages.visibility import HistoryPosition


_SPARE = 3
"""Connections for what the first image that misses is made of."""


class Session:
    """Each part is opened when it is first asked for: a command pays only for what it uses."""

    def __init__(self, settings: Settings, progress: Progress, workspace: Path, start: Path) -> None:
        """`workspace` is a private directory that the caller removes; `start` is inside the repository."""
        self.settings = settings
        self.hidden = Mask(secrets_of_job(settings.environ))
        """All secrets that the run has read so far: nothing that leaves it shows one."""
        self.progress = MaskedProgress(progress, self.hidden.mask)
        self.workspace = workspace
        self._reaped = False
        self.start = start
        self.started = time.monotonic()
        self.finals: list[Store] = []
        """The final repositories that were opened, beside the store."""
        self.stopped = threading.Event()
        """Set when building ends early: whoever waits for something gives up."""
        self._closing, self._at_last = ExitStack(), ExitStack()
        self._connections = 1
        """To the store, that are opened at once."""
        self._opening: threading.Thread | None = None
        self._opened: Commit | None = None

    @classmethod
    @contextmanager
    def open(
        cls, settings: Settings, start: Path | None = None, progress: Progress | None = None
    ) -> Iterator[Session]:
        """A session with a private directory; both are gone afterwards. `start` is inside the repository, by default
        the working directory; `progress` goes to stderr by default."""
        from lineal.kube.exec_programs import replaced
        from lineal.kube.kubeconfig import content, on_disk
        from lineal.report.select import choose as choose_progress

        progress = progress or choose_progress(sys.stderr, settings.environ, provider_of(settings.environ).markers())
        with private_directory() as workspace, closing(progress):
            session = cls(settings, progress, workspace, start or Path.cwd())
            if content(settings.environ.get("KUBECONFIG", "")) is not None:
                session.holds_secrets()
                session.settings = replace(settings, environ=on_disk(settings.environ, workspace))
            environ = replaced(session.settings.environ, workspace, session.holds_secrets)
            session.settings = replace(session.settings, environ=environ)
            try:
                yield session
            except BaseException as error:
                mask_error(error, session.hidden.mask)
                raise
            finally:
                session.close()

    def holds_secrets(self) -> None:
        """Before a secret is written to the workspace: it is gone even when this process is killed."""
        from lineal import process

        if not self._reaped:
            self._reaped = True
            self._at_last.enter_context(process.reaped(self.workspace))

    def at_close(self, close: Callable[[], object]) -> None:
        """Have something ended with the session."""
        self._closing.callback(close)

    def close(self) -> None:
        self._closing.close()
        self._at_last.close()

    # --- the commit ---------------------------------------------------------------------------------------------

    def expect_checkout(self) -> None:
        """Ask git about the clone beside what the caller does until then."""

        def ask() -> None:
            with suppress(Exception):  # who needs it asks again, and is told
                self._opened = self._open()

        self._opening = threading.Thread(target=ask, name="checkout", daemon=True)
        self._opening.start()

    def _open(self) -> Commit:
        return Commit.open(self.start, dict(self.settings.environ))

    @cached_property
    def checkout(self) -> Commit:
        """The clone at its HEAD."""
        if self._opening is not None:
            self._opening.join()
        repository = self._opened or self._open()
        self._closing.callback(repository.close)
        return repository

    @cached_property
    def repository(self) -> Commit:
        """The commit that is built: the one that is checked out, or with --dev the working tree as a commit of this
        run only."""
        if not self.settings.dev.value:
            return self.checkout
        from lineal.git.working_tree import working_tree

        repository = working_tree(self.checkout, self.workspace / "dev")
        self._closing.callback(repository.close)
        return repository

    @cached_property
    def web_address(self) -> str:
        """Where people find the repository; empty when that is nowhere."""
        from lineal.git.remote import web_address

        return web_address(self.checkout) or ""

    @cached_property
    def context(self) -> Context:
        context = provider_of(self.settings.environ).context(self.checkout)
        if context.unproven and PUBLISH in self.settings.allowed.value:
            sources = {**context.sources, "may_write": "--allow publish"}
            return replace(context, may_write=True, own=True, sources=sources)
        return context

    @cached_property
    def position(self) -> HistoryPosition:
        """Where in history stages are looked up and published."""
        from lineal.stages.visibility import HistoryPosition

        repository, context = self.repository, self.context
        if self.settings.dev.value:
            from lineal.git.working_tree import dev_branch

            return HistoryPosition(repository.commit, repository.tree, dev_branch(repository))
        return HistoryPosition(
            repository.commit, repository.tree, context.branch or context.tag or "", context.parents
        )

    # --- the configuration --------------------------------------------------------------------------------------

    @cached_property
    def giterminism(self) -> Giterminism:
        return load_exceptions(self.repository)

    @cached_property
    def artifacts(self) -> Artifacts:
        """What earlier jobs made in the working tree. What HEAD has is none of it, with --dev neither."""
        return Artifacts(self.giterminism.artifacts, self.checkout)

    @cached_property
    def git_facts(self) -> GitFacts:
        commit = self.checkout.commit
        context = self.context
        names = context.branch, context.tag, context.default_branch
        return GitFacts(commit, commit[:7], *names, _merged=bool(context.parents))

    @cached_property
    def loaded(self) -> LoadedProject:
        grants = self.given.templates(self.giterminism)
        flags, environ = self.settings.given.image, self.settings.environ
        found = load_project(self.repository, self.settings, self.git_facts, self.giterminism, grants)
        if found is not None:
            flags.refuse_beside_file()
            return found
        if (self.repository.root / FILE).exists():
            raise Uncommitted(f"{FILE} {NOT_COMMITTED}", id="LN-3002", remedy=COMMIT_IT)
        platforms = self.settings.platforms.value
        described = project_of_flags(self.repository, self.context.repository, flags, self.start, environ, platforms)
        if described is not None:
            return described
        found = project_of_dockerfile(self.repository, self.context.repository, platforms)
        self.progress.note(f"There is no {FILE}: building ./Dockerfile as the image {found.project.project!r}.")
        return found

    @property
    def platforms(self) -> Platforms:
        """Those of the images' platforms that this run builds for; empty for all."""
        given = self.settings.platforms.value
        return frozenset(given) if self.loaded.names_platforms else frozenset()

    @cached_property
    def engines(self) -> EngineTable:
        """Which engine executes what: as the run says, else as lineal.yaml does. A stranger's commit does not say
        who executes its commands and gets this job's secrets. Raises `BadConfiguration`."""
        from lineal.engine.select import check
        from lineal.engine.table import EngineTable, Named, parse_table

        engine, written = self.settings.engine, self.loaded.project.engines
        table = parse_table(engine.value, engine.origin.source)
        if engine.origin is not DEFAULT or not written:
            return table
        if not self.context.trusted:
            self.progress.warn("`engines` of lineal.yaml is left out: this commit is not the project's own.")
            return table
        named = {}
        for platform, name in written.items():
            place = self.loaded.place(f"engines.{platform}")
            named[normal(platform)] = Named(name.strip(), str(place))
            check(name.strip(), str(place))
        return EngineTable(table.default, named)

    def named(self, words: Sequence[str]) -> Sequence[str]:
        """The images that the words of a command line name; where flags describe one, it is that one."""
        return list(self.loaded.project.images) if self.loaded.described else words

    @cached_property
    def publications(self) -> Mapping[str, Publication]:
        """What becomes of each image that is finished. Raises `BadConfiguration` when `publish` is wrong."""
        from lineal.publish.publication import publications

        return publications(self.loaded, self.git_facts, self.store_settings.repo.value)

    @cached_property
    def given(self) -> Given:
        """What the caller gives to commands and templates of the commit, and what the commit may name."""
        return Given(self.settings, self.start, self.checkout, self.context, self.progress)

    @cached_property
    def secrets(self) -> SecretValues:
        return self.given.secrets(self.loaded, self.hidden)

    @cached_property
    def agents(self) -> SshAgents:
        return self.given.agents(self.loaded)

    # --- the store ----------------------------------------------------------------------------------------------

    @cached_property
    def store_settings(self) -> StoreSettings:
        default, source = self.context.default_store, self.context.sources.get("default_store", "the CI")
        if not default and self.context.in_ci:
            # A folder of the job would be gone with it, and the pipeline green.
            default, source = "", "no registry of the CI"
        elif not default:
            cache = cache_directory(self.settings.environ) / "stores" / self.loaded.project.project
            default, source = f"{LAYOUT}{cache}", "default outside CI"
        return StoreSettings.of(self.settings, self.loaded, Setting(default, Origin(source)))

    def reach_store(self, names: Sequence[str] = ()) -> None:
        """Open the store; connections to ask for these images (all by default) are made beside what the caller does
        next. What is wrong in the policy and in `publish` is told first. Raises `LinealError`."""
        self.check_policy()
        _ = self.publications
        self._connections = len(names or self.loaded.project.images)
        _ = self.store

    @cached_property
    def store(self) -> Store:
        """The store; for a run that may not write, one that keeps in private what the run builds."""
        store = self._own_stores.store(self.store_settings.repo.value)
        self._closing.callback(store.close)
        connect(store, self._connections + _SPARE)
        if self.context.may_write:
            return store
        from lineal.store.layout import Layout
        from lineal.store.read_through import ReadThroughStore

        self.progress.note(
            "This run may not write: it reads the store, builds what is missing and publishes nothing."
        )
        return ReadThroughStore(Layout(self.workspace / "private", "private", partial=True), store)

    def final_repository(self, address: str) -> Store:
        """A final repository of finished images, which may be the store itself; directories start from the
        repository's root. Raises `BadConfiguration`."""
        if normal_address(address) == normal_address(self.store_settings.repo.value):
            return self.store
        final = self._own_stores.final(address, self.store)
        if final.directory and self.store.directory and final.directory.resolve() == self.store.directory.resolve():
            return self.store
        self._closing.callback(final.close)
        self.finals.append(final)
        return final

    @cached_property
    def _own_stores(self) -> StoreOpener:
        """Opens what lineal.yaml names."""
        insecure, note = self.settings.insecure_registries.value, self.progress.note
        return StoreOpener(self.repository.root, self._registry_login, insecure, self._logins_of_job, note=note)

    @property
    def _logins_of_job(self) -> Mapping[str, Credential]:
        return provider_of(self.settings.environ).logins()

    @property
    def _registry_login(self) -> Mapping[str, str]:
        """A stranger's commit does not say who gets this job's password."""
        environ, repo = self.settings.environ, self.store_settings.repo
        if self.context.trusted or repo.origin.place is None or not environ.get(REGISTRY_LOGIN[0]):
            return environ
        self.progress.warn(
            f"{repo.value} comes from the commit ({repo.origin}), which is not this project's own: it does "
            f"not get the password in {REGISTRY_LOGIN[1]}. Give the store with `--repo` if it should."
        )
        return {name: value for name, value in environ.items() if name not in REGISTRY_LOGIN}

    @cached_property
    def stores(self) -> StoreOpener:
        """Opens stores and images that the user names; directories start from the run's private one."""
        settings, note = self.settings, self.progress.note

        def of_engine() -> list[str]:
            from lineal.engine.docker.mirrors import registry_mirrors

            return registry_mirrors(settings.environ)

        return StoreOpener(
            self.workspace,
            settings.environ,
            settings.insecure_registries.value,
            self._logins_of_job,
            Mirrors(settings.registry_mirrors.value, of_engine, note),
            note,
        )

    @cached_property
    def trust(self) -> TrustOfRun:
        """Whom this run believes. Raises `BadConfiguration`."""
        policy, place = self.policy.policy, self.policy.place("trust")
        keys = keys_of(self.settings.environ, self.context, self.progress.warn)
        repository, signing = repository_of(self.store_settings.repo.value), self.signing
        verifiers = [one for one in (signing.verifier, self.identity.verifier) if one is not None]
        signs = signing.has_key and signing.accepts
        cache, dev = cache_directory(self.settings.environ), self.position.dev
        return TrustOfRun(
            policy, keys, self.context, repository, place, tuple(verifiers), signs, dev, cache, self.identity
        )

    @cached_property
    def signing(self) -> SigningOfRun:
        """How this run signs, and whose signatures its commit accepts."""
        found = self.policy
        return SigningOfRun(
            found.policy, self.settings.environ, self.context, self.checkout.root, found.read, found.place,
            self.identity,
        )  # fmt: skip

    @cached_property
    def identity(self) -> IdentityOfRun:
        """What the CI vouches for, and who of those for whom one does is believed."""

        def in_history(commit: str) -> bool:
            own = {self.position.commit, *self.position.parents}
            return commit in own or self.history.seek((commit,), ()).ancestors[commit] is Ancestry.YES

        return IdentityOfRun(
            self.policy.policy, self.settings.environ, self.context,
            self.policy.place("trust.accept"), self.position.commit, in_history,
            self.hide, self.progress.warn,
        )  # fmt: skip

    def hide(self, secret: str) -> None:
        """Never show a secret."""
        self.hidden.hide([secret])

    @cached_property
    def policy(self) -> PolicyOfRun:
        """Whom the run believes, as its caller says, else its commit. Raises `BadConfiguration`."""
        return self.given_policy or of_commit(self.loaded, self.repository)

    def check_policy(self) -> None:
        """Before anything is built or deployed: a variable is no way around what the commit asks for. Raises
        `BadConfiguration`."""
        if self.given_policy is not None:
            require_narrower(self.given_policy, of_commit(self.loaded, self.repository))

    @cached_property
    def given_policy(self) -> PolicyOfRun | None:
        """What `--policy` says. Raises `BadConfiguration`."""
        name = self.settings.policy.value
        return of_file(self.start / name, name) if name else None

    @cached_property
    def lock_choice(self) -> Choice:
        settings = self.store_settings
        wanted, origin = settings.lock.value, settings.lock.origin.source
        return choose(wanted, origin, settings.repo.value, self.context.may_write, self.settings.environ)

    @property
    def notes(self) -> Notes:
        return Notes(self.progress.note, self.progress.warn, self.stopped)

    @property
    def holder(self) -> str:
        """The name of this run, for the people whose run waits for its lock."""
        return run_name(self.settings.environ)

    @property
    def _lock_environ(self) -> Mapping[str, str]:
        """A stranger's commit does not say who gets the password of etcd either."""
        environ, lock = self.settings.environ, self.store_settings.lock
        if self.context.trusted or lock.origin.place is None:
            return environ
        return {name: value for name, value in environ.items() if not name.startswith("LINEAL_ETCD_")}

    @cached_property
    def lock(self) -> Lock:
        context = LockContext(
            store=self.store_settings.repo.value,
            layout=self.store.directory,
            repository=self.checkout,
            workspace=self.workspace,
            kube_context=self.settings.kube_context.value,
            environ=self._lock_environ,
            holder=self.holder,
            notes=self.notes,
        )
        return open_lock(self.lock_choice.address, context)

    @cached_property
    def history(self) -> GitHistory:
        history = GitHistory(self.repository, [self.repository.commit], cache_directory(self.settings.environ))
        self._closing.callback(history.close)
        return history

    @cached_property
    def lookup(self) -> Lookup:
        from lineal.stages.lookup import Lookup

        trust, warn = self.trust, self.progress.warn
        lookup = Lookup(self.store, self.position, self.history, judge=trust.judge, lane=trust.lane, warn=warn)
        self._closing.callback(lookup.close)
        return lookup


def require_write(session: Session, refusal: str, remedy: str = "Run it on a branch of the project itself.") -> None:
    """Refuse a run that may not write; `refusal` ends the sentence, such as `it deploys nothing`."""
    if not session.context.may_write:
        fork = session.context.fork
        why = "a pull request from a fork" if fork else "its commit is not known to be the project's own"
        raise DeployFailed(f"This run may not write ({why}), so {refusal}.", id="LN-3013", remedy=remedy)
