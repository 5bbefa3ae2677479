"""Tars that want to be a trap: layers of a base, archives to ADD, what an engine sends."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lineal.assemble.archive import extract, is_archive
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_builder import LayerBuilder
from lineal.assemble.stage_tree import StageTree
from lineal.engine.layer import LayerExclusions, LayerTar
from lineal.errors import BuildFailed
from lineal.tar.header import BLOCK, END, with_checksum
from lineal.tar.spool import Spool
from tests.hostile.bounds import answer, bounds
from tests.hostile.inputs import damaged

NAMES = st.sampled_from([b"a", b"a/b", b"./", b"", b"/", b"..", b"a/../../b", b"a//b/", b"l", b"l/x", b".wh.a",
                         b"a/.wh..wh..opq", b".wh.",
                         b".wh...", b"etc/passwd", b"\xff", b"n" * 100, b"d/" * 50, b"a\nb", b"a\0b"])  # fmt: skip
NUMBERS = st.sampled_from([b"", b"0", b"0000644", b"7777777", b"77777777777", b"-1", b"9", b"0o17", b"1_0", b" 5 ",
                           b"\x80" + b"\xff" * 11,
                           b"\xff" * 12, b"\x80" + b"\0" * 11, b"x", b"0000005\0"])  # fmt: skip
KEYS = st.sampled_from([b"path", b"linkpath", b"size", b"mtime", b"uid", b"gid", b"SCHILY.xattr.user.a",
                        b"GNU.sparse.map",
                        b"GNU.sparse.major", b"", b"a=b", b"hdrcharset", b"charset"])  # fmt: skip
VALUES = st.sampled_from(
    [b"", b"a", b"/", b"..", b"9" * 30, b"9" * 5000, b"-1", b"1.5", b"1e9", b".", b"\0", b"\n", b"\xff", b"d/" * 300]
)


def record(key: bytes, value: bytes, lie: int = 0) -> bytes:
    """A PAX record; its length may be a lie."""
    size = len(key) + len(value) + 3
    size += len(str(size + len(str(size))))
    return b"%d %b=%b\n" % (size + lie, key, value)


RECORDS = st.lists(st.builds(record, KEYS, VALUES, st.sampled_from([0] * 9 + [-1, 1, 500])), max_size=4).map(b"".join)


def entry(flag: bytes, name: bytes, link: bytes, numbers: list[bytes], content: bytes, size: int | None) -> bytes:
    """One entry with its checksum right; `size` is what the header says, None for the truth."""
    said = b"%011o" % len(content) if size is None else b"%011o" % size
    mode, uid, gid, mtime, device = numbers
    block = name[:100].ljust(100, b"\0") + b"".join(part[:8].ljust(8, b"\0") for part in (mode, uid, gid))
    block += said[:12].ljust(12, b"\0") + mtime[:12].ljust(12, b"\0") + bytes(8) + flag + link[:100].ljust(100, b"\0")
    block += b"ustar\x0000" + bytes(64) + (device[:8].ljust(8, b"\0")) * 2
    return with_checksum(block.ljust(BLOCK, b"\0")) + content + bytes(-len(content) % BLOCK)


SIZES = st.sampled_from([None] * 9 + [0, 1, 511, 513, 2**30])
FLAGS = st.sampled_from(list("01234567LKxgSDVMA")).map(str.encode) | st.just(b"\0")
PLAIN = st.builds(
    entry, FLAGS, NAMES, NAMES, st.lists(NUMBERS, min_size=5, max_size=5), RECORDS | st.binary(max_size=600), SIZES
)
EXTENDED = st.builds(
    entry, st.sampled_from([b"x", b"g"]), st.just(b"x"), st.just(b""), st.just([b"0"] * 5), RECORDS, st.none()
)
TARS = st.builds(lambda parts, end: b"".join(parts) + end, st.lists(EXTENDED | PLAIN, max_size=6),
                 st.sampled_from([END, END + bytes(9000), b"", bytes(BLOCK), b"x"]))  # fmt: skip
PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress]


def many_headers(kind: bytes) -> bytes:
    """Extended headers without an end, each with other keys; as a layer it is a few kilobytes."""
    bodies = (b"".join(record(b"k%d.%d" % (number, key), b"v" * 1000) for key in range(900)) for number in range(10))
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = [packer.compress(entry(kind, b"x", b"", [b"0"] * 5, body, None)) for body in bodies]
    return b"".join([*packed, packer.flush()])


def read_everywhere(tar: bytes, folder: Path) -> None:
    """By everything that reads a tar, each with a sentence of its own."""
    found = answer(lambda: Filesystem.empty().apply(0, io.BytesIO(tar)).apply(1, io.BytesIO(tar)))
    if found is not None:
        answer(lambda: StageTree.read(found, [lambda: iter([tar])] * 2, ["/", "a", "*"], folder))
    answer(lambda: LayerTar(lambda data: None, LayerExclusions()).copy(io.BytesIO(tar)))
    answer(lambda: unpacked(iter([tar]), folder))


def unpacked(chunks: Iterator[bytes], folder: Path) -> None:
    destination = LayerBuilder(Filesystem.empty(), 0)
    extract(chunks, "a.tar", destination, "", Spool(folder))
    destination.write(folder).layer.path.unlink()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tars")


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(TARS)
def test_a_tar_is_read_or_refused(folder: Path, tar: bytes) -> None:
    read_everywhere(tar, folder)


GOOD = (
    entry(b"5", b"a", b"", [b"755"] * 5, b"", None) + entry(b"0", b"a/f", b"", [b"644"] * 5, b"x" * 700, None) + END
)


@settings(max_examples=80)
@given(st.sampled_from(PACKERS).flatmap(lambda pack: damaged(pack(GOOD))) | st.binary(max_size=300))
@example(b"\x28\xb5\x2f\xfd" + b"\xff" * 40)
def test_a_compressed_archive_is_unpacked_or_refused(folder: Path, archive: bytes) -> None:
    answer(lambda: is_archive(iter([archive])))
    answer(lambda: unpacked(iter([archive[:7], archive[7:]]), folder))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L"], ids=["x", "g", "L"])
def test_headers_without_an_end_do_not_fill_the_memory(folder: Path, kind: bytes) -> None:
    archive = many_headers(kind)
    with pytest.raises(BuildFailed, match="a tar header is longer than 1 MiB"), bounds():
        unpacked(iter([archive]), folder)
