"""Running commands: what a user sees of a `RUN`."""

from __future__ import annotations

import stat
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import Any

import pytest

from lineal.engine import (
    BindMount,
    CacheMount,
    CommandFailed,
    Device,
    Directory,
    Engine,
    NoWorkingDirectory,
    RunOptions,
)
from lineal.engine.docker.client import Client, Refused
from lineal.engine.docker.engine import DockerEngine
from lineal.errors import BuildFailed, Interrupted, MissingContent
from lineal.oci.types import Layer

from .conftest import (
    Bench,
    Contents,
    Members,
    MemoryStore,
    base_tar,
    directory,
    entries_of,
    parent_id,
    regular,
    tar_of,
)

pytestmark = pytest.mark.engine

NASTY = r"""
echo new >/data/b; rm /data/a
rm -r /data/deep; mkdir /data/deep; echo x >/data/deep/d
rm -r /data/gone; chmod 4755 /data/b; chmod 711 /root
mkdir -p /n/$(printf %0200d 1)/$(printf %0120d 2); echo z >/n/$(printf %0200d 1)/$(printf %0120d 2)/z
ln /n/$(printf %0200d 1)/$(printf %0120d 2)/z /n/zlink
mkdir /n/$(printf %090d 1); echo k >/n/$(printf %090d 1)/kkkkkkkkkkkkkkkkkkkkkk
echo bad >"/n/$(printf 'bad\377name')"; echo e >/n/é; mkdir -m 1777 /n/sticky
mkfifo /n/fifo; ln -s ../data/b /n/link; ln /etc/passwd /n/passwd; chown -h 1000:70000 /n/link /n/é
mv /tmp /moved; : >/n/empty; head -c 3000000 /bin/busybox >/n/large
"""


def effective(found: dict[str, tarfile.TarInfo], base: dict[str, set[str]]) -> dict[str, tuple[Any, ...]]:
    """Entries, an opaque directory said as the deletions that it stands for; of hard links the first name is the file
    in whatever order they come."""
    result: dict[str, tuple[Any, ...]] = {}
    found = {name: found[member.linkname] if member.islnk() else member for name, member in found.items()}
    first: dict[str, str] = {}
    for name, member in sorted(found.items()):
        first.setdefault(member.name, name)
    for name, member in found.items():
        parent, _, last = name.rpartition("/")
        if last == ".wh..wh..opq":
            for child in base.get(parent, set()):
                if f"{parent}/{child}" not in found:
                    result[f"{parent}/.wh.{child}"] = ("gone",)
        elif last.startswith(".wh."):
            result[name] = ("gone",)
        else:
            link = first[member.name] if first[member.name] != name else member.linkname
            result[name] = (*described(member)[:5], link, member.mtime)
    return result


def files(layer: Layer) -> dict[str, bytes]:
    """Contents, under each of their names."""
    with tarfile.open(layer.path, errors="surrogateescape") as tar:
        found = {one.name: tar.extractfile(one) for one in tar if one.isreg() or one.islnk()}
        return {name: file.read() for name, file in found.items() if file and "/.wh." not in f"/{name}"}


def described(member: tarfile.TarInfo) -> tuple[Any, ...]:
    return (member.type, member.mode, member.uid, member.gid, member.size, member.linkname, member.mtime)


def test_a_command_s_files_are_the_layer(bench: Bench) -> None:
    assert bench.names("echo hi >/data/new; rm /data/a") == ["data", "data/.wh.a", "data/new"]


def test_a_command_without_effect_gives_an_empty_layer(bench: Bench) -> None:
    assert bench.names("true; echo x >/dev/null; ls /proc >/dev/null") == []


def test_the_engine_s_own_files_are_not_in_the_layer(bench: Bench) -> None:
    script = "echo 127.0.0.1 x >>/etc/hosts; rm -f /.dockerenv; touch /dev/shm/x; echo >>/etc/resolv.conf"
    assert bench.names(script) == []


@pytest.mark.parametrize("fast", [True, False])
def test_a_command_s_hostname_file_is_in_the_layer(bench: Bench, contents: Contents, *, fast: bool) -> None:
    bench.engine = DockerEngine(upper=None if fast else False)
    layer = bench.run(
        "echo a >/etc/hostname; sed -i s/a/b/ /etc/hostname; mv /etc/hostname /etc/h; cp /etc/h /etc/hostname"
    )
    assert contents(layer) == {"etc/h": b"b\n", "etc/hostname": b"b\n"}
    assert entries_of(bench.run("echo a >/etc/hostname"))["etc/hostname"].mode == 0o644


