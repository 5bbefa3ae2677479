"""Kubeconfigs that start a cloud's program (`exec:`), which is not there: our own takes its place where the job's
environment has the credentials."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lineal.clouds import CLUSTER_CREDENTIALS
from lineal.kube import kubeconfig

_NAMES = (b"gke-gcloud-auth-plugin", b"aws-iam-authenticator", b"get-token")
_PATHS = (
    ("clusters", "cluster", ("certificate-authority",)),
    ("users", "user", ("client-certificate", "client-key", "tokenFile")),
)
"""What may name a file from the directory of the kubeconfig."""


def replaced(
    environ: Mapping[str, str], directory: Callable[[], Path], before: Callable[[], None]
) -> Mapping[str, str]:
    """The environment with a KUBECONFIG whose programs of clouds are there.

    A file that starts one which is missing is written anew to a private file in the `directory`, and `before` is
    called first. The files of the user stay as they are."""
    if not any(environ.get(name) for name in CLUSTER_CREDENTIALS):
        return environ
    files: list[Path] = []
    changed = False
    for number, file in enumerate(kubeconfig.wanted_files(environ)):
        new = _anew(file, environ)
        if new is None:
            files.append(file)
            continue
        if not changed:
            before()
        changed = True
        files.append(directory() / f"kubeconfig-{number}")
        files[-1].touch(0o600)
        files[-1].write_text(new)
    return {**environ, "KUBECONFIG": os.pathsep.join(map(str, files))} if changed else environ


def _anew(file: Path, environ: Mapping[str, str]) -> str | None:
    """The text that takes the place of a kubeconfig; None when nothing in it is to be replaced."""
    try:
        text = file.read_bytes()
    except OSError:
        return None
    if not any(name in text for name in _NAMES):
        return None
    import yaml

    config = kubeconfig.read_config(file)
    found = [_replace(user, file.parent, environ) for user in _entries(config, "users", "user")]
    if not any(found):
        return None
    for kind, entry, keys in _PATHS:
        for one in _entries(config, kind, entry):
            for key in keys:
                if isinstance(one.get(key), str) and one[key]:
                    one[key] = str(file.parent.absolute() / one[key])
    return yaml.safe_dump(config, sort_keys=False)


def _replace(user: dict[str, Any], directory: Path, environ: Mapping[str, str]) -> bool:
    from lineal.clouds.program import command, understood

    program = user.get("exec")
    if not isinstance(program, dict) or not isinstance(name := program.get("command"), str):
        return False
    args = program.get("args") or []
    if not isinstance(args, list) or not all(isinstance(word, str) for word in args):
        return False
    from shutil import which

    there = which(str(directory / name) if "/" in name else name, path=environ.get("PATH"))
    if there or understood(name, args, environ) is None:
        return False
    program["command"], *program["args"] = command([name, *args])
    return True


def _entries(config: dict[str, Any], kind: str, entry: str) -> list[dict[str, Any]]:
    listed = config.get(kind)
    entries = listed if isinstance(listed, list) else []
    return [one[entry] for one in entries if isinstance(one, dict) and isinstance(one.get(entry), dict)]
