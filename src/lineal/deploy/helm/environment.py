"""The environment of a helm command: what it needs, and no secret of the job beside it.

A command that reads a chart gets the machine's settings; one that fetches a chart also what its login needs; one that
talks to the cluster all but Lineal's own secrets, because a kubeconfig may name any program with any variable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

_FETCH = frozenset({"pull", "dependency", "push"})
_CLUSTER = frozenset({"upgrade", "install", "rollback", "uninstall", "history", "list", "status", "get"})
MACHINE = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TMP", "TEMP", "LANG", "LANGUAGE", "TZ", "NO_COLOR",
    "GODEBUG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
})  # fmt: skip
"""What programs read of the machine, in upper case."""
_FAMILIES = ("LC_", "HELM_", "XDG_")
_OF_CLUSTER = ("HELM_KUBE", "HELM_DRIVER_SQL")
"""Settings of helm that only a command for the cluster needs, a token among them."""
CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "GCLOUD_")
"""Families of variables by which programs log in at a cloud."""
OURS = ("LINEAL_", "INPUT_")


def of_command(environ: Mapping[str, str], args: Sequence[str]) -> dict[str, str]:
    """The part of the job's environment for a command. Never HELM_DEBUG: helm would print all values."""
    command = args[0] if args else ""
    if command in _CLUSTER or "--dry-run=server" in args:
        return {name: value for name, value in environ.items() if name != "HELM_DEBUG" and not name.startswith(OURS)}
    fetches = command in _FETCH or any(argument.startswith("oci://") for argument in args)
    families = (*_FAMILIES, *CLOUDS) if fetches and _has_helpers(environ) else _FAMILIES

    def needed(name: str) -> bool:
        plain = name.upper()
        known = plain in MACHINE or plain.startswith(families)
        return known and name != "HELM_DEBUG" and not name.startswith(_OF_CLUSTER)

    return {name: value for name, value in environ.items() if needed(name)}


def _has_helpers(environ: Mapping[str, str]) -> bool:
    """Whether a program of this machine logs helm in: a helper that the login names, or a plugin."""
    home = Path(environ.get("HOME") or "/nonexistent")
    config = Path(environ.get("HELM_CONFIG_HOME") or Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "helm"))
    data = Path(environ.get("HELM_DATA_HOME") or Path(environ.get("XDG_DATA_HOME") or home / ".local/share", "helm"))
    logins = (
        Path(environ.get("HELM_REGISTRY_CONFIG") or config / "registry" / "config.json"),
        Path(environ.get("DOCKER_CONFIG") or home / ".docker", "config.json"),
    )
    plugins = Path(environ.get("HELM_PLUGINS") or data / "plugins")
    return any(map(_names_helper, logins)) or (plugins.is_dir() and any(plugins.iterdir()))


def _names_helper(login: Path) -> bool:
    try:
        read = json.loads(login.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(read, dict) and bool(read.get("credsStore") or read.get("credHelpers"))
