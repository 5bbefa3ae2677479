"""`RUN` on a buildkitd: what a user sees, and what a shared daemon must not do."""

from __future__ import annotations

import gzip
import io
import secrets
import socket
import struct
import tarfile
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from lineal.engine import (
    BindMount,
    CacheMount,
    CommandFailed,
    Device,
    Directory,
    NoWorkingDirectory,
    PushedLayer,
    RunOptions,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from lineal.engine.buildkit import mounts
from lineal.engine.buildkit.address import parse
from lineal.engine.buildkit.build import Build
from lineal.engine.buildkit.engine import BuildkitEngine
from lineal.engine.buildkit.grpc import ConnectionLost
from lineal.engine.buildkit.protocol import ssh_pb2
from lineal.engine.buildkit.session import _AgentCall
from lineal.engine.buildkit.solve import Solve
from lineal.errors import BuildFailed, Interrupted, LinealError, MissingContent, Unreachable
from lineal.oci import Store
from lineal.oci.image import image_of
from lineal.oci.types import OCI_LAYER_GZIP, Blob, Image, Layer, sha256
from lineal.store.arriving import Arrivals, ArrivingStore
from lineal.store.layout import Layout
from lineal.store.registry.client import Registry
from tests.unit.engine.buildkit.conftest import CONFIG, Bench, put_image
from tests.unit.engine.docker.conftest import base_tar, directory, regular, tar_of

pytestmark = pytest.mark.server
RANDOM = "mkdir /made-$(cat /proc/sys/kernel/random/uuid)"


def entries(bench: Bench, script: str, **options: object) -> dict[str, tarfile.TarInfo]:
    data = bench.tar(bench.run(script, **options))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as tar:
        found = tar.getmembers()
    names = [member.name for member in found]
    assert len(set(names)) == len(names), "an entry occurs twice"
    return {member.name: member for member in found}


def names(bench: Bench, script: str, **options: object) -> list[str]:
    return sorted(entries(bench, script, **options))


# --- what it makes --------------------------------------------------------------------------------------------------


def test_a_command_s_files_are_the_layer(either: Bench) -> None:
    found = names(either, "echo hi >/data/new; rm /data/a; rm -r /data/gone; echo said; echo too >&2")
    assert found == ["data", "data/.wh.a", "data/.wh.gone", "data/new"]
    assert sorted(either.said) == ["said", "too"]


def test_the_daemon_pushes_its_layer_and_says_what_the_image_has_become(pushing: Bench) -> None:
    before = pushing.store.traffic.bytes_sent, pushing.store.traffic.bytes_read
    script = (
        "mkdir -m 1700 /n /n/é; chown 3:70000 /n; ln -s ../x /n/link; rm -r /data/gone; head -c 3000000 /dev/urandom"
    )
    layer = pushing.run(f"{script} >/n/large; {RANDOM}; echo x:x:5:5:::>>/etc/passwd; rm /etc/group")
    assert isinstance(layer, PushedLayer) and layer.descriptor.size > 3_000_000
    sent, read = pushing.store.traffic.bytes_sent - before[0], pushing.store.traffic.bytes_read - before[1]
    assert sent == 0 and read < 10_000, "a layer went through Lineal"
    with tarfile.open(fileobj=io.BytesIO(pushing.tar(layer))) as tar:
        made = [member.name for member in tar if member.name.startswith("made-")]
    tree = layer.tree
    assert tree.directories["n"] == (0o1700, 3, 70000) and tree.directories["n/é"] == (0o1700, 0, 0)
    assert tree.directories["data/deep"] == (0o755, 0, 0) and "data/gone" not in tree.directories
    assert tree.symlinks["n/link"] == "../x" and tree.symlinks["var/run"] == "/run"
    assert tree.passwd.endswith(b"x:x:5:5:::\n") and tree.group == b""
    # The command ran once: the layer is the one that was listed.
    assert made == [path for path in tree.directories if path.startswith("made-")]


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("/absent", 127), ("touch /x; /x", 126)])
def test_a_command_that_fails_ends_with_its_status(pushing: Bench, script: str, status: int) -> None:
    with pytest.raises(CommandFailed) as failed:
        pushing.run(f"echo last words; {script}")
    # What the shell says itself comes on the other stream: between the two there is no order.
    assert failed.value.status == status and "last words" in pushing.said