def test_the_image_s_own_hostname_file_is_seen_and_can_be_removed(bench: Bench) -> None:
    own = bench.store.image([base_tar(), tar_of(regular("etc/hostname", b"own\n"), regular(".dockerenv", b"mark"))])
    layer = bench.run("cat /etc/hostname /.dockerenv; ls /etc; rm /etc/hostname /.dockerenv", parent=own)
    assert bench.said[:2] == ["own", "markgroup"] and "mtab" not in bench.said
    assert sorted(entries_of(layer)) == [".wh..dockerenv", "etc", "etc/.wh.hostname"]


def test_a_file_can_be_mounted_in_the_hostname_file_s_place(bench: Bench) -> None:
    file = BindMount("/etc/hostname", lambda: iter([tar_of(regular("x", b"mounted\n"))]), single=True)
    assert bench.names("cat /etc/hostname", mounts=[file]) == ["etc"] and bench.said == ["mounted"]


def test_an_engine_that_looks_at_its_mounts_keeps_its_own_hostname_file(bench: Bench) -> None:
    class Strict(Client):
        """As Podman, which refuses a mount of what is not there."""

        def call(self, method: str, path: str, what: str, **options: Any) -> Any:
            if "/dev/null/" in str(options.get("body")):
                raise Refused(500, "statfs /dev/null/lineal: not a directory", what, self.host)
            return super().call(method, path, what, **options)

    bench.engine = DockerEngine(connect=Strict)
    assert bench.names("cat /etc/hostname; echo x >/data/x") == ["data", "data/x"]
    assert bench.said == ["buildkitsandbox"]


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/passwd/x"])
def test_a_working_directory_over_a_file_is_no_failure_of_the_engine(bench: Bench, path: str) -> None:
    with pytest.raises(NoWorkingDirectory):
        bench.run("true", workdir=path)


def test_both_ways_to_read_a_layer_agree_on_a_nasty_case(bench: Bench, members: Members) -> None:
    base = {"data/deep": {"c", "d"}, "data": {"a", "b", "deep", "gone"}}
    fast = bench.run(NASTY)
    bench.engine = DockerEngine(upper=False)
    slow = bench.run(NASTY)
    one, other = effective(members(fast), base), effective(members(slow), base)
    # The two runs were not at the same second.
    assert {name: what[:6] for name, what in one.items()} == {name: what[:6] for name, what in other.items()}
    assert files(fast) == files(slow)
    assert one["data/deep/.wh.c"] == one["data/.wh.gone"] == one[".wh.tmp"] == ("gone",)
    assert "data/deep/.wh.d" not in one
    assert one["data/b"][1] == 0o4755
    assert one["n/sticky"][1] == 0o1777
    assert one["n/\u00e9"][2:4] == (1000, 70000)
    assert "n/bad\udcffname" in one
    links = [one["n/zlink"][5], one["n/passwd"][5], one["etc/passwd"][5]]
    assert [bool(link) for link in links].count(True) == 2


@pytest.mark.parametrize("fast", [True, False])
def test_a_layer_can_be_run_on_and_shows_the_same_files(bench: Bench, fast: bool) -> None:
    bench.engine = DockerEngine(upper=None if fast else False)
    look = r"cd / && ls -laRn data n moved tmp bin/sh etc/passwd 2>/dev/null ; cat /n/link /n/zlink"
    bench.run(NASTY + look)
    before = [line for line in bench.said if not line.startswith("total")]
    child = bench.store.child(bench.base, bench.run(NASTY))
    bench.run(look, parent=child)
    after = [line for line in bench.said if not line.startswith("total")]
    assert [shape(line) for line in after] == [shape(line) for line in before]


def shape(line: str) -> list[str]:
    """A line of `ls -ln` without link count, size of directories and time."""
    words = line.split()
    if len(words) < 9 or line[0] not in "-dlpc":
        return words
    return [words[0], words[2], words[3], *words[8:]] + ([words[4]] if line[0] == "-" else [])


