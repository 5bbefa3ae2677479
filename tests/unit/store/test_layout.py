"""The layout directory: what other tools see in it, and what happens when the disk does not play along."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration, Unreachable
from lineal.oci import Conflict
from lineal.oci.types import OCI_INDEX, OCI_LAYER_GZIP, Blob, Descriptor, Manifest
from lineal.store.layout import Layout
from tests.unit.store.conftest import manifest_of

CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}})


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_opening_and_reading_makes_nothing(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    assert store.tags() == []
    assert store.manifest("one") is None
    assert not (tmp_path / "store").exists()


def test_skopeo_reads_a_tag(tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo")
    store = Layout(tmp_path / "store")
    child = manifest_of(store, CONFIG)
    store.put_manifest(child)
    entry = {**child.descriptor().to_json(), "platform": {"architecture": "amd64", "os": "linux"}}
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    store.put_manifest(child, "image")
    store.put_manifest(Manifest(data, OCI_INDEX), "stage")
    for tag in ("image", "stage"):
        command = ["skopeo", "inspect", "--override-arch=amd64", f"oci:{tmp_path}/store:{tag}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["Architecture"] == "amd64"


def test_a_tag_is_never_moved(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    first, second = manifest_of(store, "1"), manifest_of(store, "2")
    store.put_manifest(first, "one")
    with pytest.raises(Conflict):
        store.put_manifest(second, "one")
    assert store.digest("one") == first.digest


def test_a_tag_that_is_to_move_moves(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    first, second = manifest_of(store, "1"), manifest_of(store, "2")
    for manifest in (first, second, first):
        assert store.move_tag(manifest, "latest")
        assert store.digest("latest") == manifest.digest
    assert store.tags() == ["latest"]


def test_what_another_process_writes_is_seen_at_once(tmp_path: Path) -> None:
    reader, writer = Layout(tmp_path / "store"), Layout(tmp_path / "store")
    for number in range(20):
        writer.put_manifest(manifest_of(writer, str(number)), f"tag-{number}")
        assert len(reader.tags()) == number + 1


@pytest.mark.slow
def test_several_processes_lose_no_tag(tmp_path: Path) -> None:
    code = """
import sys, pathlib, json
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.store.layout import Layout
store = Layout(pathlib.Path(sys.argv[1]))
for n in range(25):
    data = json.dumps({"mediaType": OCI_MANIFEST, "layers": [], "annotations": {"n": sys.argv[2] + str(n)}}).encode()
    store.put_manifest(Manifest(data, OCI_MANIFEST), f"{sys.argv[2]}-{n}")