def test_what_cannot_start_is_explained(layout: Bench) -> None:
    with pytest.raises(BuildFailed, match="no such user"):
        layout.run("true", user="nobody-here")
    with pytest.raises(NoWorkingDirectory):
        layout.run("true", workdir="/etc/passwd/x")
    with pytest.raises(CommandFailed) as failed:
        layout.engine.run(
            layout.base,
            layout.store,
            replace(layout.command(""), argv=["/absent"]),
            layout.said.append,
            layout.workspace,
        )
    assert failed.value.status == 127


def test_a_directory_over_a_file_is_no_fault_of_the_registry(pushing: Bench) -> None:
    with pytest.raises(NoWorkingDirectory):
        pushing.run("true", workdir="/etc/passwd/x", directories=[Directory("/etc/passwd/x", 0o755, 7, 7)])
    assert pushing.said == []


def test_a_large_output_comes_whole_and_in_order(layout: Bench) -> None:
    layout.run("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; printf end")
    assert layout.said == [*map(str, range(3000)), "end"]


@pytest.mark.parametrize("owner", [(0o755, 0, 0), (0o755, 1000, 1000)])
def test_directories_of_the_command_are_in_its_one_layer(either: Bench, owner: tuple[int, int, int]) -> None:
    made = [Directory("/w", *owner), Directory("/w/x", *owner), Directory("/w/gone", *owner)]
    found = entries(either, "rmdir /w/gone 2>/dev/null; pwd; echo 1 >a", workdir="/w/x", directories=made)
    assert sorted(found) == ["w", "w/x", "w/x/a"] and either.said == ["/w/x"]
    assert {(found[name].mode, found[name].uid, found[name].gid) for name in ("w", "w/x")} == {owner}


def test_an_image_without_layers(layout: Bench) -> None:
    tar = tar_of(regular("busybox", base_busybox(), 0o755))
    mount = BindMount("/bin", lambda: iter([tar]))
    layout.base = put_image(layout.store)
    command = replace(layout.command("", mounts=[mount]), argv=["/bin/busybox", "touch", "/made"])
    layer = layout.engine.run(layout.base, layout.store, command, layout.said.append, layout.workspace)
    assert b"made" in layout.tar(layer)


def base_busybox() -> bytes:
    with tarfile.open(fileobj=io.BytesIO(base_tar())) as tar:
        file = tar.extractfile("bin/busybox")
        assert file is not None
        return file.read()


