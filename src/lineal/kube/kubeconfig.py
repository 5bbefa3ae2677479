"""Reads KUBECONFIG, which names files or is a whole kubeconfig, and finds the cluster that helm would choose."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineal.value import dataclass

_BIGGEST = 4 * 1024 * 1024
"""Bytes of a kubeconfig that is read."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that helm would choose, for messages. `context` is None when no file names one."""

    context: str | None
    files: tuple[Path, ...]
    """The kubeconfig files that exist."""
    wanted: tuple[Path, ...]
    """The kubeconfig files that helm looks for, whether they exist or not."""
    known: tuple[str, ...] = ()
    """The names of all contexts."""

    def __str__(self) -> str:
        if not self.files:
            return "no kubeconfig"
        where = ":".join(str(file) for file in self.files)
        return f"kubeconfig {where}" if self.context is None else f"context {self.context} of {where}"


def on_disk(environ: Mapping[str, str], directory: Path) -> Mapping[str, str]:
    """The environment with a KUBECONFIG that programs can read.

    KUBECONFIG may hold the kubeconfig itself, as a plain variable of GitLab does: then it is written to a private
    file in `directory`, which takes its place."""
    found = content(environ.get("KUBECONFIG", ""))
    if found is None:
        return environ
    file = directory / "kubeconfig"
    file.touch(0o600)
    file.write_bytes(found)
    return {**environ, "KUBECONFIG": str(file)}


def content(text: str) -> bytes | None:
    """A kubeconfig that is written out, plain or in base64; None when the text is empty or names files."""
    plain = text.strip()
    if "\n" in plain or plain.startswith("{"):
        return decoded(text) or text.encode("utf-8", "surrogateescape")
    return decoded(text)


def decoded(text: str) -> bytes | None:
    """The kubeconfig that the text is in base64; None when it is none."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if b"clusters" in data else None


def choose(environ: Mapping[str, str], context: str | None) -> Cluster:
    """The cluster of `context`, else of HELM_KUBECONTEXT, else of the first `current-context` in KUBECONFIG's files,
    in the order of helm."""
    wanted = wanted_files(environ)
    files = tuple(file for file in wanted if file.is_file())
    read = [read_config(file) for file in files]
    current = [str(config["current-context"]) for config in read if config.get("current-context")]
    asked = context or environ.get("HELM_KUBECONTEXT")
    return Cluster(asked or next(iter(current), None), files, wanted, tuple(n for c in read for n in _contexts(c)))


def wanted_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The kubeconfig files that helm looks for, whether they exist or not."""
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return tuple(Path(part) for part in named)
    return (Path(environ.get("HOME") or Path.home()) / ".kube" / "config",)


def read_config(file: Path) -> dict[str, Any]:
    """What is in a kubeconfig; nothing when it cannot be read."""
    import yaml

    try:
        if file.stat().st_size > _BIGGEST:
            return {}
        config = yaml.safe_load(file.read_bytes())
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _contexts(config: dict[str, Any]) -> list[str]:
    listed = config.get("contexts")
    entries = listed if isinstance(listed, list) else []
    return [str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name")]
