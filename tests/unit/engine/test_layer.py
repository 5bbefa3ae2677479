"""From an engine's tar to a layer's: nothing of the engine, everything of the command."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.engine.layer import LayerExclusions, LayerTar
from lineal.errors import BuildFailed, Unreachable
from lineal.tar import raw
from lineal.tar.header import END, checksum

NAME = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90)
    .map(str.strip)
    .filter(lambda part: part not in ("", ".", "..") and not part.startswith(".wh.")),
    min_size=1,
    max_size=5,
).map("/".join)


def layer(
    tar: bytes, exclusions: LayerExclusions | None = None, deleted: tuple[str, ...] = (), below: bytes = b""
) -> bytes:
    out = io.BytesIO()
    writer = LayerTar(out.write, exclusions or LayerExclusions())
    writer.copy(io.BytesIO(tar), below)
    writer.finish(deleted)
    return out.getvalue()


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as opened:
        return opened.getnames()


def tar(*members: tarfile.TarInfo, contents: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for member in members:
            member.size = len(contents) if member.isreg() else 0
            opened.addfile(member, io.BytesIO(contents))
    return out.getvalue()


def node(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def folder(name: str) -> tarfile.TarInfo:
    return node(name, tarfile.DIRTYPE, mode=0o755)


@given(NAME, st.binary(max_size=2000), st.integers(0, 2**40), st.integers(0, 0o7777), st.booleans())
def test_whatever_comes_in_goes_out(name: str, content: bytes, owner: int, mode: int, link: bool) -> None:
    info = node(f"./{name}", tarfile.SYMTYPE if link else tarfile.REGTYPE, name if link else "", mode)
    info.uid, info.uname = owner, "somebody"
    with tarfile.open(fileobj=io.BytesIO(layer(tar(info, contents=content)))) as opened:
        (found,) = opened.getmembers()
        assert (found.name, found.uid, found.mode, found.uname) == (name, owner, mode, "")
        if link:
            assert found.linkname == name
        else:
            assert opened.extractfile(found).read() == content  # type: ignore[union-attr]


@given(NAME, st.binary(max_size=600), st.integers(0, 2**40), st.integers(0, 8**11 - 1))
def test_an_entry_of_one_s_own_is_read_back(name: str, content: bytes, uid: int, mtime: int) -> None:
    data = raw.file(name.encode(), content, mode=0o640, uid=uid, mtime=mtime) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        (found,) = opened.getmembers()
        assert (found.name, found.uid, found.mtime, found.mode) == (name, uid, mtime, 0o640)
        assert opened.extractfile(found).read() == content  # type: ignore[union-attr]


def test_the_root_itself_is_not_an_entry() -> None:
    assert names(layer(tar(folder("."), folder("./a"), node("./a/b")))) == ["a", "a/b"]


def test_devices_and_their_hard_links_are_deletions() -> None:
    gone = tar(folder("./etc"), node("./etc/apt", tarfile.CHRTYPE), node("./etc/issue", tarfile.LNKTYPE, "./etc/apt"))
    assert names(layer(gone)) == ["etc", "etc/.wh.apt", "etc/.wh.issue"]


def test_a_real_device_is_no_deletion() -> None:
    null = node("./null", tarfile.CHRTYPE)
    null.devmajor, null.devminor = 1, 3
    assert names(layer(tar(null))) == ["null"]


def test_what_a_directory_made_anew_hides_is_said_in_that_directory() -> None:
    renewed = tar(folder("./d"), node("./d/kept"), folder("./d/sub"), node("./d/sub/x"), node("./z"))
    found = names(layer(renewed, deleted=("/d/old", "/d/sub/old", "/gone")))
    assert found == ["d", "d/kept", "d/sub", "d/sub/x", "z", ".wh.gone", "d/.wh.old", "d/sub/.wh.old"]


def test_a_deletion_said_twice_is_written_once() -> None:
    found = names(layer(tar(folder("./d"), node("./d/x", tarfile.CHRTYPE)), deleted=("/d/x",)))
    assert found == ["d", "d/.wh.x"]


def test_a_hidden_name_that_is_no_text_makes_the_directory_opaque() -> None:
    assert names(layer(tar(folder("./d")), deleted=("/d/bad\ufffd",))) == ["d", "d/.wh..wh..opq"]
    bad = node("./d/bad\udcff\udcfe", tarfile.CHRTYPE)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape", format=tarfile.GNU_FORMAT) as opened:
        opened.addfile(folder("./d"))
        opened.addfile(bad)
    assert names(layer(out.getvalue(), deleted=("/d/bad\ufffd\ufffd",))) == ["d", "d/.wh.bad\udcff\udcfe"]


def test_a_stub_is_kept_only_with_something_in_it() -> None:
    exclusions = LayerExclusions(stubs=frozenset({b"a", b"a/b"}))
    assert names(layer(tar(folder("./a"), folder("./a/b"), node("./z")), exclusions)) == ["z"]
    assert names(layer(tar(folder("./a"), folder("./a/b"), node("./a/c")), exclusions)) == ["a", "a/c"]
    assert names(layer(tar(folder("./a"), folder("./a/b"), node("./a/b/c")), exclusions)) == ["a", "a/b", "a/b/c"]


def test_a_second_stream_completes_a_stub_of_the_first() -> None:
    out = io.BytesIO()
    writer = LayerTar(out.write, LayerExclusions(dropped=frozenset({b"a/b/s"}), stubs=frozenset({b"a", b"a/b"})))
    writer.copy(io.BytesIO(tar(folder("./a"), folder("./a/b"))))
    writer.copy(io.BytesIO(tar(folder("."), node("./s"), node("./x"), node("./y", tarfile.LNKTYPE, "./x"))), b"a/b")
    writer.finish()
    assert names(out.getvalue()) == ["a", "a/b", "a/b/x", "a/b/y"]
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as opened:
        assert opened.getmember("a/b/y").linkname == "a/b/x"


@pytest.mark.parametrize("cut", [300, 700, 1100])
def test_a_stream_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(Unreachable):
        layer(tar(node("./a"), contents=b"x" * 800)[:cut])


def damaged(start: int, field: bytes) -> bytes:
    """A tar whose first header has this field, with the checksum that belongs to it."""
    block = bytearray(tar(node("./a")))
    block[start : start + len(field)] = field
    block[148:156] = b"%06o\0 " % checksum(bytes(block[:512]))
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (damaged(100, b"000x644\0"), "a wrong number"),
        (damaged(124, b"\xff" * 12), "a wrong size"),
        (damaged(156, b"S"), "unknown type 'S'"),
        (tar(node("./a")).replace(b"a", b"b", 1), "a wrong checksum"),
        (tar(node("./a"))[:512], "no end"),
    ],
)
def test_a_stream_that_is_no_tar_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(Unreachable, match=f"The engine sent an archive that cannot be read: .*{says}"):
        layer(data)


@pytest.mark.parametrize("name", ["../a", "a/../../b"])
def test_a_name_that_leaves_the_root_is_refused(name: str) -> None:
    with pytest.raises(Unreachable, match="leaves its root"):
        layer(tar(node(name)))


class Pieces(io.BytesIO):
    """A stream that gives a block at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(512 if size is None or size < 0 else min(size, 512))


def test_a_secret_across_two_chunks_is_found() -> None:
    content = b"." * 500 + b"0123456789abcdef-secret" + b"." * 900
    writer = LayerTar(io.BytesIO().write, LayerExclusions(secrets=(b"0123456789abcdef-secret",)))
    with pytest.raises(BuildFailed, match="/f"):
        writer.copy(Pieces(tar(node("./f"), contents=content)))


def test_a_short_secret_counts_only_as_a_whole_file() -> None:
    exclusions = LayerExclusions(secrets=(b"postgres",))
    assert names(layer(tar(node("./f"), contents=b"user=postgres"), exclusions)) == ["f"]
    with pytest.raises(BuildFailed):
        layer(tar(node("./f"), contents=b"postgres"), exclusions)
