"""What a commit gets of the machine that builds it by naming it: variables, files, SSH agents.

Whoever runs Lineal gives what they like (`--secret`, `--ssh`, `--var`). What only the commit names is a convenience,
and its limits are here: nothing for a stranger, no login of the job itself, nothing that tells about the machine. In
a CI a path leads into the workspace; on a user's own machine the user is asked before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lineal.config.model import Image, Secret, Ssh
from lineal.errors import BadConfiguration, Location
from lineal.progress import QUIET, Notes
from lineal.text import printable, quoted
from lineal.value import dataclass

_FAMILIES = (
    # The job's own: settings of Lineal, inputs of an action, tokens and addresses of the CI.
    "LINEAL_", "INPUT_", "ACTIONS_", "GITHUB_", "GH_", "RUNNER_", "CI_", "GITLAB_", "GITEA_", "FORGEJO_",
    "BITBUCKET_", "CIRCLE_", "BUILDKITE_", "DRONE_", "WOODPECKER_", "JENKINS_", "TEAMCITY_", "TRAVIS_",
    "CODEBUILD_", "BAMBOO_", "SYSTEM_ACCESSTOKEN", "ENDPOINT_AUTH", "SECUREFILE_",
    # Clouds.
    "AWS_", "AZURE_", "ARM_CLIENT_", "ARM_ACCESS_", "ARM_OIDC_", "MSI_", "IDENTITY_", "GOOGLE_", "GCLOUD_", "GCP_",
    "CLOUDSDK_", "ALIBABA_", "ALICLOUD_", "TENCENTCLOUD_", "DIGITALOCEAN_", "HCLOUD_", "LINODE_", "SCW_", "OCI_CLI_",
    "OS_AUTH", "OS_PASSWORD", "OS_TOKEN", "OS_APPLICATION_CREDENTIAL", "CLOUDFLARE_", "TF_VAR_", "TF_TOKEN_",
    "PULUMI_",
    # Where secrets are kept, and what signs.
    "VAULT_", "BAO_", "SOPS_", "OP_SERVICE_", "OP_SESSION_", "OP_CONNECT_", "DOPPLER_", "INFISICAL_", "COSIGN_",
    "SIGSTORE_", "NOTATION_", "GPG_", "GNUPG",
    # Registries, clusters, git, SSH.
    "DOCKER_", "BUILDX_", "BUILDKIT_", "REGISTRY_AUTH", "REGISTRY_USER", "REGISTRY_PASS", "REGISTRY_TOKEN", "HELM_",
    "KUBE", "ARGOCD_", "ETCD", "CONSUL_HTTP_", "NOMAD_TOKEN", "GIT_", "SSH_",
)  # fmt: skip
"""How the names of variables begin that are logins of the job or lead to some."""
_PARTS = ("KUBECONFIG", "DOCKER_CONFIG", "DOCKERCONFIG", "DOCKER_AUTH", "SSH_AUTH_SOCK", "SSH_PRIVATE_KEY")
"""What stands in such names behind a project's own word, as in STAGING_KUBECONFIG."""
_NAMES = frozenset({"NETRC", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"})
_FOLDERS = ("DOCKER_CONFIG", "DOCKER_CERT_PATH", "CLOUDSDK_CONFIG", "AZURE_CONFIG_DIR", "GNUPGHOME",
            "HELM_CONFIG_HOME", "RUNNER_TEMP")  # fmt: skip
"""Those that name folders."""
_MACHINE = ("/proc", "/sys", "/dev")
_NEVER = "no commit gets it by naming it"


def is_login(variable: str) -> bool:
    """Whether a variable is one by which jobs log in somewhere, so that no commit gets it by naming it."""
    name = variable.upper()
    return name in _NAMES or name.startswith(_FAMILIES) or any(part in name for part in _PARTS)


@dataclass(frozen=True)
class Wish:
    """A thing of the machine that a commit names."""

    what: str
    """The beginning of a sentence, such as "The secret `npm`"."""
    give: str
    """How whoever runs Lineal gives it, such as `--secret id=npm,env=NAME (LINEAL_SECRET)`."""
    place: Location | None = None

    @property
    def remedy(self) -> str:
        return f"Give it yourself with {self.give}."


@dataclass(frozen=True)
class Grants:
    """The limits of one run. By default they are those of a project's own commit in a CI."""

    environ: Mapping[str, str]
    root: Path
    """The workspace: the repository's root."""
    own: bool = True
    """Whether the commit is the project's own: a stranger's gets nothing."""
    agreed: Callable[[Sequence[str]], bool] | None = None
    """Tells whether the user lets this repository have all of a list. None in a CI, which runs what it was given."""
    wishes: Sequence[str] = ()
    """The whole list that the commit names, for people."""
    committed: Callable[[str], bool] = lambda _path: False
    """Tells whether the commit has a file at a path relative to the root."""
    git_dirs: tuple[Path, ...] = ()
    place: Callable[[str], Location | None] = lambda _key: None
    """Where a key of lineal.yaml is written."""
    notes: Notes = QUIET

    def check_variable(self, wish: Wish, name: str) -> None:
        """Raises `BadConfiguration` for a variable that no commit gets."""
        if is_login(name):
            what = f"{wish.what} would be {printable(name)}, one of the job's own settings and logins: {_NEVER}."
            raise BadConfiguration(what, id="LN-1025", place=wish.place, remedy=wish.remedy)

    def variable(self, wish: Wish, name: str, default: str | None) -> str | None:
        """The value of a variable that a template reads, `default` where it is not set, or for a stranger.

        Raises `BadConfiguration` for one that this commit does not get."""
        self.check_variable(wish, name)
        value = self.environ.get(name)
        if value is None:
            return default
        if not self.own and default is None:
            what = f"{wish.what} is not for this commit, which is not the project's own."
            raise BadConfiguration(what, id="LN-1028", place=wish.place, remedy=wish.remedy)
        return value if self.let(wish) else default

    def path(self, wish: Wish, text: str) -> Path:
        """The path that the commit means, without links. Raises `BadConfiguration` for one that it does not get."""
        real = Path(os.path.realpath(expanded(text, self.root, self.environ)))
        if why := self._closed(real):
            what = f"{wish.what} would be {printable(str(real))}, {why}: {_NEVER}."
            raise BadConfiguration(what, id="LN-1026", place=wish.place, remedy=wish.remedy)
        return real

    def let(self, wish: Wish) -> bool:
        """Whether the commit gets it. False, with a warning, for a stranger's.

        Raises `BadConfiguration` where the user was not asked, or said no."""
        if not self.own:
            self.notes.warn(
                f"{wish.what} is left out: this commit is not the project's own, and gets only what whoever runs "
                f"Lineal gives it. If it may have that, give it with {wish.give}."
            )
        elif self.agreed is not None and not self.agreed(self.wishes):
            raise BadConfiguration(
                f"{wish.what} is something of this machine, and nobody has let this repository have it.",
                id="LN-1027",
                place=wish.place,
                remedy=f"Run it in a terminal, where Lineal asks once, or give it yourself with {wish.give}.",
            )
        return self.own

    def say_missing(self, wish: Wish) -> None:
        """Warn that a thing without a source in the commit was not given."""
        self.notes.warn(f"{wish.what} is left out: nobody gave it. Give it with {wish.give}.")

    def _closed(self, real: Path) -> str:
        """Why a path without links is not for commits, empty for one that is."""
        root = Path(os.path.realpath(self.root))
        inside = real.relative_to(root) if real.is_relative_to(root) else None
        if (inside is None and any(map(real.is_relative_to, _MACHINE))) or _is_kernel_s(real):
            return "which tells about the machine and its processes"
        git_dirs = map(os.path.realpath, self.git_dirs)
        if ".git" in (inside or real).parts or any(real.is_relative_to(folder) for folder in git_dirs):
            return "a part of git's own directory"
        if any(real == one or (name in _FOLDERS and real.is_relative_to(one)) for name, one in self._logins()):
            return "a file of the job's own logins"
        if inside is None:
            return "" if self.agreed is not None else "which is outside of the workspace"
        return "a file of the commit, and so no secret" if self.committed(inside.as_posix()) else ""

    def inside(self, path: Path) -> str:
        """The path in the commit of a file that git tracks, wherever links lead; empty for any other."""
        root = Path(os.path.realpath(self.root))
        for one in (Path(os.path.normpath(path.absolute())), Path(os.path.realpath(path))):
            if one.is_relative_to(root) and one != root and self.committed(one.relative_to(root).as_posix()):
                return one.relative_to(root).as_posix()
        return ""

    def _logins(self) -> list[tuple[str, Path]]:
        """The files and folders that variables of logins name."""
        return [
            (name, Path(os.path.realpath(self.root / text)))
            for name, value in self.environ.items()
            if is_login(name) and "/" in value and len(value) < 10_000 and "\0" not in value
            for text in value.split(os.pathsep)
            if text
        ]


def expanded(text: str, root: Path, environ: Mapping[str, str]) -> Path:
    """A path of a setting: `~/` is the user's home, a relative one starts from `root`."""
    home = environ.get("HOME", "")
    return root / (home + text[1:] if home and text.startswith("~/") else text)


def wishes(images: Iterable[Image], root: Path, environ: Mapping[str, str]) -> list[str]:
    """The list of what lineal.yaml names of the machine, for people: a line for each thing, with the path that a link
    leads to."""

    def at(text: str) -> str:
        return printable(os.path.realpath(expanded(text, root, environ)), 1000)

    found = set()
    for image in images:
        for secret in image.secrets:
            if secret.env is not None or secret.file is not None:
                source = f"the variable {quoted(secret.env)}" if secret.env is not None else at(str(secret.file))
                found.add(f"secret {secret.id}: {source}")
        for agent in image.ssh:
            found.add(f"ssh {agent.id}: {at(agent.socket) if agent.socket else 'your SSH agent'}")
    return sorted(found)


def secret_wish(secret: Secret, place: Location | None) -> Wish:
    source = f"src={printable(secret.file)}" if secret.file else f"env={printable(secret.env or 'NAME')}"
    return Wish(f"The secret {secret.id!r}", f"--secret id={secret.id},{source} (LINEAL_SECRET)", place)


def ssh_wish(agent: Ssh, place: Location | None) -> Wish:
    socket = f"={printable(agent.socket)}" if agent.socket else ""
    return Wish(f"The SSH agent {agent.id!r}", f"--ssh {agent.id}{socket} (LINEAL_SSH)", place)


def variable_wish(name: str) -> Wish:
    return Wish(f'The value of env_var("{printable(name)}")', f"--var {printable(name)}=VALUE (LINEAL_VAR)")


def _is_kernel_s(path: Path) -> bool:
    """Whether a file is one of /proc or /sys, wherever that is mounted."""
    try:
        device = path.stat().st_dev
        views = {Path(folder).stat().st_dev for folder in ("/proc", "/sys") if os.path.ismount(folder)}
    except OSError:
        return False
    return device in views
