"""An ordinary user for one command: no root, no capabilities, no Docker; only what every Linux lets anybody do.

Started by root, the command gets a mount namespace in which there is such a user with ids for its namespaces, and in
which it may read this checkout and the tests' programs wherever they are; the machine itself stays as it is."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import servers
from tests.differential.buildkit import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
UID = 54321
_IDS = "5400000:65536"
_PLACES = (ROOT, PROGRAMS.parent, Path(sys.base_prefix))
_NEEDED = ("runc", "rootlesskit", "newuidmap", "newgidmap", "unshare", "setpriv")


def unable() -> str:
    """Why this machine cannot do it, or nothing."""
    if not (PROGRAMS / "buildkitd").exists():
        return f"BuildKit is not in {PROGRAMS}: install Go, and `scripts/setup test` builds it."
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    for name in _NEEDED:
        if shutil.which(name, path=path) is None:
            return f"{name} is not here: `scripts/setup test` installs it (Debian: rootlesskit, uidmap, runc)."
    namespaces = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if subprocess.run([*_lowered(), *namespaces], capture_output=True).returncode:
        return "the kernel gives no user namespaces to ordinary users (sysctl user.max_user_namespaces, or AppArmor)."
    return ""


@dataclass(frozen=True)
class OrdinaryUser:
    """`home` is the user's own directory; nothing else is writable for them but what is so for everybody."""

    home: Path

    def command(self, *words: str) -> list[str]:
        if os.geteuid() != 0:
            return list(words)
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", self._script(), "sh"]
        return [*enter, *_lowered(), *words]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """As after a login; the tests' BuildKit is on the PATH."""
        path = f"{PROGRAMS}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        runtime = self.home / "run"
        return {
            "PATH": path, "HOME": str(self.home), "TMPDIR": str(self.home), "XDG_RUNTIME_DIR": str(runtime),
            "LANG": "C.UTF-8", "LINEAL_HELM": str(PROGRAMS.parent / "helm4"), **servers.GIT_ISOLATION, **(more or {}),
        }  # fmt: skip

    def _script(self) -> str:
        """What root does for the user, and then the command of the arguments."""
        user = f"ada:x:{UID}:{UID}::{self.home}:/bin/sh\n"
        files = {"passwd": f"root:x:0:0:root:/:/bin/sh\n{user}", "group": f"root:x:0:\nada:x:{UID}:\n",
                 "subuid": f"ada:{_IDS}\n", "subgid": f"ada:{_IDS}\n"}  # fmt: skip
        lines = ["set -eu", "places=$(mktemp --directory)", 'mount -t tmpfs tmpfs "$places"']
        for number, place in enumerate(_PLACES):
            lines += [f'mkdir "$places/{number}"', f'mount --bind {shlex.quote(str(place))} "$places/{number}"']
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(Path.home()))}")
        for number, place in enumerate(_PLACES):
            quoted = shlex.quote(str(place))
            lines += [f"mkdir -p {quoted}", f'mount --bind "$places/{number}" {quoted}']
        for name, text in files.items():
            lines += [
                f'printf %s {shlex.quote(text)} >"$places/{name}"',
                f'mount --bind "$places/{name}" /etc/{name}',
            ]
        lines += ['umount --lazy "$places"', 'rmdir "$places"', 'exec "$@"']
        return "\n".join(lines)


def _lowered() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--"]