def test_file_capabilities_are_kept(bench: Bench) -> None:
    info, content = regular("data/program", b"x", 0o755)
    # cap_net_raw+ep, as `setcap` writes it: revision 2, effective; its bytes are below 0x80.
    info.pax_headers = {"SCHILY.xattr.security.capability": "\1\0\0\2\0\x20" + "\0" * 14}
    parent = bench.store.image([base_tar(), tar_of((info, content))])
    layer = bench.run("mv /data/program /data/moved", parent=parent)
    with tarfile.open(layer.path) as tar:
        assert "SCHILY.xattr.security.capability" in tar.getmember("data/moved").pax_headers


@pytest.mark.parametrize("fast", [True, False])
def test_no_file_is_younger_than_it_may_be(bench: Bench, fast: bool) -> None:
    bench.engine = DockerEngine(upper=None if fast else False)
    script = "mkdir -p n/new; echo x >n/new/a; touch -d '1970-01-01 00:16:41' n/old; rm /data/a; ln -s x n/link"
    options = RunOptions(epoch=1002)
    layers = [bench.run(script, workdir="/w", options=options, existing=lambda _: False) for _ in range(2)]
    assert layers[0].diff_id == layers[1].diff_id
    with tarfile.open(layers[0].path) as tar:
        times = {member.name: member.mtime for member in tar}
    assert times.pop("w/n/old") == 1001 and times.pop("data/.wh.a") <= 1002
    assert set(times.values()) == {1002} and {"w/n/link", "proc"} <= set(times)


def test_a_command_has_the_rights_that_it_is_given(bench: Bench) -> None:
    script = "mount -t tmpfs none /data 2>/dev/null && echo mounted; true"
    bench.run(script)
    assert bench.said == []
    said = ["The device example.com/class=a is left out: the engine docker gives none."]
    try:
        bench.run(script, insecure=True, devices=[Device("example.com/class=a")])
        said.append("mounted")
    except Refused as refused:
        # An engine that has not all rights itself, as in a container, cannot give them.
        assert "unable to apply caps" in refused.message
    assert bench.said == said
    with pytest.raises(BuildFailed, match=r"example\.com/class=a,required needs a buildkitd"):
        bench.run("true", devices=[Device("example.com/class=a", required=True)])


def test_output_comes_line_by_line(bench: Bench) -> None:
    bench.run("echo one; echo two >&2; printf 'three\\377'")
    assert sorted(bench.said) == ["one", "three\ufffd", "two"]


def test_output_comes_while_the_command_runs(bench: Bench) -> None:
    seen = threading.Event()
    bench.said = _Watched(seen)
    with pytest.raises(Interrupted):
        threading.Thread(target=_stop_after, args=(seen, bench.engine)).start()
        bench.run("echo now; sleep 600")
    assert seen.is_set()


def _stop_after(event: threading.Event, engine: DockerEngine) -> None:
    event.wait(300)
    engine.stop()


class _Watched(list[str]):
    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def append(self, line: str) -> None:
        super().append(line)
        self._event.set()


def test_a_long_line_and_many_lines_arrive_whole(bench: Bench) -> None:
    bench.run("seq 1 20000; printf '%030000d\\n' 7")
    assert bench.said[:20000] == [str(number) for number in range(1, 20001)]
    assert bench.said[20000] == "7".rjust(30000, "0")


def test_a_failing_command_tells_its_status(bench: Bench) -> None:
    with pytest.raises(CommandFailed) as failed:
        bench.run("echo before; exit 7")
    assert failed.value.status == 7
    assert bench.said == ["before"]


def test_a_missing_program_fails_like_in_a_shell(bench: Bench) -> None:
    command = replace(bench.command(""), argv=["/no/such"])
    with pytest.raises(CommandFailed) as failed:
        bench.engine.run(bench.base, bench.store, command, bench.said.append, bench.workspace)
    assert failed.value.status == 127
    assert "/no/such" in " ".join(bench.said)


def test_an_unknown_user_is_said(bench: Bench) -> None:
    with pytest.raises(BuildFailed, match="nobody-here"):
        bench.run("true", user="nobody-here")


def test_a_program_for_another_machine_is_said(bench: Bench) -> None:
    elf = bytearray(Path("/bin/busybox").read_bytes()[:4096])
    elf[18] = 0xB7  # aarch64
    parent = bench.store.image([base_tar(), tar_of(regular("bin/other", bytes(elf), 0o755))])
    command = replace(bench.command(""), argv=["/bin/other"])
    with pytest.raises(BuildFailed, match="another processor architecture"):
        bench.engine.run(parent, bench.store, command, bench.said.append, bench.workspace)


