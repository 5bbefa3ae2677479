"""One layer being made: what may replace what, what is written for it, and the index that comes of it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lineal.assemble.filesystem import DirectoryEntry, Filesystem
from lineal.assemble.layer_builder import AssembledLayer, LayerBuilder, LayerEntry
from lineal.errors import BuildFailed

PARENT = Filesystem(
    {
        "": DirectoryEntry(0o755, 0, 0, 0),
        "srv": DirectoryEntry(0o750, 5, 6, 0),
        "srv/old": DirectoryEntry(0o755, 0, 0, 0),
        "shared": DirectoryEntry(0o2775, 0, 50, 0),
    },
    {"run": "srv"},
)


def entries(made: AssembledLayer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(made.layer.path) as tar:
        return {member.name: member for member in tar}


def file(data: bytes = b"", mode: int = 0o644) -> LayerEntry:
    return LayerEntry("file", mode, 1, 2, None, len(data), lambda: iter([data]))


@pytest.fixture
def builder() -> LayerBuilder:
    return LayerBuilder(PARENT, 1)


def test_a_file_brings_the_directories_above_it_as_they_are(builder: LayerBuilder, tmp_path: Path) -> None:
    builder.put("srv/f", file(b"data"))
    made = builder.write(tmp_path)
    found = entries(made)
    assert sorted(found) == ["srv", "srv/f"]
    assert (found["srv"].mode, found["srv"].uid, found["srv"].gid) == (0o750, 5, 6)
    assert made.filesystem == PARENT


def test_what_is_resolved_follows_the_parent_s_links_and_one_s_own(builder: LayerBuilder) -> None:
    builder.put("srv/here", LayerEntry("symlink", 0o777, 0, 0, target="/shared"))
    assert builder.resolve("/run/here/x") == "shared/x"
    assert builder.resolve("/run/here", last=False) == "srv/here"


def test_a_directory_that_is_there_is_written_only_when_it_changes(builder: LayerBuilder, tmp_path: Path) -> None:
    builder.directory("srv", LayerEntry("directory", 0o750, 5, 6))
    assert builder.is_unchanged
    builder.directory("srv", LayerEntry("directory", 0o700, 5, 6))
    made = builder.write(tmp_path)
    assert entries(made)["srv"].mode == 0o700
    assert made.filesystem.directories["srv"] == (0o700, 5, 6, 0)


def test_directories_below_a_setgid_one_belong_to_its_group(builder: LayerBuilder) -> None:
    builder.make_directories("shared/a/b", 0o755, None)
    builder.make_directories("shared/c", 0o755, (7, 8))
    assert builder.directory_at("shared/a/b") == (0o2755, 0, 50, 1)
    assert builder.directory_at("shared/c") == (0o2755, 7, 8, 1)


def test_a_file_and_a_directory_do_not_replace_each_other(builder: LayerBuilder) -> None:
    with pytest.raises(BuildFailed, match="The directory /srv cannot be replaced by a file"):
        builder.put("srv", file())
    builder.put("f", file())
    with pytest.raises(BuildFailed, match="/f cannot be copied over the file"):
        builder.directory("f", LayerEntry("directory", 0o755, 0, 0))
    with pytest.raises(BuildFailed, match="/run cannot be copied over the symbolic link"):
        builder.directory("run", LayerEntry("directory", 0o755, 0, 0))
    with pytest.raises(BuildFailed, match="/f is not a directory, so nothing can be put below it"):
        builder.make_directories("f/d", 0o755, None)


def test_a_directory_of_the_parent_that_was_removed_comes_back_empty(builder: LayerBuilder, tmp_path: Path) -> None:
    builder.put("srv/f", file())
    builder.remove("srv")
    builder.directory("srv", LayerEntry("directory", 0o755, 0, 0))
    made = builder.write(tmp_path)
    assert sorted(entries(made)) == ["srv", "srv/.wh..wh..opq"]
    assert "srv/old" not in made.filesystem.directories


def test_one_entry_under_two_paths_is_a_hard_link(builder: LayerBuilder, tmp_path: Path) -> None:
    entry = file(b"once")
    builder.put("b", entry)
    builder.put("a", entry)
    found = entries(builder.write(tmp_path))
    assert (found["a"].isreg(), found["b"].islnk(), found["b"].linkname) == (True, True, "a")


def test_account_files_are_kept_in_the_index(builder: LayerBuilder, tmp_path: Path) -> None:
    builder.put("etc/passwd", file(b"me:x:7:8::/:/bin/sh\n"))
    assert builder.write(tmp_path).filesystem.owner("me") == (7, 8)


@pytest.mark.parametrize("path", ["a/../b", "a//b", "./a", ".wh.gone", "d/.wh..wh..opq"])
def test_names_that_no_layer_can_have_are_refused(builder: LayerBuilder, path: str) -> None:
    with pytest.raises(BuildFailed, match="cannot be kept in an image"):
        builder.put(path, file())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("d/" + "é" * 128, r"^/d/é.*… has a name of 256 bytes in it; the limit is 255\."),
        ("/".join(["n" * 255] * 16 + ["f"]), r"^/nnn.*… is a path of 4097 bytes; the limit is 4095\."),
    ],
)
def test_names_that_linux_does_not_have_are_refused(builder: LayerBuilder, path: str, message: str) -> None:
    with pytest.raises(BuildFailed, match=message):
        builder.put(path, file())


def test_directories_may_be_as_deep_as_a_path_is_long(builder: LayerBuilder, tmp_path: Path) -> None:
    deep = "/".join(["d"] * 2047)
    builder.make_directories(deep, 0o755, None)
    assert builder.write(tmp_path).filesystem.is_directory(deep)


def test_what_was_put_onto_an_empty_image_wins(tmp_path: Path) -> None:
    below, above = LayerBuilder(PARENT, 1), LayerBuilder(Filesystem.empty(), 1)
    below.put("srv/f", file(b"below"))
    below.put("srv/g", file(b"below"))
    above.put("srv/f", file(b"above"))
    above.put("run", file(b"no link any more"))
    made = below.cover(above, PARENT, tmp_path)
    with tarfile.open(made.layer.path) as tar:
        read = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]
    assert read == {"srv/f": b"above", "srv/g": b"below", "run": b"no link any more"}
    assert "run" not in made.filesystem.symlinks
