"""The proxies of the job, which a `RUN` sees: how a command reaches the network is part of no checksum, so no commit
has a say in it (a proxy can put anything into a layer that main inherits at the merge)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lineal.dockerfile.scope import PROXY_ARGS
from lineal.store.registry.network_policy import is_loopback


@dataclass(frozen=True)
class JobProxies:
    """The predefined proxy variables of one run's environment, as BuildKit's `--build-arg` would give them."""

    environ: Mapping[str, str]
    trusted: bool = True
    """Whether the commit is the project's own: a stranger's gets no password of a proxy."""
    network: str = ""
    """The engine's network for commands, empty for its default."""

    def variables(self, network: str = "") -> dict[str, str]:
        """What a command on this network sees, in both spellings. A proxy on loopback is the machine's, which only
        the host's network reaches."""
        found = {name: value for name in sorted(PROXY_ARGS) if (value := self._value(name))}
        if "host" in (network, self.network):
            return found
        return {name: value for name, value in found.items() if _is_list(name) or not is_loopback(_netloc(value))}

    @property
    def passwords(self) -> list[str]:
        """What must not be printed of them."""
        logins = [_netloc(self._value(name)).rpartition("@")[0] for name in PROXY_ARGS]
        return [login.partition(":")[2] for login in logins if ":" in login]

    def _value(self, name: str) -> str:
        value = self.environ.get(name) or self.environ.get(name.swapcase()) or ""
        login, at, _ = _netloc(value).rpartition("@")
        return value if self.trusted or _is_list(name) else value.replace(login + at, "", 1)


def _is_list(name: str) -> bool:
    """Whether it names hosts, not a proxy."""
    return name.lower() == "no_proxy"


def _netloc(value: str) -> str:
    return value.partition("://")[2].partition("/")[0] if "://" in value else value.partition("/")[0]
