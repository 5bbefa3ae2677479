"""The same `RUN` by BuildKit: the files that both leave are equal."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.engine import CacheMount, Directory

from .conftest import Bench, base_tar

pytestmark = pytest.mark.engine
Entry = tuple[Any, ...]
DOCKER = "/usr/bin/docker"

CASES = {
    "files": "echo a >/data/new; chmod 4755 /data/new; ln /data/new /data/hard; ln -s new /data/soft",
    "deletions": "rm /data/a; rm -r /data/gone /data/deep",
    "directory made anew": "rm -r /data/deep; mkdir /data/deep; echo 1 >/data/deep/d",
    "renamed directory": "mv /data/deep /data/moved; mkdir -m 1777 /shared",
    "owners": "chown -R 1000:1000 /data; chmod 700 /root",
    "engine's files": "echo x >>/etc/hosts; touch /dev/x; echo y >/tmp/y; cat /proc/version >/data/v",
}


@pytest.fixture(scope="module")
def base_tag() -> Iterator[str]:
    if not Path(DOCKER).exists():
        pytest.skip("needs the docker command")
    tag = f"lineal-test-{uuid.uuid4().hex}:base"
    subprocess.run([DOCKER, "import", "-", tag], input=base_tar(), check=True, capture_output=True)
    yield tag
    subprocess.run([DOCKER, "image", "rm", "-f", tag], check=True, capture_output=True)


def by_buildkit(base: str, lines: list[str], tmp_path: Path) -> dict[str, Entry]:
    """The last layer of a build, as described entries."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("\n".join([f"FROM {base}", 'ENV PATH="/bin"', *lines]))
    tag = f"{base.partition(':')[0]}:{uuid.uuid4().hex}"
    command = [DOCKER, "build", "--network=none", "-q", "-t", tag, str(context)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    saved = subprocess.run([DOCKER, "save", tag], check=True, capture_output=True).stdout
    subprocess.run([DOCKER, "image", "rm", "-f", tag], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        name = json.loads(_read(archive, "manifest.json"))[0]["Layers"][-1]
        return described(_read(archive, name))


def described(data: bytes) -> dict[str, Entry]:
    """Path -> what it is; a directory's whole removal counts like the removal of each file of the base in it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {
            x.name: (x.type, x.mode & 0o7777, x.uid, x.gid, x.linkname, _read(tar, x) if x.isreg() else b"")
            for x in tar
            if ".wh." not in x.name
        }
        gone = {x.name for x in tar if ".wh." in x.name}
    opaque = {name.rpartition("/")[0] for name in gone if name.endswith("/.wh..wh..opq")}
    with tarfile.open(fileobj=io.BytesIO(base_tar())) as base:
        hidden = [x.name for x in base if x.name.rpartition("/")[0] in opaque and x.name not in found]
    parted = [name.rpartition("/") for name in hidden]
    gone = {name for name in gone if not name.endswith(".wh..wh..opq")} | {f"{p[0]}/.wh.{p[2]}" for p in parted}
    return {**found, **dict.fromkeys(gone, ("gone",))}


def _read(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member)
    assert stream is not None
    return stream.read()


def by_us(bench: Bench, script: str, **options: Any) -> dict[str, Entry]:
    return described(gzip.decompress(bench.run(script, **options).path.read_bytes()))


@pytest.mark.parametrize("case", CASES)
def test_a_run_leaves_what_buildkit_leaves(bench: Bench, base_tag: str, tmp_path: Path, case: str) -> None:
    assert by_us(bench, CASES[case]) == by_buildkit(base_tag, [f"RUN {CASES[case]}"], tmp_path)


def test_a_work_directory_and_a_user_give_what_buildkit_gives(bench: Bench, base_tag: str, tmp_path: Path) -> None:
    theirs = by_buildkit(
        base_tag, ["USER user", "RUN id -u >/tmp/id; env | grep -v HOME >/tmp/env || true"], tmp_path
    )
    ours = by_us(bench, "id -u >/tmp/id; env | grep -v HOME >/tmp/env || true", user="user")
    assert ours["tmp/id"] == theirs["tmp/id"]


def test_a_mount_point_leaves_no_more_than_buildkit_s(bench: Bench, base_tag: str, tmp_path: Path) -> None:
    theirs = by_buildkit(base_tag, ["RUN --mount=type=cache,target=/root/c touch /root/c/x /root/y"], tmp_path)
    ours = by_us(bench, "touch /root/c/x /root/y", mounts=[CacheMount("/root/c", "x", "private")])
    # This old BuildKit keeps the empty mount point; newer ones do not.
    theirs.pop("root/c", None)
    assert ours == theirs


def test_a_user_s_directories_are_made_like_buildkit_s(bench: Bench, base_tag: str, tmp_path: Path) -> None:
    theirs = by_buildkit(base_tag, ["USER user:root", "WORKDIR /made/by/user"], tmp_path)
    paths = ("/made", "/made/by", "/made/by/user")
    ours = by_us(
        bench, "true", user="user:root", workdir=paths[-1], directories=[Directory(x, 0o755, 1000, 0) for x in paths]
    )
    assert ours == theirs


def test_directories_are_made_like_buildkit_s_workdir(bench: Bench, base_tag: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    theirs = by_buildkit(base_tag, ["WORKDIR /srv/app"], tmp_path / "one")
    ours = by_us(bench, "true", workdir="/srv/app", directories=[Directory("/srv/app")])
    assert ours == theirs
