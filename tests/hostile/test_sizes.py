"""Registries and bases that are small on the way and large here, that never end, or that lie about their size."""

from __future__ import annotations

import http.server
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineal.assemble.allowance import FLOOR, Allowance
from lineal.assemble.archive import extract
from lineal.assemble.filesystem import Filesystem
from lineal.assemble.layer_builder import LayerBuilder
from lineal.assemble.stage_tree import StageTree
from lineal.errors import BuildFailed, LinealError, Unreachable
from lineal.oci.image import content
from lineal.oci.types import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from lineal.oci.verify import MAX_SIZE, size_of
from lineal.store.registry import deadline, tag_list
from lineal.store.registry.client import Registry
from lineal.tar.compression import ChunkStream
from lineal.tar.header import END, Unsupported
from lineal.tar.spool import Spool
from tests.hostile.bounds import bounds
from tests.hostile.test_tar import entry, record
from tests.unit.stages.workbench import MemoryStore

PACKED = 1 << 18
"""Bytes of a base, of which thousands of megabytes come. One of 9 MiB takes five times as long to be refused."""
MEMORY = 60 << 20
ZEROS = [b"0"] * 5


def header(key: bytes, value: bytes) -> bytes:
    return entry(b"x", b"x", b"", ZEROS, record(key, value), None)


BOMBS: dict[str, Callable[[int], bytes]] = {
    "links to a mebibyte": lambda k: header(b"linkpath", b"a/" * 400_000) + entry(b"2", b"l", b"", ZEROS, b"", 0),
    "links to 4 KiB": lambda k: header(b"linkpath", b"a/" * 2000) + entry(b"2", b"l%d" % k, b"", ZEROS, b"", 0),
    "hard links to 4 KiB": lambda k: header(b"linkpath", b"a/" * 2000) + entry(b"1", b"l%d" % k, b"", ZEROS, b"", 0),
    "names of 4 KiB": lambda k: header(b"path", b"%d/" % k + b"a/" * 2000) + entry(b"0", b"x", b"", ZEROS, b"", 0),
    "directories": lambda k: entry(b"5", b"d%d" % k, b"", ZEROS, b"", None),
    "links": lambda k: entry(b"2", b"d%d" % k, b"x", ZEROS, b"", None),
    "files that are gone": lambda k: entry(b"0", b".wh.d%d" % k, b"", ZEROS, b"", None),
    "folders that are emptied": lambda k: entry(b"0", b"d%d/.wh..wh..opq" % k, b"", ZEROS, b"", None),
    "account files": lambda k: entry(b"0", b"etc/passwd%d" % k, b"", ZEROS, bytes(4 << 20), None),
    "account files with the right name": lambda k: (
        entry(b"0", b"etc/group", b"", ZEROS, bytes(4 << 20), None)
        + entry(b"1", b"etc/passwd%d" % k, b"etc/group", ZEROS, b"", None)
    ),
    "attributes of a mebibyte": lambda k: (
        header(b"SCHILY.xattr.user.x", b"a" * 1_000_000) + entry(b"0", b"f%d" % k, b"", ZEROS, b"", None)
    ),
    "attributes of 60 KiB": lambda k: (
        header(b"SCHILY.xattr.user.x", b"a" * 60_000) + entry(b"5", b"f%d" % k, b"", ZEROS, b"", None)
    ),
}  # fmt: skip


def endless(make: Callable[[int], bytes], most: int = 1_000_000) -> Iterator[bytes]:
    """A plain tar of so many entries, made while it is read: packed it is a few megabytes."""
    for number in range(most):
        yield make(number)
    yield END


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_base_is_refused_before_it_fills_the_memory(bomb: str) -> None:
    tar = io.BufferedReader(ChunkStream(endless(BOMBS[bomb])))
    with bounds(MEMORY), pytest.raises(Unreachable) as refused:
        Filesystem.empty().apply(0, tar, Allowance(PACKED))
    assert refused.value.id == "LN-5017" and "Layer 0 of the image cannot be read: " in refused.value.message


@pytest.mark.parametrize(
    "bomb", ["attributes of a mebibyte", "attributes of 60 KiB", "links to 4 KiB", "hard links to 4 KiB", "links"]
)
def test_what_is_copied_from_such_an_image_is_refused_as_well(bomb: str, tmp_path: Path) -> None:
    with bounds(MEMORY), pytest.raises(Unreachable, match="Layer 0 of an image cannot be read"):
        StageTree.read(Filesystem.empty(), [lambda: endless(BOMBS[bomb])], ["/"], tmp_path, Allowance(PACKED, PACKED))