def test_user_directory_host_name_and_environment_are_the_command_s_alone(bench: Bench) -> None:
    config = {
        "Env": ["INHERITED=1", "A=image"],
        "User": "1000",
        "Volumes": {"/data": {}},
        "Healthcheck": {"Test": ["x"]},
    }
    parent = bench.store.image([base_tar()], config | {"Entrypoint": ["/bin/false"], "WorkingDir": "/etc"})
    layer = bench.run(
        "id -u; pwd; env; cat /proc/sys/kernel/hostname; touch /data/kept",
        parent=parent,
        env={"PATH": "/bin", "A": "b c"},
    )
    assert bench.said[:2] == ["0", "/"]
    assert "A=b c" in bench.said
    assert not [line for line in bench.said if line.startswith("INHERITED")]
    assert bench.said[-1] == "buildkitsandbox"
    with tarfile.open(layer.path) as tar:
        assert "data/kept" in tar.getnames(), "a VOLUME of the image swallowed a file"


def test_a_user_by_name_runs_the_command(bench: Bench, members: Members) -> None:
    found = members(bench.run("id -u; touch /tmp/mine", user="user"))
    assert bench.said == ["1000"]
    assert found["tmp/mine"].uid == 1000


def test_no_network_means_only_loopback_and_host_means_the_host_s(bench: Bench) -> None:
    bench.run("ls /sys/class/net", network="none")
    assert bench.said == ["lo"]
    bench.run("readlink /proc/self/ns/net", network="host")
    assert bench.said == [str(Path("/proc/self/ns/net").readlink())]


def test_the_default_network_can_be_the_host_s(bench: Bench) -> None:
    bench.engine = DockerEngine(network="host")
    bench.run("readlink /proc/self/ns/net", network="default")
    assert bench.said == [str(Path("/proc/self/ns/net").readlink())]


def test_options_are_the_commands_and_leave_nothing(bench: Bench) -> None:
    options = RunOptions(
        hosts=[("mirror.example.com", "192.0.2.7"), ("six.example.com", "2001:db8::7")], shm_size=16 << 20,
        ulimits=[("nofile", 1234, 2345)],
    )  # fmt: skip
    script = "cat /etc/hosts; cat /proc/mounts; ulimit -Sn; ulimit -Hn"
    assert bench.names(script, network="host", options=options) == []
    hosts = {tuple(line.split()) for line in bench.said}
    assert {("192.0.2.7", "mirror.example.com"), ("2001:db8::7", "six.example.com")} <= hosts
    (shm,) = [line for line in bench.said if " /dev/shm " in line]
    assert "size=16384k" in shm
    assert bench.said[-2:] == ["1234", "2345"]
    bench.run("cat /etc/hosts; cat /proc/mounts", network="host")
    assert not [line for line in bench.said if "example.com" in line or ("/dev/shm" in line and "16384k" in line)]


def test_a_control_group_is_the_parent_of_the_commands(bench: Bench) -> None:
    driver = bench.client.json("GET", "/info", "ask for the engine's settings")["CgroupDriver"]
    group = "lineal.slice" if driver == "systemd" else "lineal-builds"
    bench.run("cat /proc/self/cgroup", options=RunOptions(cgroup_parent=group))
    # In a namespace of its own a command does not see where it is.
    paths = [line.split(":", 2)[2] for line in bench.said]
    assert paths and all(path == "/" or f"/{group}/" in path for path in paths), paths


def test_a_command_has_no_privileges(bench: Bench) -> None:
    with pytest.raises(CommandFailed):
        bench.run("mount -t tmpfs x /data")


def test_only_the_user_s_own_host_name_is_in_the_environment(bench: Bench) -> None:
    bench.run("env")
    assert not [line for line in bench.said if line.startswith("HOSTNAME")]
    bench.run("env", env={"PATH": "/bin", "HOSTNAME": "mine"})
    assert "HOSTNAME=mine" in bench.said


def test_a_missing_work_directory_is_made_and_an_existing_one_left_alone(bench: Bench, members: Members) -> None:
    directories = [Directory("/srv/app", 0o750, 1000, 1000), Directory("/tmp", 0o700)]
    found = members(bench.run("pwd", workdir="/srv/app", directories=directories))
    assert bench.said == ["/srv/app"]
    assert sorted(found) == ["srv", "srv/app"]
    assert (found["srv/app"].mode, found["srv/app"].uid) == (0o750, 1000)
    assert (found["srv"].mode, found["srv"].uid) == (0o755, 0)


