"""A session: everything that a run opens and closes: the clone, the configuration, the store, its lock, the
history."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.ci.context import Context
from lineal.ci.provider import provider_of, run_name
from lineal.config.giterminism import Giterminism
from lineal.config.load import LoadedProject
from lineal.config.secrets import Mask, SecretValues
from lineal.config.ssh_agents import SshAgents
from lineal.config.template import GitFacts
from lineal.context.artifacts import Artifacts
from lineal.errors import DeployFailed
from lineal.git.cache import cache_directory
from lineal.git.commit import Commit
from lineal.git.history import Ancestry, GitHistory
from lineal.lock import Lock
from lineal.lock.select import Choice, LockContext, choose, open_lock
from lineal.oci import Store
from lineal.progress import Notes, Progress
from lineal.session.given import Given
from lineal.session.identity import IdentityOfRun
from lineal.session.leaving import MaskedProgress, mask_error, secrets_of_job
from lineal.session.policy import PolicyOfRun, of_commit, of_file, require_narrower
from lineal.session.project import load_exceptions, load_project, project_without_file
from lineal.session.settings import PUBLISH, Settings, StoreSettings
from lineal.session.signing import SigningOfRun
from lineal.session.stores import OwnStores, named_stores, store_settings
from lineal.session.trust import TrustOfRun, keys_of
from lineal.store.open import StoreOpener
from lineal.trust.mark import repository_of

if TYPE_CHECKING:
    from lineal.dockerfile.stage import Platforms
    from lineal.engine.table import EngineTable
    from lineal.publish.publication import Publication
    from lineal.stages.lookup import Lookup
    from lineal.stages.visibility import HistoryPosition

_BELOW = 5
"""Stages of one image that are asked for at once."""


class Session:
    """Each part is opened when it is first asked for: a command pays only for what it uses."""

    def __init__(self, settings: Settings, progress: Progress, workspace: Path | None, start: Path) -> None:
        """`workspace` is a private directory that the caller removes, by default one of the session's own; `start` is
        inside the repository."""
        self.settings = settings
        self.hidden = Mask(secrets_of_job(settings.environ))
        """All secrets that the run has read so far: nothing that leaves it shows one."""
        self.progress = MaskedProgress(progress, self.hidden.mask)
        if workspace is not None:
            self.workspace = workspace
        self._reaped = False
        self.start = start
        self.started = time.monotonic()
        self.stopped = threading.Event()
        """Set when building ends early: whoever waits for something gives up."""
        self._closing, self._at_last = ExitStack(), ExitStack()
        self._open_checkout: Callable[[], Commit] = lambda: Commit.open(start, dict(settings.environ))

    @classmethod
    @contextmanager
    def open(
        cls, settings: Settings, start: Path | None = None, progress: Progress | None = None
    ) -> Iterator[Session]:
        """A session; what it opens is closed afterwards. `start` is inside the repository, by default the working
        directory; `progress` goes to stderr by default."""
        from lineal.kube.exec_programs import replaced
        from lineal.kube.kubeconfig import content, on_disk
        from lineal.report.select import choose as choose_progress

        progress = progress or choose_progress(sys.stderr, settings.environ, provider_of(settings.environ).markers())
        with closing(progress):
            session = cls(settings, progress, None, start or Path.cwd())
            try:
                if content(settings.environ.get("KUBECONFIG", "")) is not None:
                    session.holds_secrets()
                    session.settings = replace(settings, environ=on_disk(settings.environ, session.workspace))
                environ = replaced(session.settings.environ, lambda: session.workspace, session.holds_secrets)
                session.settings = replace(session.settings, environ=environ)
                yield session
            except BaseException as error:
                mask_error(error, session.hidden.mask)
                raise
            finally:
                session.close()

    @cached_property
    def workspace(self) -> Path:
        """A private directory for files of the run, which is gone when the session is closed. A run that finds
        everything has none."""
        from lineal.session.private_directory import private_directory

        return self._at_last.enter_context(private_directory())

    def tidy(self) -> None:
        """Remove what killed runs have left, as a run with a private directory has done already."""
        from lineal.session.private_directory import remove_abandoned

        if "workspace" not in vars(self):
            remove_abandoned()

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

    def expect_checkout(self, begun: Callable[[], Commit]) -> None:
        """Git has been asked about the clone already, as the session would."""
        self._open_checkout = begun

    @cached_property
    def checkout(self) -> Commit:
        """The clone at its HEAD."""
        repository = self._open_checkout()
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
        found = load_project(self.repository, self.settings, self.git_facts, self.giterminism, grants)
        if found is not None:
            self.settings.given.image.refuse_beside_file()
            return found
        name, note = self.context.repository, self.progress.note
        return project_without_file(self.repository, name, self.settings, self.start, note)

    @property
    def platforms(self) -> Platforms:
        """Those of the images' platforms that this run builds for; empty for all."""
        given = self.settings.platforms.value
        return frozenset(given) if self.loaded.names_platforms else frozenset()

    @cached_property
    def engines(self) -> EngineTable:
        """Which engine executes what. Raises `BadConfiguration`."""
        from lineal.session.engines import engines_of

        return engines_of(self.settings, self.loaded, self.context, self.progress.warn)

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

    def reach_store(self, names: Sequence[str] = ()) -> None:
        """Open the store; connections to ask for these images (all by default) are made beside what the caller does
        next. What is wrong in the policy and in `publish` is told first: a variable is no way around whom the commit
        believes. Raises `LinealError`."""
        if self.given_policy is not None:
            require_narrower(self.given_policy, self._policy_of_commit)
        _ = self.publications
        images = len(names or self.loaded.project.images)
        # Of several, one is mostly missing: what that is made of is asked for beside the others.
        self.own_stores.connect(images + (_BELOW if images > 1 else 0))
        _ = self.store

    @property
    def store(self) -> Store:
        """Where the stages are kept."""
        return self.own_stores.store

    @cached_property
    def store_settings(self) -> StoreSettings:
        return store_settings(self.settings, self.loaded, self.context)

    @cached_property
    def own_stores(self) -> OwnStores:
        """The store, and final repositories."""
        root, about = self.repository.root, self.store_settings

        def private() -> Path:
            return self.workspace / "private"

        return OwnStores(self.settings, about, self.context, root, private, self.progress, self.at_close)

    @cached_property
    def stores(self) -> StoreOpener:
        """Opens stores and images that the user names."""
        return named_stores(self.settings, self.workspace, self.progress.note)

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
        return self.given_policy or self._policy_of_commit

    @cached_property
    def _policy_of_commit(self) -> PolicyOfRun:
        return of_commit(self.loaded, self.repository)

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
        from lineal.stages.eligibility import Eligibility
        from lineal.stages.lookup import Lookup

        trust = self.trust
        eligibility = Eligibility(self.store, self.position, self.history, trust.judge, self.progress.warn)
        lookup = Lookup(self.store, eligibility, lane=trust.lane)
        self._closing.callback(lookup.close)
        return lookup


def require_write(session: Session, refusal: str, remedy: str = "Run it on a branch of the project itself.") -> None:
    """Refuse a run that may not write; `refusal` ends the sentence, such as `it deploys nothing`."""
    if not session.context.may_write:
        fork = session.context.fork
        why = "a pull request from a fork" if fork else "its commit is not known to be the project's own"
        raise DeployFailed(f"This run may not write ({why}), so {refusal}.", id="LN-3013", remedy=remedy)