def test_large_layers_go_through_lineal_in_little_memory(layout: Bench) -> None:
    layout.base = put_image(layout.store, base_tar(), tar_of(regular("large", bytes(30_000_000))))
    tracemalloc.start()
    try:
        layer = layout.run("cat /large /large >/data/x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(layer, Layer) and peak < 25_000_000


@pytest.mark.parametrize("owner", [0, 7])
def test_no_file_is_younger_than_it_may_be(either: Bench, owner: int) -> None:
    script = "mkdir -p n/new; echo x >n/new/a; touch -d '1970-01-01 00:16:41' n/old; rm /data/a; ln -s x n/link"
    options = RunOptions(epoch=1002)
    made = [Directory("/w", 0o755, owner, owner)]
    layers = [either.run(script, workdir="/w", directories=made, options=options) for _ in range(2)]
    assert layers[0].diff_id == layers[1].diff_id
    with tarfile.open(fileobj=io.BytesIO(either.tar(layers[0]))) as tar:
        times = {member.name: member.mtime for member in tar}
    assert times.pop("w/n/old") == 1001 and times.pop("data/.wh.a") <= 1002
    assert set(times.values()) == {1002} and "w/n/link" in times


def test_a_command_has_what_it_is_given(pushing: Bench) -> None:
    rights = "grep CapEff /proc/self/status; mount -t tmpfs none /data 2>/dev/null && echo mounted; echo $GIVEN"
    made = pushing.run(rights)
    assert "mounted" not in pushing.said and pushing.said[-1] == ""
    pushing.run(
        rights, insecure=True, devices=[Device("example.com/class=a", required=True), Device("other.com/b=c")]
    )
    assert "mounted" in pushing.said and pushing.said[-1] == "a device" and made
    with pytest.raises(BuildFailed, match=r"no device 'other\.com/b=c'"):
        pushing.run("true", devices=[Device("other.com/b=c", required=True)])
    assert pushing.said == [], "it is no fault of the registry"


# --- mounts ---------------------------------------------------------------------------------------------------------


def test_mounts_hold_what_they_are_given_and_leave_nothing(either: Bench) -> None:
    tar = tar_of(directory("sub", 0o711, 5, 6), regular("sub/x", b"mounted\n"))
    one = tar_of(regular("whatever", b"single\n"))
    given = [
        BindMount("/m", lambda: iter([tar]), root=(0o700, 7, 8)),
        BindMount("/m2", lambda: iter([tar]), writable=True),
        BindMount("/one", lambda: iter([one]), single=True),
        TmpfsMount("/t"),
        SecretMount("/run/secrets/s", b"sesam-sesam-sesam", 0o440, 3, 4),
    ]
    script = (
        "stat -c '%a %u %g' /m /m/sub /run/secrets/s; cat /m/sub/x /one /run/secrets/s; echo; touch /m/y 2>/dev/null "
        "|| echo refused; touch /m2/y /t/y; echo $SESAM"
    )
    env = {"PATH": "/bin", "SESAM": "open-open-open-open"}
    found = names(
        either, script, mounts=given, env=env, secret_env=frozenset({"SESAM"}),
        secrets=(b"sesam-sesam-sesam", b"open-open-open-open"),
    )  # fmt: skip
    assert found == []
    assert either.said == [
        "700 7 8", "711 5 6", "440 3 4", "mounted", "single", "sesam-sesam-sesam", "refused", "open-open-open-open",
    ]  # fmt: skip


def test_a_secret_in_the_layer_is_refused_before_it_goes_anywhere(pushing: Bench) -> None:
    before = pushing.store.traffic.bytes_sent
    secret = SecretMount("/s", b"sesam-sesam-sesam")
    with pytest.raises(BuildFailed, match="left a secret in /data/leak"):
        pushing.run("cat /s >/data/leak", mounts=[secret], secrets=(secret.value,))
    # The daemon was not told to push it either.
    assert pushing.store.traffic.bytes_sent == before and pushing.store.tags() == []


def test_cache_mounts_are_kept_and_those_of_others_are_apart(pushing: Bench, layout: Bench) -> None:
    def mount(id: str) -> list[CacheMount]:
        return [CacheMount("/c", id, mode=0o700, uid=5, gid=6)]

    assert names(pushing, "stat -c '%a %u %g' /c; echo kept >/c/x", mounts=mount("shop: go")) == []
    assert pushing.said == ["700 5 6"]
    pushing.run("cat /c/x", mounts=mount("shop: go"))
    assert pushing.said == ["kept"]
    # Another id (a fork's has one of its own), and another store whose project has the same name.
    for other, id in ((pushing, "shop (may not write): go"), (layout, "shop: go")):
        other.run("ls /c", mounts=mount(id))
        assert other.said == []


def test_a_cache_begins_with_what_it_is_given(layout: Bench) -> None:
    tar = tar_of(regular("x", b"first"))
    mount = CacheMount("/c", "from-a-stage", tar=lambda: iter([tar]))
    layout.run("cat /c/x; echo more >>/c/x", mounts=[mount])
    layout.run("cat /c/x", mounts=[mount])
    assert layout.said == ["firstmore"]


def test_an_agent_s_socket_is_there_and_gone_afterwards(layout: Bench, tmp_path: Path) -> None:
    found = names(layout, "stat -c '%F %a %u' /a", mounts=[SshMount("/a", tmp_path / "agent", 0o640, 9)])
    assert found == [] and layout.said == ["socket 640 9"]


class Call:
    """What a client in the container sends to its agent, in pieces, and gets."""

    def __init__(self, *sent: bytes) -> None:
        self.sent = [ssh_pb2.BytesMessage(data=data).SerializeToString() for data in sent]
        self.got: list[bytes] = []

    def receive(self) -> bytes | None:
        return self.sent.pop(0) if self.sent else None

    def send(self, message: bytes) -> None:
        self.got.append(ssh_pb2.BytesMessage.FromString(message).data)


def test_an_agent_lists_and_signs_and_does_nothing_else(tmp_path: Path) -> None:
    asked = []

    def serve(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            while head := client.recv(4):
                asked.append(client.recv(struct.unpack(">L", head)[0]))
                client.sendall(b"\0\0\0\3\x0cok")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        server.listen()
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        # To list, to add a key, to sign.
        call = Call(b"\0\0", b"\0\1\x0b\0\0\0\2\x11", b"x\0\0\0\2\x0ds")
        _AgentCall(call, tmp_path / "agent").run()  # type: ignore[arg-type]
        thread.join(10)
    assert asked == [b"\x0b", b"\x0ds"], "the agent was not asked to add a key"
    assert call.got == [b"\0\0\0\3\x0cok", b"\0\0\0\1\5", b"\0\0\0\3\x0cok"]


# --- a shared daemon ------------------------------------------------------------------------------------------------


def test_the_daemon_s_cache_never_answers(either: Bench) -> None:
    first, second = (names(either, RANDOM) for _ in range(2))
    assert first != second and len(first) == 1


def both_at_once(bench: Bench) -> set[str]:
    """What two clients of the daemon get that run the same command on the same image at the same time."""
    engines = [BuildkitEngine(bench.engine.addresses, environment={}) for _ in range(2)]
    command = bench.command(f"sleep 1; {RANDOM}")
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(one.run, bench.base, bench.store, command, lambda _: None, bench.workspace) for one in engines
        ]
        layers = [one.result() for one in done]
    return {layer.diff_id for layer in layers}


def test_equal_commands_at_the_same_time_stay_two(layout: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(both_at_once(layout)) == 2
    # What it takes: without the mark of its own, the daemon makes one of them.
    monkeypatch.setattr(mounts, "_unique", lambda: "the same")
    assert len(both_at_once(layout)) == 1
    # Or takes it from its cache.
    first, second = (layout.tar(layout.run(RANDOM)) for _ in range(2))
    assert first == second


def test_a_daemon_that_does_not_reach_the_registry_gets_and_gives_all_through_the_session(pushing: Bench) -> None:
    store = pushing.store
    # The daemon asks another port than Lineal: as where 127.0.0.1 is another machine for each.
    store.host = "127.0.0.1:9"  # type: ignore[attr-defined]
    assert names(pushing, "echo x >/data/x") == ["data", "data/x"]
    assert "does not reach" in pushing.said[0]
    assert names(pushing, "echo x >/data/x") == ["data", "data/x"] and pushing.said == []


# --- ends -----------------------------------------------------------------------------------------------------------


def test_stop_ends_the_command_on_the_daemon(layout: Bench, tmp_path: Path) -> None:
    mark = f"sleep 4{tmp_path.name.encode().hex()[:6]}"
    began = threading.Event()

    def stop() -> None:
        began.wait(300)
        layout.engine.stop()

    threading.Thread(target=stop, daemon=True).start()
    command = layout.command(f"echo began; {mark.split()[0]} 3600")
    with pytest.raises(Interrupted):
        layout.engine.run(layout.base, layout.store, command, lambda _: began.set(), layout.workspace)
    with pytest.raises(Interrupted):
        layout.run("true")
    assert [path for path in layout.workspace.iterdir() if path.is_file()] == []


def test_a_daemon_that_is_not_there_is_said(layout: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lineal.engine.buildkit.connect._WAITS", (0.01,))
    layout.engine = BuildkitEngine([parse("unix:///nowhere/sock", "test")], environment={})
    with pytest.raises(Unreachable, match="buildkitd at unix:///nowhere/sock cannot be reached: No such file"):
        layout.run("true")


def test_a_lost_daemon_costs_one_stage_which_another_makes(layout: Bench) -> None:
    engine = BuildkitEngine([parse("unix:///nowhere/sock", "test"), *layout.engine.addresses], environment={})
    layout.engine = engine
    assert names(layout, "echo x >/data/x") == ["data", "data/x"]
    assert "begins again" in layout.said[0]
    # It is not asked again.
    assert names(layout, "echo x >/data/x") == ["data", "data/x"] and layout.said == []


def unknown(store: Store) -> Image:
    """An image whose only layer no daemon has seen; its layer alone is in the store."""
    tar = tar_of(directory("bin"), regular("bin/x", secrets.token_bytes(64)))
    blob = Blob.of(gzip.compress(tar, 1, mtime=0))
    store.put_blob(blob)
    layer = Layer(Path(), blob.digest, blob.size, sha256(tar), OCI_LAYER_GZIP)
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id]}
    return image_of({**CONFIG, "rootfs": rootfs}, [layer.descriptor()])


def test_what_was_prepared_is_not_fetched_again(either: Bench, tmp_path: Path) -> None:
    """With the layer gone from the store, the daemon still has it."""
    image = unknown(either.store)
    arrivals = Arrivals(either.store, image.layers, tmp_path)
    either.engine.prepare(image, ArrivingStore(either.store, arrivals), "linux/amd64", either.workspace)
    arrivals.close()
    assert not list(tmp_path.glob("blob-*"))
    if isinstance(either.store, Layout):
        (either.store.directory / "blobs" / "sha256" / image.layers[0].digest[7:]).unlink()
    else:
        assert isinstance(either.store, Registry)
        host, name = either.store.host, either.store.repository
        assert (
            requests.delete(f"http://{host}/v2/{name}/blobs/{image.layers[0].digest}", timeout=300).status_code == 202
        )
    with pytest.raises(CommandFailed) as failed:
        either.engine.run(image, either.store, either.command("true"), either.said.append, either.workspace)
    assert failed.value.status == 127, "it has no shell"


def test_what_the_daemon_cannot_fetch_is_an_expected_failure(either: Bench) -> None:
    image = image_of({**CONFIG, "rootfs": {"type": "layers", "diff_ids": [sha256(b"")]}},
                     [Layer(Path(), sha256(b"x"), 1, sha256(b""), OCI_LAYER_GZIP).descriptor()])  # fmt: skip
    with pytest.raises(LinealError):
        either.engine.prepare(image, either.store, "linux/amd64", either.workspace)


def test_a_preparation_ends_with_the_run(pushing: Bench) -> None:
    pushing.engine.stop()
    with pytest.raises(Interrupted):
        pushing.engine.prepare(pushing.base, pushing.store, "linux/amd64", pushing.workspace)


# --- a layer that is being pushed -----------------------------------------------------------------------------------


def start(bench: Bench, script: str) -> PushedLayer:
    """A layer that may be on its way still."""
    made = bench.engine.run(bench.base, bench.store, bench.command(script), bench.said.append, bench.workspace)
    assert isinstance(made, PushedLayer)
    return made


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """No push ends before this is set."""
    opened, finish = threading.Event(), Build.finish

    def late(build: Build) -> str:
        assert opened.wait(300)
        return finish(build)

    monkeypatch.setattr(Build, "finish", late)
    yield opened
    opened.set()


def test_a_layer_is_known_and_read_from_the_daemon_before_it_is_pushed(pushing: Bench, gate: threading.Event) -> None:
    before = pushing.store.traffic.requests
    layer = start(pushing, f"{RANDOM}; head -c 3000000 /dev/urandom >/large")
    data = b"".join(layer.read())
    assert not layer.arrival.done() and pushing.store.traffic.requests == before
    assert (sha256(data), len(data)) == (layer.descriptor.digest, layer.descriptor.size)
    gate.set()
    layer.arrival.result()
    assert pushing.tar(layer) == gzip.decompress(data)


def test_what_is_made_is_pushed_to_its_end_when_the_run_is_stopped(pushing: Bench, gate: threading.Event) -> None:
    layer = start(pushing, RANDOM)
    pushing.engine.stop()
    gate.set()
    layer.arrival.result()
    assert pushing.tar(layer)


def test_a_daemon_that_is_lost_with_a_layer_is_said(pushing: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(solve: Solve) -> dict[str, str]:
        raise ConnectionLost("gone")

    monkeypatch.setattr(Solve, "response", lose)
    layer = start(pushing, RANDOM)
    with pytest.raises(MissingContent) as missing:
        layer.arrival.result()
    assert missing.value.digest == layer.descriptor.digest


def test_what_the_daemon_made_goes_on_there_and_the_registry_is_not_asked(pushing: Bench) -> None:
    """The store has no image to run on: neither config nor manifest."""
    made = pushing.run(f"{RANDOM}; echo x >/data/x")
    assert isinstance(made, PushedLayer)
    rootfs = {"type": "layers", "diff_ids": [*pushing.base.config_json["rootfs"]["diff_ids"], made.diff_id]}
    above = image_of({**CONFIG, "rootfs": rootfs}, [*pushing.base.layers, made.descriptor])
    pushing.base = above
    assert names(pushing, "cat /data/x >/data/y") == ["data", "data/y"]
    assert not list(pushing.workspace.glob("blob-*"))


def test_a_daemon_that_shows_none_of_its_blobs_pushes_them_first(
    pushing: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineal.engine.buildkit.content._CONTENT", "/of.another.kind/")
    layer = start(pushing, f"{RANDOM}; echo x >/data/x")
    assert pushing.tar(layer), "it is there"
    with pytest.raises(Unreachable):
        next(layer.read())
    assert names(pushing, "cat /data/a >/data/y") == ["data", "data/y"]
