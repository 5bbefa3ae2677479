"""Mounts of a `RUN`: seen by the command, not in the layer, nothing left behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader

import pytest

from lineal.engine import BindMount, CacheMount, CommandFailed, Directory, SecretMount, TmpfsMount
from lineal.engine.docker.client import Client
from lineal.engine.docker.engine import DockerEngine
from lineal.errors import BadConfiguration, BuildFailed

from .conftest import Bench, Contents, Members, directory, regular, tar_of

pytestmark = pytest.mark.engine

VALUE = b"s3cr3t-" + uuid.uuid4().hex.encode()


@pytest.fixture
def cache_id(bench: Bench) -> Iterator[str]:
    id = uuid.uuid4().hex
    yield id
    bench.engine.close()
    name = f"lineal-cache-{hashlib.sha256(id.encode()).hexdigest()[:32]}"
    for volume in (name, f"{name}-filled"):
        bench.client.call("DELETE", f"/volumes/{volume}", "remove", params={"force": "1"})


def context(writable: bool = False) -> BindMount:
    tar = tar_of(directory("sub", 0o700), regular("sub/file", b"from the context"), regular("top", b"top"))
    return BindMount("/ctx", lambda: iter([tar[:700], tar[700:]]), writable=writable)


def single(target: str) -> BindMount:
    tar = tar_of(regular("whatever", b"one file", 0o600))
    return BindMount(target, lambda: iter([tar]), single=True)


def test_a_cache_is_kept_between_runs_and_not_in_the_layer(bench: Bench, cache_id: str) -> None:
    mount = CacheMount("/root/.cache/x", cache_id)
    assert bench.names("echo kept >/root/.cache/x/f", mounts=[mount]) == ["root"]
    assert bench.names("cat /root/.cache/x/f", mounts=[mount]) == ["root"]
    assert bench.said == ["kept"]


def test_a_cache_over_a_directory_of_the_image_starts_empty(bench: Bench, cache_id: str) -> None:
    assert bench.names("ls /data", mounts=[CacheMount("/data", cache_id)]) == []
    assert bench.said == []


def test_a_new_cache_has_the_owner_and_mode_asked_for(bench: Bench, cache_id: str) -> None:
    bench.run("stat -c '%a %u %g' /c", mounts=[CacheMount("/c", cache_id, "shared", 0o770, 1000, 1001)])
    assert bench.said == ["770 1000 1001"]


def seeded(id: str, writable: bool = True, sharing: str = "shared") -> CacheMount:
    tar = tar_of(directory("sub", 0o700), regular("sub/file", b"seed"))
    return CacheMount("/c", id, sharing, 0o2750, 5, 6, writable, lambda: iter([tar]))


def test_a_cache_may_begin_with_contents_and_keeps_what_becomes_of_them(bench: Bench, cache_id: str) -> None:
    bench.run("stat -c '%a %u %g' /c /c/sub; cat /c/sub/file; echo mine >/c/sub/file", mounts=[seeded(cache_id)])
    assert bench.said == ["2750 5 6", "700 0 0", "seed"]
    bench.run("cat /c/sub/file", mounts=[seeded(cache_id)])
    assert bench.said == ["mine"]


def test_a_private_cache_begins_with_its_contents_every_time(bench: Bench) -> None:
    for _ in range(2):
        bench.run("cat /c/sub/file; rm -r /c/sub", mounts=[seeded("any", sharing="private")])
        assert bench.said == ["seed"]


def test_a_cache_that_a_killed_run_left_half_full_is_filled(bench: Bench, cache_id: str) -> None:
    name = f"lineal-cache-{hashlib.sha256(cache_id.encode()).hexdigest()[:32]}"
    bench.client.call("POST", "/volumes/create", "make", body={"Name": name})
    bench.run("cat /c/sub/file", mounts=[seeded(cache_id)])
    assert bench.said == ["seed"]


def test_commands_at_once_fill_a_cache_once(bench: Bench, cache_id: str) -> None:
    script = "cat /c/sub/file /c/log 2>/dev/null; echo one >>/c/log"
    threads = [
        threading.Thread(target=bench.run, args=[script], kwargs={"mounts": [seeded(cache_id)]}) for _ in "1234"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.run("cat /c/log", mounts=[seeded(cache_id)])
    assert bench.said == ["one"] * 4


def test_a_cache_and_a_tmpfs_can_be_read_only(bench: Bench, cache_id: str) -> None:
    mounts = [seeded(cache_id, writable=False), TmpfsMount("/t", writable=False)]
    bench.run(
        "cat /c/sub/file; echo; touch /c/x 2>/dev/null || echo no; touch /t/x 2>/dev/null || echo no", mounts=mounts
    )
    assert bench.said == ["seed", "no", "no"]


def test_a_bound_directory_has_its_own_mode_and_owner(bench: Bench) -> None:
    mount = BindMount("/b", lambda: iter([tar_of()]), root=(0o2751, 5, 6))
    bench.run("stat -c '%a %u %g' /b", mounts=[mount])
    assert bench.said == ["2751 5 6"]


def test_a_private_cache_is_empty_every_time_and_removed(bench: Bench) -> None:
    mount = CacheMount("/c", "any", "private")
    for _ in range(2):
        bench.run("ls /c; touch /c/x", mounts=[mount])
        assert bench.said == []


def test_a_locked_cache_is_used_by_one_command_at_a_time(bench: Bench, cache_id: str) -> None:
    mount = CacheMount("/c", cache_id, "locked")
    script = "[ ! -e /c/busy ] || exit 9; touch /c/busy; sleep 1; rm /c/busy"
    failures: list[Exception] = []

    def run() -> None:
        try:
            command = bench.command(script, mounts=[mount])
            bench.engine.run(bench.base, bench.store, command, lambda line: None, bench.workspace)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_bind_mount_shows_its_files_read_only_and_vanishes(bench: Bench) -> None:
    assert (
        bench.names(
            "exec 2>&1; cat /ctx/sub/file; echo; stat -c %a /ctx/sub; (echo >/ctx/top) || true", mounts=[context()]
        )
        == []
    )
    assert bench.said[:2] == ["from the context", "700"]
    assert "Read-only file system" in bench.said[2]


def test_what_is_written_into_a_writable_bind_mount_is_dropped(bench: Bench) -> None:
    assert bench.names("echo changed >/ctx/top; cat /ctx/top", mounts=[context(writable=True)]) == []
    assert bench.said == ["changed"]


def test_a_mount_inside_a_read_only_bind_mount_works(bench: Bench, cache_id: str) -> None:
    assert bench.names("touch /ctx/in/f", mounts=[context(), CacheMount("/ctx/in", cache_id)]) == []


def test_a_single_file_is_seen_and_the_image_s_own_stays(bench: Bench) -> None:
    assert bench.names("cat /root/.npmrc", mounts=[single("/root/.npmrc")]) == ["root"]
    assert bench.said == ["one file"]


def test_removing_a_mounted_file_does_not_remove_the_image_s(bench: Bench) -> None:
    assert bench.names("rm /root/.npmrc; touch /root/x", mounts=[single("/root/.npmrc")]) == ["root", "root/x"]


def test_directories_made_for_a_file_go_unless_the_command_used_them(bench: Bench) -> None:
    assert bench.names("true", mounts=[single("/new/dir/file")]) == []
    assert bench.names("touch /new/x", mounts=[single("/new/dir/file")]) == ["new", "new/x"]


def test_a_work_directory_that_is_a_mount_point_stays(bench: Bench, cache_id: str) -> None:
    options = {"directories": [Directory("/app")], "workdir": "/app", "mounts": [CacheMount("/app", cache_id)]}
    assert bench.names("touch x", **options) == ["app"]


def test_a_mount_point_behind_a_link_does_not_stay(bench: Bench, cache_id: str) -> None:
    assert bench.names("true", mounts=[CacheMount("/var/run/c", cache_id)]) == ["run"]


def test_a_tmpfs_is_writable_executable_and_not_kept(bench: Bench) -> None:
    script = (
        "cp /bin/busybox /t/cat; /t/cat /bin/sh >/dev/null; stat -c %a /t; dd if=/dev/zero of=/t/x bs=1M count=9 2>&-"
    )
    with pytest.raises(CommandFailed):
        bench.run(script, mounts=[TmpfsMount("/t", 8 << 20)])
    assert bench.said[0] == "1777"
    assert bench.names("touch /t/x", mounts=[TmpfsMount("/t")]) == []


def test_a_secret_is_seen_with_its_owner_and_mode(bench: Bench) -> None:
    secret = SecretMount("/run/secrets/token", VALUE, 0o440, 1000, 1000)
    assert bench.names("cat /run/secrets/token; stat -c '%a %u %g' /run/secrets/token", mounts=[secret]) == ["run"]
    assert bench.said == [VALUE.decode() + "440 1000 1000"]


def test_a_secret_never_touches_the_container_s_own_files(bench: Bench) -> None:
    put: list[str] = []

    class Noting(Client):
        def put(self, container: str, path: str, tar: Iterable[bytes], what: str) -> None:
            put.append(path)
            super().put(container, path, tar, what)

    bench.engine = DockerEngine(connect=Noting)
    bench.run("true", mounts=[SecretMount("/run/secrets/a", VALUE), SecretMount("/run/secrets/b", VALUE)])
    # Both put there, and emptied after the command.
    assert put == ["/lineal-0"] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the engine's folders")
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("target", ["/run/secrets/token", "/root/.npmrc", "/new/deep/token", "/ctx/.env"])
def test_a_secret_is_nowhere_afterwards(bench: Bench, contents: Contents, target: str, fast: bool) -> None:
    bench.engine = DockerEngine(upper=None if fast else False)
    mounts = [SecretMount(target, VALUE), context()]
    layer = bench.run(f"cat {target} >/dev/null; touch /data/x", mounts=mounts)
    found = contents(layer)
    assert "data/x" in found
    assert not [name for name in found if name.endswith(target.rpartition("/")[2])]
    assert VALUE not in gzip.decompress(layer.path.read_bytes())
    assert bench.on_disk(VALUE.decode(), "volumes", "containers") == b""
    images = subprocess.run(
        "docker image ls -aq | sort -u | xargs docker image inspect", shell=True, capture_output=True
    )
    assert VALUE not in images.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into the engine's folders")
@pytest.mark.parametrize("target", ["/run/secrets/token", "/ctx/.env"])
def test_a_secret_in_a_volume_is_gone_before_the_layer_is_read(bench: Bench, target: str) -> None:
    found: list[bytes] = []

    class Looking(Client):
        @contextmanager
        def reader(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Iterator[BufferedReader]:
            if what == "read a layer":
                found.append(bench.on_disk(VALUE.decode(), "volumes"))
            with super().reader(path, what, params) as stream:
                yield stream

    bench.engine = DockerEngine(connect=Looking)
    bench.run(
        f"cat {target}; exec >/dev/null; mv /ctx/sub /ctx/s", mounts=[SecretMount(target, VALUE), context(True)]
    )
    assert bench.said == [VALUE.decode()]
    assert found == [b""]


def test_what_is_written_beside_a_secret_is_kept(bench: Bench, members: Members, contents: Contents) -> None:
    layer = bench.run("mkdir /new/dir; echo x >/new/dir/f; chmod 700 /new", mounts=[SecretMount("/new/token", VALUE)])
    assert sorted(members(layer)) == ["new", "new/dir", "new/dir/f"]
    assert members(layer)["new"].mode == 0o700
    assert contents(layer)["new/dir/f"] == b"x\n"


@pytest.mark.parametrize("script", ["cp {} /data/x", "mv {} /data/x", "echo key=$(cat {}) >/data/x", "ln {} /data/x"])
def test_a_command_that_leaves_a_secret_in_the_image_is_refused(bench: Bench, script: str) -> None:
    with pytest.raises(BuildFailed) as refused:
        bench.run(script.format("/root/.npmrc"), mounts=[SecretMount("/root/.npmrc", VALUE)])
    assert "data/x" in str(refused.value)
    assert VALUE.decode() not in str(refused.value)
    assert list(bench.workspace.iterdir()) == []


def test_a_secret_inside_a_cache_is_refused(bench: Bench, cache_id: str) -> None:
    bench.run("true", mounts=[CacheMount("/c", cache_id)])
    with pytest.raises(BadConfiguration, match="inside a cache mount"):
        bench.run("true", mounts=[CacheMount("/c", cache_id), SecretMount("/c/token", VALUE)])
    with pytest.raises(BadConfiguration, match="inside a tmpfs mount"):
        bench.run("true", mounts=[TmpfsMount("/t"), SecretMount("/t/token", VALUE)])


def test_a_failing_command_leaves_no_volume(bench: Bench) -> None:
    with pytest.raises(CommandFailed):
        bench.run("false || exit 3", mounts=[context(), SecretMount("/run/secrets/a", VALUE)])
