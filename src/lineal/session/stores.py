"""The stores of a run: its own with the final repositories, and those that the user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path

from lineal.ci.context import Context
from lineal.ci.provider import provider_of
from lineal.config.load import LoadedProject
from lineal.config.setting import Origin, Setting
from lineal.git.cache import cache_directory
from lineal.oci import Store
from lineal.oci.credential import Credential
from lineal.progress import Progress
from lineal.session.settings import Settings, StoreSettings
from lineal.store.mirror import Mirrors
from lineal.store.open import LAYOUT, REGISTRY_LOGIN, StoreOpener, connect, normal_address
from lineal.value import dataclass


@dataclass
class OwnStores:
    """Where the stages are kept, and the final repositories that lineal.yaml names."""

    settings: Settings
    about: StoreSettings
    context: Context
    root: Path
    """Of the repository: directories start there."""
    private: Callable[[], Path]
    """Where a run that may not write keeps what it builds."""
    progress: Progress
    at_close: Callable[[Callable[[], object]], None]
    finals: list[Store] = field(default_factory=list)
    """The final repositories that were opened, beside the store."""

    def connect(self, count: int) -> None:
        """Open so many connections to the store beside what the caller does next."""
        connect(self._shared, count)

    @cached_property
    def store(self) -> Store:
        """The store; for a run that may not write, one that keeps in private what the run builds."""
        if self.context.may_write:
            return self._shared
        from lineal.store.layout import Layout
        from lineal.store.read_through import ReadThroughStore

        found = self._shared
        self.progress.note(
            "This run may not write: it reads the store, builds what is missing and publishes nothing."
        )
        return ReadThroughStore(Layout(self.private(), "private", partial=True), found)

    def final(self, address: str) -> Store:
        """A final repository of finished images, which may be the store itself. Raises `BadConfiguration`."""
        if normal_address(address) == normal_address(self.about.repo.value):
            return self.store
        found = self._opener.final(address, self.store)
        if found.directory and self.store.directory and found.directory.resolve() == self.store.directory.resolve():
            return self.store
        self.at_close(found.close)
        self.finals.append(found)
        return found

    @cached_property
    def _shared(self) -> Store:
        """The store that other runs have, too."""
        found = self._opener.store(self.about.repo.value)
        self.at_close(found.close)
        return found

    @cached_property
    def _opener(self) -> StoreOpener:
        insecure, note = self.settings.insecure_registries.value, self.progress.note
        return StoreOpener(self.root, self._login, insecure, _logins_of_job(self.settings), note=note)

    @property
    def _login(self) -> Mapping[str, str]:
        """A stranger's commit does not say who gets this job's password."""
        environ, repo = self.settings.environ, self.about.repo
        if self.context.trusted or repo.origin.place is None or not environ.get(REGISTRY_LOGIN[0]):
            return environ
        self.progress.warn(
            f"{repo.value} comes from the commit ({repo.origin}), which is not this project's own: it does "
            f"not get the password in {REGISTRY_LOGIN[1]}. Give the store with `--repo` if it should."
        )
        return {name: value for name, value in environ.items() if name not in REGISTRY_LOGIN}


def store_settings(settings: Settings, loaded: LoadedProject, context: Context) -> StoreSettings:
    """What says where the stages are kept; else the registry of the CI, and outside of it a folder of the user.
    Raises `BadConfiguration`."""
    default, source = context.default_store, context.sources.get("default_store", "the CI")
    if not default and context.in_ci:
        # A folder of the job would be gone with it, and the pipeline green.
        default, source = "", "no registry of the CI"
    elif not default:
        cache = cache_directory(settings.environ) / "stores" / loaded.project.project
        default, source = f"{LAYOUT}{cache}", "default outside CI"
    return StoreSettings.of(settings, loaded, Setting(default, Origin(source)))


def named_stores(settings: Settings, workspace: Path, note: Callable[[str], None]) -> StoreOpener:
    """Opens stores and images that the user names; directories start from the run's private one."""

    def of_engine() -> list[str]:
        from lineal.engine.docker.mirrors import registry_mirrors

        return registry_mirrors(settings.environ)

    mirrors = Mirrors(settings.registry_mirrors.value, of_engine, note)
    insecure = settings.insecure_registries.value
    return StoreOpener(workspace, settings.environ, insecure, _logins_of_job(settings), mirrors, note)


def _logins_of_job(settings: Settings) -> Mapping[str, Credential]:
    return provider_of(settings.environ).logins()
