"""SSH agents for `RUN --mount=type=ssh`: where their sockets are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lineal.config.document import spell
from lineal.config.grants import Grants, expanded, ssh_wish
from lineal.config.model import Ssh
from lineal.errors import BadConfiguration


class SshAgents:
    def __init__(
        self,
        images: Mapping[str, Iterable[Ssh]],
        given: Iterable[Ssh],
        environ: Mapping[str, str],
        root: Path,
        grants: Grants | None = None,
    ) -> None:
        """`images` has the agents of each image of lineal.yaml, `given` those of the command line, which win.
        Relative paths start from `root`. `grants` limits what lineal.yaml names."""
        self._images = {
            name: {agent.id: (number, agent) for number, agent in enumerate(agents)}
            for name, agents in images.items()
        }
        self._given = {agent.id: agent for agent in given}
        self._environ = environ
        self._root = root
        self._grants = grants or Grants(environ, root)

    def socket(self, image: str, name: str) -> Path | None:
        """The agent's socket, None when none with this id is given. Raises `BadConfiguration` when it is not there,
        or is at a path that a commit may not name."""
        agent = self._given.get(name) or self._named(image, name)
        if agent is None:
            return None
        text = agent.socket or self._environ.get("SSH_AUTH_SOCK", "")
        if not text:
            raise BadConfiguration(
                f"The SSH agent {name!r} is the one of SSH_AUTH_SOCK, which is not set.",
                id="LN-1014",
                remedy="Start one with `eval $(ssh-agent)` and add a key with `ssh-add`, or name its socket.",
            )
        path = expanded(text, self._root, self._environ)
        if not path.is_socket():
            raise BadConfiguration(
                f"The SSH agent {name!r} is at {path}, which is {'no socket' if path.exists() else 'not there'}.",
                id="LN-1014",
                remedy="Name the socket of an agent; a key is added to one with `ssh-add`.",
            )
        return path

    def _named(self, image: str, name: str) -> Ssh | None:
        """The agent as the commit names it, if the run lets the commit have it."""
        number, agent = self._images.get(image, {}).get(name, (0, None))
        if agent is None:
            return None
        place = self._grants.place(spell(("images", image, "ssh", number)))
        wish = ssh_wish(agent, place)
        if agent.socket:
            agent = Ssh(id=name, socket=str(self._grants.path(wish, agent.socket)))
        return agent if self._grants.let(wish) else None


def parse_ssh(text: str, folder: Path) -> Ssh:
    """`default` or `ID=SOCKET`, as for `docker build --ssh`. A relative SOCKET starts from `folder`."""
    name, separator, path = text.partition("=")
    if not name or (separator and not path) or "," in text:
        raise BadConfiguration(
            f"--ssh {text} cannot be read.",
            id="LN-1013",
            remedy="Write --ssh default, or --ssh ID=SOCKET for another agent.",
        )
    if not path:
        return Ssh(id=name)
    return Ssh(id=name, socket=path if path.startswith("~/") else str(folder / path))
