"""What commands and templates of a commit get of this machine: what the caller gives, and within limits what the
commit names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from lineal.ci.context import Context
from lineal.config.giterminism import Giterminism
from lineal.config.grants import Grants, wishes
from lineal.config.load import LoadedProject
from lineal.config.model import Secret, Ssh
from lineal.config.secrets import Mask, SecretValues, parse_secret
from lineal.config.ssh_agents import SshAgents, parse_ssh
from lineal.git.command import common_dir
from lineal.git.commit import Commit
from lineal.progress import Notes, Progress, once
from lineal.session.consent import Consent
from lineal.session.settings import Settings


class Given:
    """One run's. `start` is where relative paths of flags begin."""

    def __init__(
        self, settings: Settings, start: Path, checkout: Commit, context: Context, progress: Progress
    ) -> None:
        self._settings, self._start, self._checkout = settings, start, checkout
        self._limits = Grants(
            settings.environ,
            checkout.root,
            own=context.trusted,
            agreed=None if context.in_ci else Consent(checkout.root, settings.environ, progress).agreed,
            committed=checkout.has,
            git_dirs=(checkout.git_dir, common_dir(checkout.git_dir)),
            notes=once(Notes(progress.note, progress.warn)),
        )

    def templates(self, giterminism: Giterminism) -> Grants:
        """The limits for templates of a commit that has these exceptions."""
        named = sorted(giterminism.config.environment)
        return replace(self._limits, wishes=[f"the variable {name}, for templates" for name in named])

    def secrets(self, loaded: LoadedProject, within: Mask) -> SecretValues:
        named = {name: image.secrets for name, image in loaded.project.images.items()}
        environ, root = self._settings.environ, self._checkout.root
        return SecretValues(named, self._secrets, environ, root, self._images(loaded), within)

    def agents(self, loaded: LoadedProject) -> SshAgents:
        named = {name: image.ssh for name, image in loaded.project.images.items()}
        environ, root = self._settings.environ, self._checkout.root
        return SshAgents(named, self._agents, environ, root, self._images(loaded))

    def ask(self, loaded: LoadedProject, images: Collection[str]) -> None:
        """Ask the user now for what these images mount and nobody gave: later it would be amid the build."""
        grants, found = self._images(loaded), loaded.project.images
        given = {one.id for one in self._secrets} | {one.id for one in self._agents}
        named = {secret.id for name in images for secret in found[name].secrets}
        named |= {agent.id for name in images for agent in found[name].ssh}
        if grants.own and grants.agreed is not None and not named <= given:
            grants.agreed(grants.wishes)

    def _images(self, loaded: LoadedProject) -> Grants:
        """The limits for images of lineal.yaml."""
        named = wishes(loaded.project.images.values(), self._checkout.root, self._settings.environ)
        return replace(self._limits, wishes=named, place=loaded.place)

    @cached_property
    def _secrets(self) -> list[Secret]:
        return [parse_secret(text, self._start) for text in self._settings.secrets.value]

    @cached_property
    def _agents(self) -> list[Ssh]:
        return [parse_ssh(text, self._start) for text in self._settings.ssh.value]