"""
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store"), name]) for name in "abc"]
    assert [run.wait(timeout=300) for run in runs] == [0, 0, 0]
    assert sorted(Layout(tmp_path / "store").tags()) == sorted(f"{name}-{n}" for name in "abc" for n in range(25))


def test_readers_never_see_half_an_index(tmp_path: Path) -> None:
    writer = Layout(tmp_path / "store")
    manifest = manifest_of(writer)
    writer.put_manifest(manifest, "first")

    def read(_: int) -> int:
        return min(len(Layout(tmp_path / "store").tags()) for _ in range(100))

    with ThreadPoolExecutor(4) as pool:
        reading = [pool.submit(read, number) for number in range(3)]
        for number in range(60):
            writer.put_manifest(manifest, f"tag-{number}")
        assert all(future.result() >= 1 for future in reading)


def test_a_mount_is_a_hard_link(tmp_path: Path) -> None:
    source, target = Layout(tmp_path / "base"), Layout(tmp_path / "app")
    blob = Blob.of(b"layer")
    source.put_blob(blob)
    assert target.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), source)
    assert target._file(blob.digest).samefile(source._file(blob.digest))


def test_a_mount_from_another_file_system_is_a_copy(tmp_path: Path, small_disk: Path) -> None:
    source, target = Layout(small_disk / "base"), Layout(tmp_path / "app")
    blob = Blob.of(b"layer")
    source.put_blob(blob)
    assert target.mount_blob(Descriptor(OCI_LAYER_GZIP, blob.digest, blob.size), source)
    assert b"".join(target.blob(blob.digest)) == b"layer"


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(small_disk: Path) -> None:
    store = Layout(small_disk / "store")
    store.put_blob(Blob.of(b"small"))
    before = files(small_disk)
    large = Blob.of(b"x" * 3_000_000)
    with pytest.raises(Unreachable, match=r"cannot be written: no space left on device\. Free some space"):
        store.put_blob(large)
    assert files(small_disk) == before
    assert not store.has_blob(large.digest)


def test_a_read_only_disk_can_be_read_and_refuses_to_be_written(small_disk: Path) -> None:
    store = Layout(small_disk / "store")
    manifest = manifest_of(store)
    store.put_manifest(manifest, "one")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.manifest("one") == manifest
    with pytest.raises(Unreachable, match="cannot be written: read-only file system"):
        store.put_blob(Blob.of(b"new"))
    with pytest.raises(Unreachable, match="cannot be written: read-only file system"):
        store.put_manifest(manifest, "two")


def test_content_that_is_not_what_it_says_is_not_stored(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    wrong = Blob("sha256:" + "0" * 64, 3, b"abc")
    with pytest.raises(Unreachable, match="changed before it was stored"):
        store.put_blob(wrong)
    assert not store.has_blob(wrong.digest)
    assert not [name for name in files(tmp_path / "store") if ".lineal-" in name]


def test_damage_is_found_when_read(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    manifest, blob = manifest_of(store), Blob.of(b"layer")
    store.put_manifest(manifest, "one")
    store.put_blob(blob)
    for digest in (manifest.digest, blob.digest):
        file = store._file(digest)
        file.write_bytes(b"damage")
        with pytest.raises(Unreachable, match=r"is damaged\. Delete that file"):
            list(store.blob(digest))
    with pytest.raises(Unreachable, match="is damaged"):
        store.manifest("one")


def test_a_tag_whose_manifest_is_gone_may_be_published_again(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    first, second = manifest_of(store, "1"), manifest_of(store, "2")
    store.put_manifest(first, "one")
    store._file(first.digest).unlink()
    assert store.manifest("one") is None
    assert store.digest("one") is None
    store.put_manifest(second, "one")
    assert store.digest("one") == second.digest
    assert store.tags() == ["one"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"manifests": 3}', '{"manifests": [{"digest": "../../etc/passwd"}]}']
)
def test_an_index_that_makes_no_sense_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(Unreachable, match=r"index.json is not the index of an OCI Image Layout"):
        Layout(tmp_path).tags()


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BadConfiguration, match=r"holds other things, such as 'thesis.txt'"):
        Layout(tmp_path).put_blob(Blob.of(b"x"))
    assert files(tmp_path) == ["thesis.txt"]


def test_a_file_in_place_of_the_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(Unreachable, match="cannot be written: not a directory"):
        Layout(tmp_path / "store").put_blob(Blob.of(b"x"))
    with pytest.raises(Unreachable, match="cannot be read: not a directory"):
        Layout(tmp_path / "store").tags()


def test_files_have_the_rights_that_the_user_gives(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        store = Layout(tmp_path / "store")
        store.put_manifest(manifest_of(store), "one")
    finally:
        os.umask(old)
    for name in files(tmp_path / "store"):
        if not name.endswith(".lock"):
            assert (tmp_path / "store" / name).stat().st_mode & 0o777 == 0o644, name


def test_a_digest_is_never_a_path(tmp_path: Path) -> None:
    store = Layout(tmp_path / "store")
    with pytest.raises(ValueError, match="is not a sha256 digest"):
        store.has_blob("sha256:../../../etc/passwd")
