"""The directories of WORKDIR that a parent does not have: whose they are, and with which rights."""

from __future__ import annotations

import pytest

from lineal.assemble.filesystem import DirectoryEntry, Filesystem
from lineal.build.work_directories import WorkDirectories
from lineal.engine import Directory
from lineal.errors import BuildFailed, Location
from lineal.oci.types import ContainerConfig

PARENT = Filesystem(
    {"": DirectoryEntry(0o755, 0, 0, 0), "srv": DirectoryEntry(0o2755, 0, 50, 0)}, {}, b"app:x:1000:1001::/:/bin/sh\n"
)


def work_directories(config: ContainerConfig) -> WorkDirectories:
    return WorkDirectories(PARENT, config, Location("Dockerfile", 4))


@pytest.mark.parametrize(
    ("path", "user", "made"),
    [
        ("/", "", []),
        ("/srv", "app", []),
        ("/a/b", "app", [Directory("/a", 0o755, 1000, 1001), Directory("/a/b", 0o755, 1000, 1001)]),
        ("/srv/a/b", "", [Directory("/srv/a", 0o2755, 0, 50), Directory("/srv/a/b", 0o2755, 0, 50)]),
        ("/srv/a", "app", [Directory("/srv/a", 0o2755, 1000, 1001)]),
    ],
)
def test_a_workdir_makes_what_the_parent_lacks(path: str, user: str, made: list[Directory]) -> None:
    found = work_directories({"WorkingDir": path, "User": user})
    found.make_workdir()
    found.make_workdir()
    assert found.made == made


def test_a_command_finds_what_its_path_leaves_again() -> None:
    found = work_directories({"WorkingDir": "/srv/a/../b"})
    found.enter()
    assert [one.path for one in found.made] == ["/srv/a", "/srv/b"]
    plain = work_directories({"WorkingDir": "/new"})
    plain.enter()
    assert plain.made == []


def test_a_user_that_cannot_be_looked_up_is_a_sentence() -> None:
    linked = Filesystem(PARENT.directories, {"etc/passwd": "elsewhere"})
    found = WorkDirectories(linked, {"WorkingDir": "/new", "User": "app"}, Location("Dockerfile", 4))
    with pytest.raises(BuildFailed, match=r"^Dockerfile:4: USER app: 'app' cannot be looked up"):
        found.make_workdir()
