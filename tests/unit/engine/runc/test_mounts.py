"""Mounts of a `RUN`: what Docker's engine passes, and what differs as nothing is put into an image's own files."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import BinaryIO

import pytest

from lineal.engine import BindMount, CacheMount, CommandFailed, KeptCache, SecretMount, TmpfsMount
from lineal.errors import BadConfiguration, BuildFailed, Unreachable
from lineal.tar import raw
from lineal.tar.header import END, FILE
from tests.unit.engine.docker.conftest import Bench, contents_of, entries_of, regular, symlink, tar_of
from tests.unit.engine.docker.test_mounts import (
    VALUE,
    context,
    seeded,
    single,
    test_a_bind_mount_shows_its_files_read_only_and_vanishes,
    test_a_bound_directory_has_its_own_mode_and_owner,
    test_a_cache_and_a_tmpfs_can_be_read_only,
    test_a_cache_may_begin_with_contents_and_keeps_what_becomes_of_them,
    test_a_locked_cache_is_used_by_one_command_at_a_time,
    test_a_mount_inside_a_read_only_bind_mount_works,
    test_a_private_cache_begins_with_its_contents_every_time,
    test_a_tmpfs_is_writable_executable_and_not_kept,
    test_a_work_directory_that_is_a_mount_point_stays,
    test_commands_at_once_fill_a_cache_once,
    test_directories_made_for_a_file_go_unless_the_command_used_them,
    test_removing_a_mounted_file_does_not_remove_the_image_s,
    test_what_is_written_beside_a_secret_is_kept,
    test_what_is_written_into_a_writable_bind_mount_is_dropped,
)

__all__ = [name for name in dir() if name.startswith("test_")]


def test_a_cache_is_kept_between_commands_and_not_in_the_layer(bench: Bench, cache_id: str) -> None:
    mounts = [CacheMount("/root/.cache/x", cache_id), CacheMount("/var/run/c", f"{cache_id}-2")]
    assert bench.names("echo kept >/root/.cache/x/f; mkdir /run/c/d", mounts=mounts) == []
    bench.run("cat /root/.cache/x/f; ls /var/run/c", mounts=mounts)
    assert bench.said == ["kept", "d"]


def test_a_kept_cache_has_its_times_to_the_nanosecond(bench: Bench, cache_id: str) -> None:
    """cargo and make compare them."""
    given = raw.Entry(b"file", FILE, b"", 0, 0o644, raw.header(b"file"), {b"mtime": b"1700000000.123456789"})
    kept: list[bytes] = []
    mount = CacheMount(
        "/c", cache_id, tar=lambda: iter((given.encode(), END)),
        kept=KeptCache(lambda tar: kept.extend(one.records[b"mtime"] for one, _ in raw.read(tar) if one.name)),
    )  # fmt: skip
    bench.run("true", mounts=[mount])
    assert kept == [b"1700000000.123456789"]


def test_a_store_that_takes_no_cache_is_told_at_once(bench: Bench, cache_id: str) -> None:
    """Nobody reads the rest of a cache that is larger than a pipe."""

    def keep(tar: BinaryIO) -> None:
        tar.read(1000)
        raise Unreachable("The store does not answer.", id="LN-4001")

    mount = CacheMount("/c", cache_id, kept=KeptCache(keep))
    with pytest.raises(Unreachable, match=r"The store does not answer\."):
        bench.run("head -c 10000000 /dev/zero >/c/file", mounts=[mount])


def test_a_cache_that_a_killed_run_left_half_full_is_filled(bench: Bench, cache_id: str, root: Path) -> None:
    before = set((root / "caches").glob("*"))
    bench.run("true", mounts=[seeded(cache_id)])
    (place,) = set((root / "caches").iterdir()) - before
    (place / "data").rename(place / "half")
    (place / "half/sub/file").write_bytes(b"half")
    bench.run("cat /c/sub/file", mounts=[seeded(cache_id)])
    assert bench.said == ["seed"]


@pytest.mark.parametrize("target", ["/run/secrets/token", "/root/.npmrc", "/new/deep/token", "/ctx/.env"])
def test_a_secret_is_in_no_file_at_any_time(bench: Bench, root: Path, target: str) -> None:
    said: list[bytes] = []

    class Looking(list[str]):
        """Looks at the disk while the command runs."""

        def append(self, line: str) -> None:
            super().append(line)
            said.append(subprocess.run(["grep", "-rlF", VALUE.decode(), str(root)], capture_output=True).stdout)

    bench.said = Looking()
    script = f"cat {target}; echo; stat -c '%a %u %g' {target}; touch /data/x"
    mounts = [SecretMount(target, VALUE, 0o440, 1000, 1000), context()]
    layer = bench.run(script, mounts=mounts, env={"PATH": "/bin", "TOKEN": VALUE.decode()})
    assert bench.said == [VALUE.decode(), "440 1000 1000"] and said == [b"", b""]
    assert sorted(entries_of(layer)) == ["data", "data/x"]


@pytest.mark.parametrize("script", ["cp {} /data/x", "echo key=$(cat {}) >/data/x", "ln -s $(cat {}) /data/x"])
def test_a_command_that_leaves_a_secret_in_the_image_is_refused(bench: Bench, script: str) -> None:
    with pytest.raises(BuildFailed) as refused:
        bench.run(script.format("/root/.npmrc"), mounts=[SecretMount("/root/.npmrc", VALUE)])
    assert refused.value.id == "LN-5009" and VALUE.decode() not in str(refused.value)
    assert list(bench.workspace.iterdir()) == []


@pytest.mark.parametrize("script", ["mv {} /data/x", "ln {} /data/x", "rm {}"])
def test_a_mounted_secret_stays_where_it_is(bench: Bench, script: str) -> None:
    with pytest.raises(CommandFailed):
        bench.run(script.format("/root/.npmrc"), mounts=[SecretMount("/root/.npmrc", VALUE)])


def test_a_file_inside_a_tmpfs_is_mounted_and_inside_a_cache_refused(bench: Bench, cache_id: str) -> None:
    bench.run("cat /t/token", mounts=[TmpfsMount("/t"), SecretMount("/t/token", VALUE)])
    assert bench.said == [VALUE.decode()]
    with pytest.raises(BadConfiguration, match="inside a cache mount"):
        bench.run("true", mounts=[CacheMount("/c", cache_id), SecretMount("/c/token", VALUE)])


def test_a_bound_tar_leads_nowhere_out_of_its_mount(bench: Bench, tmp_path: Path) -> None:
    """Names and links of hostile tars are those of the directory that they are unpacked into."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tar_of(symlink("out", str(outside)), regular("out/written", b"bad"), regular("../../up", b"bad"))
    layer = bench.run(
        "cat /b/up; cp /b/up /data/y", mounts=[BindMount("/b", lambda: iter([link])), single("/data/z")]
    )
    assert bench.said == ["bad"] and list(outside.iterdir()) == [] and contents_of(layer) == {"data/y": b"bad"}
