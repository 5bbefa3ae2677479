from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.context.tree import MAX_ID
from lineal.errors import BuildFailed, Unreachable
from lineal.tar.reader import TarReader
from lineal.tar.writer import MTIME, LayerWriter, TarWriter

PART = st.one_of(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=120),
    st.binary(min_size=1, max_size=60).map(lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))),
    st.text("ab.", min_size=1, max_size=200),
).filter(lambda part: part not in (".", ".."))
NAME = st.lists(PART, min_size=1, max_size=4).map("/".join)
ID = st.one_of(st.integers(0, 70000), st.integers(0, MAX_ID), st.just(MAX_ID))
META = st.fixed_dictionaries(
    {
        "mode": st.integers(0, 0o7777),
        "uid": ID,
        "gid": ID,
        "mtime": st.one_of(st.none(), st.integers(-(2**33), 2**40)),
    }
)


def written(*calls: tuple[str, tuple[object, ...], Mapping[str, object]]) -> bytes:
    sink = bytearray()
    tar = TarWriter(sink.extend)
    for method, args, kwargs in calls:
        getattr(tar, method)(*args, **kwargs)
    tar.finish()
    return bytes(sink)


def opened(data: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape")


@given(NAME, META, st.binary(max_size=1500), NAME, st.dictionaries(st.text("abc.", min_size=1), st.text(max_size=9)))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_back_by_the_standard_library(
    name: str, meta: dict[str, int], data: bytes, target: str, attributes: dict[str, str]
) -> None:
    xattrs = {f"SCHILY.xattr.user.{key}": value.replace("\0", "") for key, value in attributes.items()}
    owner = {key: meta[key] for key in ("uid", "gid", "mtime")}
    tar = written(
        ("directory", ("d",), meta),
        ("file", (f"d/{name}", len(data), [data]), {**meta, "xattrs": xattrs}),
        ("symlink", ("l", target), owner),
        ("hardlink", ("h", f"d/{name}"), meta),
    )
    with opened(tar) as read:
        directory, file, link, hard = read.getmembers()
        content = read.extractfile(file)
        assert content is not None and content.read() == data
    time = MTIME if meta["mtime"] is None else meta["mtime"]
    for entry in (directory, file, hard):
        assert (entry.mode, entry.uid, entry.gid, entry.mtime) == (meta["mode"], meta["uid"], meta["gid"], time)
    assert (link.uid, link.gid, link.mtime, link.mode) == (meta["uid"], meta["gid"], time, 0o777)
    assert (directory.type, directory.name) == (tarfile.DIRTYPE, "d")
    assert (file.type, file.name) == (tarfile.REGTYPE, f"d/{name}")
    assert {key: value for key, value in file.pax_headers.items() if "xattr" in key} == xattrs
    assert (link.type, link.linkname) == (tarfile.SYMTYPE, target)
    assert (hard.type, hard.linkname) == (tarfile.LNKTYPE, f"d/{name}")
    assert not any(entry.uname or entry.gname for entry in (directory, file, link, hard))
    # And by our own reader.
    reader = TarReader(io.BytesIO(tar))
    ours = [(entry.path, entry.uid, entry.gid, entry.mtime, b"".join(reader.content())) for entry in reader]
    assert ours[1] == (f"d/{name}", meta["uid"], meta["gid"], time, data)


@pytest.mark.parametrize("key", ["uid", "gid"])
@pytest.mark.parametrize("number", [-1, MAX_ID + 1, MAX_ID + 2])
def test_an_owner_that_there_is_not_is_not_written(key: str, number: int) -> None:
    with pytest.raises(BuildFailed, match=f"/f cannot belong to {number}: the last user or group is"):
        written(("file", ("f", 0, []), {key: number}))


def test_the_bytes_of_a_layer_never_change() -> None:
    long = "n" * 90 + "/" + "m" * 90
    tar = written(
        ("directory", ("etc",), {"mode": 0o1755, "uid": 5, "gid": 6}),
        ("file", ("etc/motd", 6, [b"hel", b"lo\n"]), {}),
        ("file", (long, 0, []), {"uid": 3_000_000}),
        ("file", ("été\udcff", 1, [b"x"]), {"xattrs": {"SCHILY.xattr.security.capability": "\x01\udc80"}}),
        ("symlink", ("bin", "usr/bin"), {}),
        ("hardlink", ("copy", "etc/motd"), {}),
        ("special", ("null", b"3"), {"device": (1, 3)}),
        ("opaque", ("fresh",), {}),
    )
    assert hashlib.sha256(tar).hexdigest() == "b00666c196505d925ab809f5dc774f96ac26d917620c7b40ab8ae7e445eddbd9"


def test_whiteouts_have_the_names_of_the_image_specification() -> None:
    with opened(written(("opaque", ("d",), {}), ("opaque", ("",), {}))) as read:
        assert read.getnames() == ["d/.wh..wh..opq", ".wh..wh..opq"]


def test_a_short_plain_name_needs_no_extended_header() -> None:
    assert len(written(("file", ("p" * 100 + "/" + "n" * 100, 0, []), {}))) == 3 * 512


@pytest.mark.parametrize("content", [[b"12"], [b"123", b"4"], []])
def test_content_of_another_size_than_announced_is_refused(content: list[bytes]) -> None:
    with pytest.raises(BuildFailed, match=r"/f has (more|less) content than its size of 3 bytes"):
        written(("file", ("f", 3, content), {}))


def test_a_layer_has_the_digests_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(300_000) + bytes(700_000)
    with LayerWriter(tmp_path) as writer:
        for at in range(0, len(data), 777):
            writer.write(data[at : at + 777])
        layer = writer.finish()
    packed = layer.path.read_bytes()
    assert gzip.decompress(packed) == data
    assert packed[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert layer.size == len(packed)
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_layer_is_made_without_isal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "isal", None)
    with LayerWriter(tmp_path) as writer:
        writer.write(b"x" * 1000)
        layer = writer.finish()
    assert gzip.decompress(layer.path.read_bytes()) == b"x" * 1000


def test_nothing_is_left_when_making_a_layer_fails(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"12"
        raise BuildFailed("No more.")

    with pytest.raises(BuildFailed), LayerWriter(tmp_path) as writer:
        TarWriter(writer.write).file("f", 3, broken())
    with LayerWriter(tmp_path) as writer:
        writer.write(b"never finished")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No space left on device"), LayerWriter(tmp_path) as writer:
        writer._file.close()
        writer._file = open("/dev/full", "wb")  # noqa: SIM115, PTH123
        for _ in range(40):
            writer.write(os.urandom(1 << 17))
        writer.finish()
    assert list(tmp_path.iterdir()) == []
