"""Bundles as files: equal charts are equal bytes, hostile archives are refused, values follow their images."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import Bundle, check_version, commit_version, tag_of, tagged_version, written
from lineal.deploy.bundle.relocate import Relocation
from lineal.deploy.helm.chart_archive import pack, unpack
from lineal.deploy.values import ImageValue, global_values
from lineal.errors import BadConfiguration, DeployFailed, Unreachable
from lineal.oci.types import Manifest
from lineal.store.layout import Layout

COMMIT = "c" * 40
DIGEST = "sha256:" + "a" * 64
OLD, NEW = "registry.example.com:5000/team/app", "new.example.org/shop"
IMAGE = ImageValue.of(OLD, "tag-1", DIGEST)
NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,120}", fullmatch=True).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
FILES = (
    st.dictionaries(PATHS, st.binary(max_size=200), max_size=8)
    .map(lambda files: {**files, "Chart.yaml": b"name: x"})
    .filter(lambda files: not any(path.startswith(f"{above}/") for path in files for above in files))
)


def bundle(values: dict[str, object] | None = None, version: str = "1.0.0") -> Bundle:
    known = global_values("shop", None, COMMIT, None, {"app": IMAGE})
    return Bundle("shop", {
        "Chart.yaml": f"name: shop\nversion: {version}\n".encode(),
        "values.yaml": written({**(values or {}), **known}),
    })  # fmt: skip


# --- archives -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(FILES)
def test_what_is_packed_is_what_is_unpacked(files: dict[str, bytes]) -> None:
    packed = pack("shop", files)
    assert unpack(packed, "it") == ("shop", files)
    assert pack("shop", dict(reversed(files.items()))) == packed


def test_other_tools_read_it_and_find_no_time(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(pack("shop", {"Chart.yaml": b"x" * 200_000, "a" * 150: b"1"}))
    done = subprocess.run(["tar", "tzvf", str(tmp_path / "x.tgz")], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].endswith(" shop/Chart.yaml") and lines[1].endswith(f" shop/{'a' * 150}")
    assert all(line.startswith("-rw-r--r-- 0/0") and " 1980-01-0" in line for line in lines)


def archive(*entries: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    return made.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, "/etc/passwd"
    return made


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b"\x1f\x8b\x08" + bytes(20), pack("shop", {"Chart.yaml": b"x" * 100})[:-40],
        archive(entry("shop/values.yaml")), archive(entry("Chart.yaml")), archive(entry("/shop/Chart.yaml")),
        archive(entry("shop/Chart.yaml"), entry("shop/../../x")), archive(entry("shop/Chart.yaml"), entry("other/x")),
        archive(entry("shop/Chart.yaml"), entry("shop/x", tarfile.SYMTYPE)),
        archive(entry("shop/Chart.yaml"), entry("shop/x", tarfile.CHRTYPE)),
        archive(entry("shop/Chart.yaml", size=65 << 20)),
    ],
)  # fmt: skip
def test_an_archive_that_is_no_chart_is_refused(data: bytes) -> None:
    with pytest.raises(DeployFailed, match="it is no Helm chart: "):
        unpack(data, "it")


def sparse(size: int) -> bytes:
    """147 bytes that stand for `size` MiB, as GNU tar wrote them first."""
    header = bytearray(512)
    for at, field in (
        (0, b"shop/big"), (100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (124, b"0" * 11), (136, b"0" * 11),
        (148, b" " * 8), (156, tarfile.GNUTYPE_SPARSE), (257, b"ustar  "), (483, b"%011o" % (size << 20)),
    ):  # fmt: skip
        header[at : at + len(field)] = field
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(entry("shop/Chart.yaml").tobuf() + bytes(header) + bytes(1024))


def newer_sparse(size: int) -> bytes:
    """The same, as GNU tar writes it now: a plain file with more to be said about it."""
    made = entry("shop/big")
    made.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "shop/big",
                        "GNU.sparse.size": str(size << 20), "GNU.sparse.map": "0,0"}  # fmt: skip
    return gzip.compress(entry("shop/Chart.yaml").tobuf() + made.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


@pytest.mark.parametrize("make", [sparse, newer_sparse])
def test_a_few_bytes_that_stand_for_many_are_refused(make: Callable[[int], bytes]) -> None:
    """Told before a byte is read: 1 TiB of them would end this test otherwise."""
    assert len(make(1 << 20)) < 400
    with pytest.raises(DeployFailed, match="it has an entry `shop/big` that is no plain file"):
        unpack(make(1 << 20), "it")


def test_headers_in_headers_without_end_are_refused() -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type = tarfile.GNUTYPE_LONGNAME
    with pytest.raises(DeployFailed, match="it cannot be unpacked"):
        unpack(gzip.compress(long.tobuf() * 5000 + entry("shop/Chart.yaml").tobuf() + bytes(1024)), "it")


# --- versions and references ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v2.0.0", "2.0.0"), ("release/2.0.0-rc.1", "2.0.0-rc.1"), ("nightly", None), ("v2", None), (None, None)],
)
def test_versions_that_a_tag_names(tag: str | None, version: str | None) -> None:
    assert tagged_version(tag) == version


@pytest.mark.parametrize(
    ("chart", "line", "version"),
    [
        ("0.1.0", "", "0.1.0-7.gcccccccccccc"), ("0.1.0-rc.1+linux", "", "0.1.0-rc.1.7.gcccccccccccc"),
        ("0.1.0", "fix/Login_2", "0.1.0-0.fix-login-2.7.gcccccccccccc"),
        ("0.1.0", "007", "0.1.0-0.b007.7.gcccccccccccc"),
        ("0.1.0", "ä", "0.1.0-0.b.7.gcccccccccccc"), ("0.1.0", "x" * 200, f"0.1.0-0.{'x' * 40}.7.gcccccccccccc"),
    ],
)  # fmt: skip
def test_versions_of_commits(chart: str, line: str, version: str) -> None:
    assert commit_version(chart, line, 7, COMMIT) == version


@given(st.lists(st.tuples(st.text(max_size=60), st.integers(1, 10**7)), min_size=2, max_size=6))
def test_versions_sort_as_history_does(commits: list[tuple[str, int]]) -> None:
    """Those of the default branch by their number, above all others'."""

    def order(line: str, count: int) -> tuple[object, ...]:
        version = commit_version("0.1.0", line, count, COMMIT)
        parts = version.partition("-")[2].split(".")
        return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)

    for line, count in commits:
        for other, more in commits:
            if (not line and not other and count < more) or (line and not other):
                assert order(line, count) < order(other, more)