@pytest.mark.parametrize("bomb", ["links to 4 KiB", "attributes of 60 KiB"])
def test_an_archive_of_strangers_is_refused_as_well(
    bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zlib

    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    packed = (packer.compress(part) for part in endless(BOMBS[bomb]))
    destination = LayerBuilder(Filesystem.empty(), 0)
    monkeypatch.setattr("lineal.assemble.archive.FILES", 8 << 20)
    with bounds(MEMORY), pytest.raises(BuildFailed, match="which is the limit for its size"):
        extract(packed, "a.tar.gz", destination, "", Spool(tmp_path))


def test_a_base_of_nine_megabytes_takes_at_most_a_hundred_and_fifty_megabytes() -> None:
    with pytest.raises(Unsupported, match="more than 96 MiB of memory"):
        Allowance(9 << 20).take(97 << 20)
    assert FLOOR + 8 * (9 << 20) < 100 << 20


def test_a_small_base_may_have_tens_of_thousands_of_names() -> None:
    tar = io.BufferedReader(ChunkStream(endless(BOMBS["directories"], 20_000)))
    assert len(Filesystem.empty().apply(0, tar, Allowance(0)).directories) == 20_001


def test_layers_count_together() -> None:
    allowance, found = Allowance(0, 4 << 20), Filesystem.empty()
    with pytest.raises(Unreachable, match=r"Layer [1-9] of the image"):
        for number in range(10):
            tar = io.BufferedReader(ChunkStream(endless(BOMBS["directories"], 1500)))
            found = found.apply(number, tar, allowance)


def test_an_index_that_packs_too_well_is_refused() -> None:
    import gzip

    text = json.dumps({"version": 1, "directories": [["", 493, 0, 0, 0]] * 1_000_000, "symlinks": [],
                       "passwd": "", "group": ""}).encode()  # fmt: skip
    with bounds(MEMORY), pytest.raises(Unreachable, match="cut short or too large"):
        Filesystem.decode(gzip.compress(text, 9))


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "found"), [(3, "more bytes"), (8, "more bytes"), (10, "9 bytes"), (0, "more bytes")]
)
def test_a_blob_ends_at_the_size_that_its_manifest_names(size: int, found: str) -> None:
    store, read = MemoryStore(), 0

    def blob(digest: str) -> Iterator[bytes]:
        nonlocal read
        for _ in range(3):
            read += 3
            yield b"abc"

    store.blob = blob  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match=f"has {found} instead of the {size} that its manifest names"):
        list(content(store, Descriptor(OCI_LAYER_GZIP, "sha256:" + "0" * 64, size)))
    assert read <= size + 3


def test_a_blob_of_the_right_size_is_whole() -> None:
    store = MemoryStore()
    store.blob = lambda digest: iter([b"abc", b"def"])  # type: ignore[method-assign]
    assert b"".join(content(store, Descriptor(OCI_LAYER_GZIP, "sha256:" + "0" * 64, 6))) == b"abcdef"


@pytest.mark.parametrize("size", [-5, -1, MAX_SIZE, 10**40, 1e3, float("inf"), "5", None, True, [5]])
def test_a_size_that_no_blob_has_is_refused(size: object) -> None:
    with pytest.raises(ValueError, match="no size"):
        size_of({"size": size})


# --- answers without an end -----------------------------------------------------------------------------------------


class Endless(http.server.BaseHTTPRequestHandler):
    """What a registry sends depends on the repository's name."""

    protocol_version = "HTTP/1.1"
    pages = 0

    def do_GET(self) -> None:
        try:
            self._answer(self.path.split("/")[2])
        except OSError:
            self.close_connection = True

    def _answer(self, name: str) -> None:
        if name == "tags":
            Endless.pages += 1
            body = json.dumps({"tags": [f"{Endless.pages:064}-{k:013}" for k in range(1000)]}).encode()
            self.send_response(200)
            self.send_header("Link", f'</v2/tags/tags/list?page={Endless.pages}>; rel="next"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        if name == "head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        else:
            self.send_response(200)
            self.send_header("Content-Type", OCI_MANIFEST)
            self.send_header(*(("Connection", "close") if name == "close" else ("Content-Length", "1000000")))
            self.end_headers()
        while True:
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.02)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.parametrize("name", ["head", "close", "body"])
def test_an_answer_that_trickles_ends_at_its_deadline(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SECONDS", 0.3)
    with pytest.raises(Unreachable) as refused:
        Registry(host, name).manifest("1")
    assert refused.value.id == "LN-4033" and f"{host} needs more than 0 s for a small answer" in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "f" * 64])
def test_a_list_of_tags_without_an_end_is_refused(host: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_list, "MAX_NAMES", 1_000_000)
    with pytest.raises(LinealError, match="a list of tags that has no end"):
        Registry(host, "tags").tags(prefix)


def test_what_is_read_of_a_long_list_is_only_what_is_asked_for(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_list, "MAX_NAMES", 20_000_000)
    with bounds(MEMORY // 3), pytest.raises(LinealError, match="a list of tags that has no end"):
        Registry(host, "tags").tags("f" * 64)
