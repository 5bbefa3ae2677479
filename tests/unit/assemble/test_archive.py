from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.assemble.archive import extract, is_archive
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_builder import LayerBuilder
from lineal.errors import BuildFailed
from lineal.tar.spool import Spool
from tests.unit.assemble.oracle import Files, archive, put_layer

if sys.version_info >= (3, 14):
    from compression import zstd
    from compression.zstd import compress
else:
    from backports import zstd
    from backports.zstd import compress

PLAIN = archive(("f", "f", 0o640, 3, 4, b"content"), ("h", "h", 0o640, 3, 4, "f"))
PACKED = gzip.compress(PLAIN, mtime=0)


def pieces(data: bytes, size: int = 100) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def unpacked(data: bytes, tmp_path: Path) -> Files:
    destination = LayerBuilder(Filesystem.empty(), 0)
    extract(pieces(data), "a.tar", destination, "", Spool(tmp_path))
    files: Files = {}
    put_layer(files, destination.write(tmp_path).layer.path.read_bytes())
    return files


@pytest.mark.parametrize("size", [1, 600, 100_000])
@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (PLAIN, True), (PACKED, True), (b"", False), (bytes(10240), False), (b"x" * 1000, False),
        (gzip.compress(b"x" * 1000, mtime=0), False), (b"\x1f\x8b", False), (b"BZh", False), (PLAIN[:300], False),
        (b"\xfd7zXZ\0junk", False),
    ],
)  # fmt: skip
def test_a_tar_is_known_by_its_content(data: bytes, size: int, answer: bool) -> None:
    assert is_archive(pieces(data, size)) is answer


def header(**fields: bytes) -> bytes:
    """The header of a file `f` with fields of one's own, its checksum right."""
    places = {"uid": (108, 116), "gid": (116, 124), "size": (124, 136), "flag": (156, 157), "major": (329, 337)}
    block = bytearray(PLAIN[:512])
    for name, value in fields.items():
        start, end = places[name]
        block[start:end] = value.rjust(end - start, b"\xff" if value[0] == 0xFF else b" ")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"size": b"\xff" * 12}, "size"), ({"size": b"-1"}, "size"), ({"size": b"\xff" * 11 + b"\xfe"}, "size"),
        ({"uid": b"\xff" * 8}, "uid"), ({"gid": b"-7"}, "gid"), ({"uid": b"\x80\0\0\xff\0\0\0\0"}, "owner"),
        ({"flag": b"3", "major": b"\x80\0\0\0\xff\0\0\0"}, "device"),
    ],
)  # fmt: skip
def test_numbers_that_no_tar_has_are_refused_before_anything_is_read(
    fields: dict[str, bytes], wrong: str, tmp_path: Path
) -> None:
    read = 0

    def content() -> Iterator[bytes]:
        nonlocal read
        yield header(**fields)
        for _ in range(100):
            read += 1
            yield bytes(1 << 20)

    with pytest.raises(BuildFailed, match=f"wrong {wrong}"):
        extract(content(), "a.tar", LayerBuilder(Filesystem.empty(), 0), "", Spool(tmp_path))
    assert read < 10


@pytest.mark.parametrize("pax", [False, True])
def test_an_owner_after_the_last_one_is_left_as_it_is_made(pax: bool, tmp_path: Path) -> None:
    """As chown(2) reads it, which every engine calls."""

    def owned(number: int) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as tar:
            entry = tarfile.TarInfo("f")
            entry.uid, entry.gid = number, 5
            tar.addfile(entry)
        return buffer.getvalue()

    assert unpacked(owned(4294967294), tmp_path)["f"][2:4] == (4294967294, 5)
    assert unpacked(owned(4294967295), tmp_path)["f"][2:4] == (0, 5)
    assert is_archive(pieces(owned(4294967296))), "otherwise it would be copied"
    with pytest.raises(BuildFailed, match="wrong owner: the last number of a user or group is 4294967294"):
        unpacked(owned(4294967296), tmp_path)