def test_a_version_as_a_tag() -> None:
    assert tag_of("1.0.0+a.b") == "1.0.0_a.b"


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-01", "1.2.3 ", "1.2.3-" + "a" * 128])
def test_versions_that_helm_does_not_take(version: str) -> None:
    with pytest.raises(BadConfiguration):
        check_version(version)


def test_references() -> None:
    assert registry.parse("oci://h.example/a/b:1.0.0+x") == ("h.example/a/b", "1.0.0_x")
    assert registry.parse(f"h.example:5000/b:1.0.0@{DIGEST}") == ("h.example:5000/b", DIGEST)
    for wrong in (
        "h.example/a",
        "https://h.example/a:1",
        "a:1",
        "h.example/A:1",
        "h.example/a@sha256:1",
        "h.example/../a:1",
    ):
        with pytest.raises(BadConfiguration):
            registry.parse(wrong)


# --- in a store -----------------------------------------------------------------------------------------------------


class Careless(Layout):
    """Moves a tag when it is told to, as most registries do."""

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        super().put_manifest(manifest)
        if tag is not None:
            self.move_tag(manifest, tag)


@pytest.mark.parametrize("kind", [Layout, Careless])
def test_a_bundle_is_found_again_and_never_replaced(tmp_path: Path, kind: type[Layout]) -> None:
    store, notes = kind(tmp_path / "store"), list[str]()
    manifest = registry.put(store, bundle(), "https://forge.example/shop", notes.append)
    assert registry.get(store, "1.0.0", "it")[0] == bundle() and notes == []
    assert sorted(store.tags()) == ["1.0.0", COMMIT]
    with pytest.raises(DeployFailed, match="a published version never changes"):
        registry.put(store, bundle({"x": 1}), "https://forge.example/shop", notes.append)
    registry.put(store, bundle({"x": 1}, "1.0.1"), "https://forge.example/shop", notes.append)
    assert store.digest(COMMIT) == store.digest("1.0.0") == manifest.digest and "stays with" in notes[0]


