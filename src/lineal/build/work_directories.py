"""The directories that a stage makes before its layer: those of WORKDIR that its parent does not have."""

from __future__ import annotations

from posixpath import dirname
from stat import S_ISGID

from lineal.assemble.filesystem import Filesystem
from lineal.context.tree import clamp
from lineal.engine import Directory
from lineal.errors import BuildFailed, Location
from lineal.oci.types import ContainerConfig


class WorkDirectories:
    """One stage's, on the files of its parent. `config` is the image config's inner object, which changes with each
    line; `place` is the stage's."""

    def __init__(self, filesystem: Filesystem, config: ContainerConfig, place: Location) -> None:
        self.made: list[Directory] = []
        """In the order in which they are made."""
        self._filesystem, self._config, self._place = filesystem, config, place

    def make_workdir(self) -> None:
        """The WORKDIRs that do not exist belong to the user of this line, as BuildKit makes them: one by one."""
        if self._config["WorkingDir"] != "/":
            self.make(clamp(self._config["WorkingDir"]), self._owner())

    def enter(self) -> None:
        """A RUN goes to its work directory as it is written: what a `..` leaves again must be there."""
        path = self._config.get("WorkingDir") or "/"
        if ".." in path:
            self.make(path, (0, 0))

    def make(self, path: str, owner: tuple[int, int]) -> None:
        """All of the path that does not exist; `owner` is uid and gid."""
        where = ""
        for part in path.split("/"):
            if part in ("", ".", ".."):
                where = dirname(where).rstrip("/") if part == ".." else where
                continue
            where = f"{where}/{part}"
            if not self.exists(where) and all(known.path != where for known in self.made):
                self.made.append(self._directory(where, owner))

    def exists(self, path: str) -> bool:
        """Whether the parent has the directory."""
        return path == "/" or self._filesystem.is_directory(path)

    def _directory(self, path: str, owner: tuple[int, int]) -> Directory:
        """As the kernel makes it: below a setgid directory setgid too, and in its group when no USER is set."""
        mode, gid = self._group(dirname(path))
        if mode & S_ISGID and not self._config.get("User"):
            owner = (0, gid)
        return Directory(path, 0o755 | mode & S_ISGID, *owner)

    def _group(self, path: str) -> tuple[int, int]:
        """Mode and gid of a directory, if it is known."""
        for made in self.made:
            if made.path == path:
                return made.mode, made.gid
        found = self._filesystem.directories.get(self._filesystem.resolve(path))
        return (found.mode, found.gid) if found else (0o755, 0)

    def _owner(self) -> tuple[int, int]:
        user = self._config.get("User") or "0:0"
        try:
            return self._filesystem.owner(user)
        except LookupError as error:
            raise BuildFailed(f"USER {user}: {error.args[0].rstrip('.')}.", id="LN-5008", place=self._place) from None