def test_a_name_of_an_attribute_may_have_any_bytes(tmp_path: Path) -> None:
    body = b"31 SCHILY.xattr.user.\xff\xfe=value\n"
    body = b"%d%b" % (len(body), body[2:])
    extension = bytearray(header(flag=b"x", size=b"%o\0" % len(body)))
    assert unpacked(bytes(extension) + body.ljust(512, b"\0") + PLAIN, tmp_path)["f"]


@pytest.mark.parametrize("flag", [b"S", b"Z"])
def test_an_archive_that_begins_with_what_is_not_supported_is_none_to_be_copied(flag: bytes, tmp_path: Path) -> None:
    data = header(flag=flag) + PLAIN[512:]
    assert is_archive(pieces(data))
    with pytest.raises(BuildFailed, match="entry of unknown type"):
        unpacked(data, tmp_path)


def test_zstd_is_unpacked_several_frames_too(tmp_path: Path) -> None:
    packed = compress(PLAIN[:700]) + compress(PLAIN[700:])
    assert is_archive(pieces(packed, 7))
    assert unpacked(packed, tmp_path) == unpacked(PLAIN, tmp_path)
    with pytest.raises(BuildFailed, match="too early"):
        unpacked(packed[:-20], tmp_path)
    assert not is_archive(iter([b"\x28\xb5\x2f\xfd" + bytes(100)]))


def test_zstd_needs_no_more_memory_than_any_tool_gives_it(tmp_path: Path) -> None:
    """A frame may ask for a window of gigabytes; 128 MiB is what `zstd` itself takes."""
    frame = bytearray(compress(PLAIN, options={zstd.CompressionParameter.checksum_flag: 0}))
    frame[4] &= ~0x20  # not a single segment: a window descriptor follows
    frame[5:5] = b"\xa8"  # 2 GiB
    assert not is_archive(pieces(bytes(frame), 50))


def test_an_owner_is_for_everything_in_the_archive(tmp_path: Path) -> None:
    destination = LayerBuilder(Filesystem.empty(), 0)
    extract(pieces(PLAIN), "a.tar", destination, "", Spool(tmp_path), (7, 8))
    with tarfile.open(destination.write(tmp_path).layer.path) as tar:
        assert {(entry.uid, entry.gid) for entry in tar} == {(7, 8)}


def test_hard_links_stay_links(tmp_path: Path) -> None:
    destination = LayerBuilder(Filesystem.empty(), 0)
    data = archive(("z", "f", 0o600, 0, 0, b"x" * 5000), ("a", "h", 0o600, 0, 0, "z"))
    extract(pieces(data), "a.tar", destination, "", Spool(tmp_path))
    with tarfile.open(destination.write(tmp_path).layer.path) as tar:
        assert [(entry.name, entry.type, entry.linkname) for entry in tar] == [
            ("a", tarfile.REGTYPE, ""), ("z", tarfile.LNKTYPE, "a"),
        ]  # fmt: skip


def test_capabilities_are_kept(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo("ping")
        entry.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x02"}
        tar.addfile(entry)
    destination = LayerBuilder(Filesystem.empty(), 0)
    extract(pieces(buffer.getvalue()), "a.tar", destination, "", Spool(tmp_path))
    with tarfile.open(destination.write(tmp_path).layer.path) as layer:
        assert layer.getmember("ping").pax_headers["SCHILY.xattr.security.capability"] == "\x01\x02"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PLAIN[:515], "in the middle of a file"),
        (PACKED[:60], "too early"),
        (archive(("h", "h", 0o644, 0, 0, "../../etc/passwd")), "hard link"),
        (archive((".wh.etc", "f", 0o644, 0, 0, b"")), "mean a removed file"),
    ],
)
def test_what_cannot_be_unpacked_is_said(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=message):
        unpacked(data, tmp_path)


def test_links_in_an_archive_lead_nowhere_outside(tmp_path: Path) -> None:
    data = archive(("out", "l", 0o777, 0, 0, "../../.."), ("out/f", "f", 0o644, 0, 0, b"in"))
    assert unpacked(data, tmp_path).keys() == {"out", "f"}