@pytest.mark.parametrize(
    "values",
    [
        b"", b"[]", b"a: 1\n", b'{"global": {"lineal": {}}}', b"[" * 100_000,
        written(global_values("shop", None, "../../x", None, {})),
        written(global_values("shop", None, COMMIT, None, {"a": ImageValue.of("h/r", "../x", DIGEST)})),
        written(global_values("shop", None, COMMIT, None, {"a": ImageValue.of("h/r", "t", "sha256:../x")})),
    ],
)  # fmt: skip
def test_values_of_no_bundle_are_not_believed(values: bytes) -> None:
    with pytest.raises((DeployFailed, Unreachable)):
        _ = Bundle("shop", {"Chart.yaml": b"", "values.yaml": values}).values


# --- another place --------------------------------------------------------------------------------------------------

REFERENCES = st.sampled_from([OLD, f"{OLD}:tag-1", IMAGE.ref, IMAGE.image, f"{OLD}:other"])
AFTER = st.sampled_from(["", " ", "'", '"', ",", "\n", ". ", "?"])
BEFORE = AFTER | st.sampled_from(["--image=", "[", "oci:"])
OTHERS = st.sampled_from(
    [f"{OLD}-more", f"{OLD}/more", f"x{OLD}", f"sub.{OLD}", "team/app", "registry.example.com", ""]
)


@settings(deadline=None)
@given(BEFORE, REFERENCES, AFTER)
def test_every_text_that_names_the_old_place_names_the_new_one(before: str, reference: str, after: str) -> None:
    text = before + reference + after
    moved = Relocation({"app": IMAGE}, NEW).bundle(bundle({"deep": [{"text": text}]}))
    assert moved.values["deep"] == [{"text": text.replace(OLD, NEW)}]
    assert moved.images["app"] == ImageValue.of(NEW, "tag-1", DIGEST)
    assert Relocation({"app": IMAGE}, NEW).left(moved) == []


@settings(deadline=None)
@given(OTHERS, AFTER)
def test_other_texts_stay(text: str, after: str) -> None:
    moved = Relocation({"app": IMAGE}, NEW).bundle(bundle({"text": text + after}))
    assert moved.values["text"] == text + after


def test_host_and_path_in_two_values() -> None:
    host, _, path = OLD.partition("/")
    values = {"image": {"registry": host, "repository": path, "x": 1}, "other": {"registry": host, "repository": "y"}}
    relocation = Relocation({"app": IMAGE}, NEW)
    moved = relocation.bundle(bundle(values))
    assert moved.values["image"] == {"registry": "new.example.org", "repository": "shop", "x": 1}
    assert moved.values["other"] == values["other"] and relocation.left(moved) == ["other.registry"]


def test_bundles_that_a_bundle_depends_on_move_too() -> None:
    inner = bundle({"image": IMAGE.ref}).files["values.yaml"]
    outer = Bundle("all", {**bundle().files, "charts/api/values.yaml": inner,
                           "charts/api/charts/db/values.yaml": inner,
                           "charts/plain/values.yaml": f"image: {IMAGE.ref}\n".encode()})  # fmt: skip
    assert list(outer.all_images) == ["app", "api/app", "api/db/app"]
    relocation = Relocation(outer.all_images, NEW)
    moved = relocation.bundle(outer)
    assert json.loads(moved.files["charts/api/charts/db/values.yaml"])["image"] == f"{NEW}:tag-1@{DIGEST}"
    assert moved.files["charts/plain/values.yaml"] == outer.files["charts/plain/values.yaml"]
    assert relocation.left(moved) == ["charts/plain/values.yaml"], "what cannot be changed is told"


@pytest.mark.parametrize("part", ["", "api"])
def test_values_that_nobody_can_follow_are_refused(part: str) -> None:
    deep = written({"x": 0, **global_values("shop", None, COMMIT, None, {"app": IMAGE})}).replace(
        b'"x": 0', b'"x": ' + b"[" * 800 + b"]" * 800
    )
    path = f"charts/{part}/values.yaml" if part else "values.yaml"
    relocation = Relocation({"app": IMAGE}, NEW)
    with pytest.raises(DeployFailed, match=f"The bundle's {path} has values more than 100 levels deep") as raised:
        relocation.bundle(Bundle("shop", {**bundle().files, path: deep}))
    assert raised.value.exit_code == 1