def test_all_made_directories_of_a_work_directory_have_its_owner(bench: Bench, members: Members) -> None:
    paths = ["/made", "/made/by", "/made/by/user", "/made/other"]
    directories = [Directory(path, 0o755, 1000, 50) for path in paths]
    found = members(bench.run("true", workdir="/made/by/user", user="user", directories=directories))
    assert sorted(found) == [path[1:] for path in paths]
    assert {(member.uid, member.gid, member.mode) for member in found.values()} == {(1000, 50, 0o755)}


@pytest.mark.parametrize("mounted", ["/made", "/made/by"])
def test_so_have_those_that_a_mount_hides(bench: Bench, members: Members, mounted: str) -> None:
    tar = tar_of(directory("by", uid=7), regular("file", b"bound"))
    mounts = [BindMount(mounted, lambda: iter([tar]))]
    directories = [Directory(path, 0o755, 1000, 3_000_000) for path in ("/made", "/made/by")]
    script = "cat file || cat ../file"
    found = members(bench.run(script, workdir="/made/by", user="user", directories=directories, mounts=mounts))
    assert bench.said[-1] == "bound"
    assert {name: (member.uid, member.gid) for name, member in found.items()} == {
        "made": (1000, 3_000_000),
        "made/by": (1000, 3_000_000),
    }


def test_a_cache_as_the_work_directory_keeps_its_own_owner(bench: Bench, members: Members) -> None:
    directories, mounts = [Directory("/app", 0o755, 1000, 1000)], [CacheMount("/app", "any", "private")]
    found = members(bench.run("stat -c %u .", workdir="/app", directories=directories, mounts=mounts))
    assert bench.said == ["0"]
    assert (found["app"].uid, found["app"].gid) == (1000, 1000)


def test_a_work_directory_behind_a_link_is_made_where_the_link_leads(bench: Bench) -> None:
    assert bench.names("true", workdir="/var/run/x", directories=[Directory("/var/run/x")]) == ["run", "run/x"]


def test_an_interrupted_run_leaves_nothing(bench: Bench) -> None:
    threading.Thread(target=_stop_when_running, args=(bench.engine,)).start()
    with pytest.raises(Interrupted):
        bench.run("sleep 600")
    with pytest.raises(Interrupted):
        bench.run("true")
    assert list(bench.workspace.iterdir()) == []


def _stop_when_running(engine: DockerEngine) -> None:
    for _ in range(400):
        if engine._running:
            break
        time.sleep(0.05)
    engine.stop()


