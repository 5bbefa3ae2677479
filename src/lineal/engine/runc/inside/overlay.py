"""Overlay mounts: layers as one tree, and overlay's own marks in them."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from typing import Any

from lineal.engine.runc.inside import kernel
from lineal.engine.runc.inside.control import Control

_PREFIXES = ("trusted.overlay.", "user.overlay.")
# A renamed directory, or a file without its content, would say nothing to who reads the upper directory.
_OPTIONS = "redirect_dir=nofollow,index=off,metacopy=off"


def is_marked(xattr: str) -> bool:
    """Whether it is one of overlay's own."""
    return xattr.startswith(_PREFIXES)


def mark(directory: str, rootless: bool) -> None:
    """Hide what lower layers have in a directory."""
    os.setxattr(directory, f"{_PREFIXES[rootless]}opaque", b"y")


def is_opaque(directory: str, rootless: bool) -> bool:
    try:
        return os.getxattr(directory, f"{_PREFIXES[rootless]}opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def show(lower: Sequence[str], target: str, *, rootless: bool) -> None:
    """The layers, the topmost first, read-only."""
    _mount(lower, "", target, rootless=rootless)


def stack(lower: Sequence[str], upper: str, work: str, target: str, *, rootless: bool) -> None:
    """The same with a directory that takes what is written."""
    _mount(lower, f",upperdir={upper},workdir={work}", target, rootless=rootless)


def _mount(lower: Sequence[str], upper: str, target: str, *, rootless: bool) -> None:
    basic = f"lowerdir={':'.join(lower)}{upper}"
    options = f"{basic},{_OPTIONS}" + (",userxattr" if rootless else "")
    # Nothing is to survive a power failure: without `volatile`, all of it would be written to the disk at the end.
    for attempt in (f"{options},volatile", options) if upper else (options,):
        try:
            kernel.mount("overlay", target, "overlay", 0, attempt)
        except OSError as error:
            failure = error
        else:
            return
    if (program := shutil.which("fuse-overlayfs")) is None or not os.path.exists("/dev/fuse"):
        raise failure
    import subprocess

    made = subprocess.run([program, "-o", basic, target], capture_output=True, text=True, check=False)
    if made.returncode:
        raise OSError(errno.EINVAL, f"fuse-overlayfs: {made.stderr.strip()}")


def probe(orders: dict[str, Any], control: Control) -> None:
    """Whether `directory`, which is empty, can hold an overlay mount, and a device of whiteouts."""
    os.chdir(orders["directory"])
    for name in ("a", "b", "upper", "work", "target"):
        os.mkdir(name)
    with open("a/gone", "w"):
        pass
    stack(["a", "b"], "upper", "work", "target", rootless=orders["rootless"])
    os.unlink("target/gone")
    if not stat.S_ISCHR(os.lstat("upper/gone").st_mode):
        raise OSError(errno.EINVAL, "the overlay does not show what was deleted")
    kernel.unmount("target")
    for name in ("a", "b", "upper", "work", "target"):
        shutil.rmtree(name)
    control.send(done=True)


def adopt(orders: dict[str, Any], control: Control) -> None:
    """Give the directories `implied` of a layer the owner and mode that the layers `lower` have for them."""
    os.chdir(orders["directory"])
    os.makedirs("empty")
    os.makedirs("target")
    show([*orders["lower"], "empty"], "target", rootless=orders["rootless"])
    for path in orders["implied"]:
        own = f"{orders['layer']}/{path}"
        if os.path.realpath(own) != os.path.abspath(own):
            continue  # behind a link, which may lead out
        try:
            found = os.lstat(f"target/{path}")
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(found.st_mode):
            os.chown(own, found.st_uid, found.st_gid)
            os.chmod(own, stat.S_IMODE(found.st_mode))
    kernel.unmount("target")
    control.send(done=True)
