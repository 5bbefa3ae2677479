"""The kernel's own overlay, which says what layers on top of each other show."""

from __future__ import annotations

import ctypes
import functools
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_OPAQUE = "trusted.overlay.opaque"
_DETACH = 2
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "special"}
_libc = ctypes.CDLL(None, use_errno=True)


@functools.cache
def missing() -> str:
    """Why no overlay can be mounted here, or nothing."""
    try:
        with stack() as layers, layers.change():
            return ""
    except OSError as error:
        return f"The kernel's overlay cannot be mounted here ({error.strerror}): run these tests as root."


@dataclass(frozen=True)
class View:
    """What a mounted overlay shows: kind, mode, link target and content by path, and which paths are one file."""

    entries: dict[str, tuple[str, int, str, bytes]]
    same: set[tuple[str, ...]]


class Stack:
    """Layers as directories; each is changed through a mount of it on top of those below."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.layers: list[Path] = []
        self._empty = [root / "empty-0", root / "empty-1"]
        for path in self._empty:
            path.mkdir()

    @contextmanager
    def change(self) -> Iterator[Path]:
        """A new layer on top: what is done in the directory becomes its content."""
        with self.mounted(self.add()) as merged:
            yield merged

    def add(self) -> Path:
        """A new and empty layer on top, to be filled by itself."""
        layer = self._root / f"layer-{len(self.layers)}"
        layer.mkdir()
        self.layers.append(layer)
        return layer

    @contextmanager
    def mounted(self, upper: Path | None = None) -> Iterator[Path]:
        """All layers, changes going to `upper`, which is the last one."""
        lower = [path for path in reversed(self.layers) if path != upper]
        # Without two layers there is no overlay.
        lower += self._empty
        options = f"lowerdir={':'.join(map(str, lower))},redirect_dir=off,index=off,metacopy=off"
        if upper:
            (work := self._root / f"work-{upper.name}").mkdir()
            options += f",upperdir={upper},workdir={work}"
        (place := self._root / "merged").mkdir(exist_ok=True)
        if _libc.mount(b"overlay", os.fsencode(place), b"overlay", 0, options.encode()):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            yield place
        finally:
            _libc.umount2(os.fsencode(place), _DETACH)

    def view(self) -> View:
        with self.mounted() as merged:
            return _view(merged)


@contextmanager
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield Stack(Path(directory))


def _view(root: Path) -> View:
    entries = {}
    same = defaultdict(list)
    for path in sorted(_walk(root)):
        name = str(path.relative_to(root))
        if not os.path.lexists(path):
            continue  # a mark of what is removed, which the kernel lists where nothing is below
        status = path.lstat()
        kind = _KINDS[stat.S_IFMT(status.st_mode)]
        target = str(path.readlink()) if kind == "symlink" else ""
        entries[name] = (kind, stat.S_IMODE(status.st_mode), target, path.read_bytes() if kind == "file" else b"")
        if kind != "directory":
            same[status.st_dev, status.st_ino].append(name)
    return View(entries, {tuple(names) for names in same.values() if len(names) > 1})


def _walk(root: Path) -> Iterator[Path]:
    for folder, directories, files in os.walk(root):
        yield from (Path(folder, name) for name in [*directories, *files])


def inside(root: Path, name: str) -> Path:
    """Where a path leads, the links above its last name followed inside the root. Raises OSError for circles."""
    done: list[str] = []
    left = [part for part in reversed(name.split("/")) if part not in ("", ".")]
    for _ in range(100):
        if not left:
            return root.joinpath(*done)
        part = left.pop()
        if part == "..":
            done = done[:-1]
            continue
        done.append(part)
        place = root.joinpath(*done)
        if left and place.is_symlink():
            target = str(place.readlink())
            done = [] if target.startswith("/") else done[:-1]
            left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    raise OSError(f"{name} leads nowhere")


def is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def make_opaque(path: Path) -> None:
    os.setxattr(path, _OPAQUE, b"y")


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def packed(layer: Path) -> bytes:
    """A layer's directory as an engine packs it."""
    buffer = io.BytesIO()
    first: dict[int, str] = {}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_walk(layer)):
            name = str(path.relative_to(layer))
            if is_whiteout(path):
                tar.addfile(tarfile.TarInfo(str(Path(name).with_name(f".wh.{path.name}"))))
                continue
            info = tar.gettarinfo(path, name)
            if not path.is_dir() or path.is_symlink():
                known = first.setdefault(path.lstat().st_ino, name)
                if known != name:
                    info.type, info.linkname, info.size = tarfile.LNKTYPE, known, 0
            tar.addfile(info, io.BytesIO(path.read_bytes() if info.isreg() else b""))
            if is_opaque(path):
                tar.addfile(tarfile.TarInfo(f"{name}/.wh..wh..opq"))
    return buffer.getvalue()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