def test_a_stop_ends_the_reading_of_a_layer(bench: Bench) -> None:
    read: list[str] = []

    class Stopping(Client):
        @contextmanager
        def reader(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Iterator[BufferedReader]:
            with super().reader(path, what, params) as stream:
                if what == "read a layer":
                    bench.engine.stop()
                yield stream
            if what == "read a layer":
                read.append("the whole layer")

    bench.engine = DockerEngine(connect=Stopping)
    with pytest.raises(Interrupted):
        bench.run("dd if=/dev/zero of=/data/large bs=1M count=20 2>&-")
    assert read == []


def test_a_stop_ends_the_filling_of_a_mount(bench: Bench) -> None:
    def endless() -> Iterator[bytes]:
        info, _ = regular("endless", b"")
        info.size = 1 << 40
        yield info.tobuf(tarfile.PAX_FORMAT)
        bench.engine.stop()
        while True:
            yield bytes(1 << 16)

    with pytest.raises(Interrupted):
        bench.run("true", mounts=[BindMount("/b", endless)])


def test_what_was_prepared_is_not_read_again(bench: Bench) -> None:
    mark = str(time.time_ns()).encode()
    store = MemoryStore()
    base, more = tar_of(directory("d"), regular("d/a", mark)), tar_of(regular("d/b", b"more" + mark))
    for ground in (store.image([base_tar(), base]), store.image([base_tar(), base, more])):
        bench.engine.prepare(ground, store, "linux/amd64", bench.workspace)
    above = store.image([base_tar(), base, more, tar_of(regular("d/c", b"c"))])
    bench.engine.run(above, store, bench.command("cat /d/a /d/b /d/c"), bench.said.append, bench.workspace)
    assert bench.said == [f"{mark.decode()}more{mark.decode()}c"]
    assert len(set(store.read)) == len(store.read), "each once, or never: other tests have the same base"


def test_a_preparation_that_a_command_overtakes_is_waited_for(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        def blob(self, digest: str) -> Iterator[bytes]:
            for chunk in super().blob(digest):
                yield chunk[:1]
                begun.set()
                assert go_on.wait(300)
                yield chunk[1:]

    store = Slow()
    image = store.image([base_tar(), tar_of(regular("slow", str(time.time_ns()).encode()))])
    with ThreadPoolExecutor(2) as pool:
        prepared = pool.submit(bench.engine.prepare, image, store, "linux/amd64", bench.workspace)
        assert begun.wait(300)
        ran = pool.submit(
            bench.engine.run, image, store, bench.command("test -e /slow"), bench.said.append, bench.workspace
        )
        go_on.set()
        prepared.result(300), ran.result(300)
    assert len(set(store.read)) == len(store.read)


def test_a_preparation_ends_with_the_run(fresh: Engine, tmp_path: Path) -> None:
    begun, stopped = threading.Event(), threading.Event()

    class Endless(MemoryStore):
        def blob(self, digest: str) -> Iterator[bytes]:
            yield from super().blob(digest)
            begun.set()
            while not stopped.wait(0.01):
                yield bytes(1)

    store = Endless()
    image = store.image([tar_of(regular("new", str(time.time_ns()).encode()))])
    image = replace(image, layers=tuple(replace(layer, size=1 << 60) for layer in image.layers))
    with ThreadPoolExecutor(1) as pool:
        prepared = pool.submit(fresh.prepare, image, store, "linux/amd64", tmp_path)
        assert begun.wait(300)
        fresh.stop()
        with pytest.raises(Interrupted):
            prepared.result(300)
        stopped.set()
    with pytest.raises(Interrupted):
        fresh.prepare(image, store, "linux/amd64", tmp_path)


def test_a_stage_whose_layer_is_gone_says_so(bench: Bench) -> None:
    parent = bench.store.image([base_tar(), tar_of(regular("unique", str(time.time_ns()).encode()))])
    del bench.store.blobs[parent.layers[-1].digest]
    with pytest.raises(MissingContent):
        bench.run("true", parent=parent)


@pytest.mark.parametrize("mounts", [[], [BindMount("/b", lambda: iter([tar_of(regular("x", b"x"))]))]])
def test_an_image_that_somebody_prunes_before_it_has_a_container_is_loaded_again(
    bench: Bench, mounts: list[BindMount]
) -> None:
    parent = bench.store.image([base_tar(), tar_of(regular("unique", str(time.time_ns()).encode()))])
    pruned: list[str] = []

    class Pruning(Client):
        def call(self, method: str, path: str, what: str, **options: Any) -> Any:
            if path == "/containers/create" and not pruned:
                pruned.append(parent_id(bench.client, parent))
                super().call("DELETE", f"/images/{pruned[0]}", "prune")
            return super().call(method, path, what, **options)

    bench.engine = DockerEngine(connect=Pruning)
    assert bench.names("touch /data/x", parent=parent, mounts=mounts) == ["data", "data/x"]
    assert pruned


def test_an_error_in_the_caller_s_output_leaves_nothing(bench: Bench) -> None:
    def refuse(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.engine.run(bench.base, bench.store, bench.command("echo x; sleep 600"), refuse, bench.workspace)


def test_a_silent_command_outlasts_the_timeout(bench: Bench) -> None:
    class Hasty(Client):
        """Whose time-out is short for what waits for the command alone."""

        @contextmanager
        def output(self, container: str, what: str) -> Iterator[BufferedReader]:
            self._api.timeout = 3
            with super().output(container, what) as stream:
                self._api.timeout = 300
                yield stream

        def call(self, method: str, path: str, what: str, **options: Any) -> Any:
            self._timeout = 3.0 if path.endswith("/wait") else 300.0
            return super().call(method, path, what, **options)

    bench.engine = DockerEngine(connect=Hasty)
    assert bench.names("sleep 5; touch /data/x") == ["data", "data/x"]


def test_layer_files_have_numeric_owners_and_plain_modes(bench: Bench, members: Members) -> None:
    layer = bench.run("echo >/data/x; chmod 640 /data/x")
    assert stat.S_IMODE(members(layer)["data/x"].mode) == 0o640
    assert members(layer)["data/x"].uname == ""
