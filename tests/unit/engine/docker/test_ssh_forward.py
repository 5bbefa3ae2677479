"""SSH agents: a command in the engine uses an agent of this machine, through the engine's API alone."""

from __future__ import annotations

import io
import os
import shutil
import socket
import struct
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lineal.engine.docker
from lineal.engine import SshMount
from lineal.engine.docker.engine import DockerEngine
from lineal.engine.docker.ssh_forward import messages
from lineal.oci.types import Image

from .conftest import Bench, Members, base_tar, traces

FORWARDER = Path(lineal.engine.docker.__file__).parent / "forwarder"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real agent with one key."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("needs openssh-client")
    # A socket's path has at most 107 bytes.
    folder = tmp_path_factory.mktemp("ssh")
    path = folder / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    key = folder / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a key of the test", "-f", str(key)], check=True
    )
    subprocess.run(["ssh-add", "-q", str(key)], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(path)})
    yield path
    process.terminate()
    process.wait()


@pytest.fixture
def with_ssh(bench: Bench) -> Image:
    """The base with ssh-add and ssh-keygen, and the libraries that they need."""
    programs = [Path(str(shutil.which(name))) for name in ("ssh-add", "ssh-keygen")]
    linked = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        for path in sorted({*programs, *(Path(word) for word in linked if word.startswith("/") and word[-1] != ":")}):
            tar.add(path, str(path).lstrip("/"))
    return bench.store.image([base_tar(), out.getvalue()])


def environment(target: str) -> dict[str, str]:
    return {"PATH": "/bin:/usr/bin", "SSH_AUTH_SOCK": target}


@pytest.mark.engine
@pytest.mark.parametrize("target", ["/run/buildkit/ssh_agent.0", "/root/agent.sock", "/new/place/agent", "/tmp/a"])
def test_a_command_signs_with_an_agent_that_it_cannot_change(
    bench: Bench, agent: Path, with_ssh: Image, members: Members, target: str
) -> None:
    script = (
        "ssh-add -l; ssh-add -L >/data/key.pub; echo text >/data/text; ssh-keygen -q -Y sign -f /data/key.pub -n n "
        "/data/text && echo signed; ssh-add -D || echo kept; ssh-add -l; rm /data/key.pub /data/text*"
    )
    layer = bench.run(script, parent=with_ssh, env=environment(target), mounts=[SshMount(target, agent)])
    assert len([line for line in bench.said if "a key of the test" in line]) == 2, bench.said
    assert {"signed", "kept"} <= set(bench.said)
    assert not [name for name in members(layer) if "agent" in name or name.startswith(("run/", "new"))]


@pytest.mark.engine
def test_the_socket_has_the_wanted_mode_and_owner(bench: Bench, agent: Path) -> None:
    mounts = [SshMount("/run/buildkit/ssh_agent.0", agent), SshMount("/s", agent, 0o640, 5, 6)]
    bench.run("stat -L -c '%F %a %u:%g' /run/buildkit/ssh_agent.0 /s", mounts=mounts)
    assert bench.said == ["socket 600 0:0", "socket 640 5:6"]


@pytest.mark.engine
def test_commands_at_once_have_connections_of_their_own(bench: Bench, agent: Path, with_ssh: Image) -> None:
    target = "/run/buildkit/ssh_agent.0"
    script = "for i in $(seq 20); do ssh-add -l & done; wait"
    bench.run(script, parent=with_ssh, env=environment(target), mounts=[SshMount(target, agent)])
    assert len([line for line in bench.said if "a key of the test" in line]) == 20


@pytest.fixture
def remote() -> Iterator[str]:
    """The engine as one that only TCP reaches."""
    server = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect("/var/run/docker.sock")
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.mark.engine
@pytest.mark.skipif(bool(os.environ.get("DOCKER_HOST")), reason="the engine is elsewhere already")
def test_the_engine_may_be_on_another_machine(bench: Bench, agent: Path, with_ssh: Image, remote: str) -> None:
    target = "/run/buildkit/ssh_agent.0"
    bench.engine = DockerEngine(environment={"DOCKER_HOST": remote})
    bench.run("ssh-add -l", parent=with_ssh, env=environment(target), mounts=[SshMount(target, agent)])
    assert "a key of the test" in bench.said[0]
    bench.engine.close()
    assert traces(bench.client, bench.engine) == []


@pytest.mark.engine
def test_an_agent_that_is_gone_is_an_agent_that_refuses(bench: Bench, tmp_path: Path, with_ssh: Image) -> None:
    target = "/run/buildkit/ssh_agent.0"
    bench.run("ssh-add -l; true", parent=with_ssh, env=environment(target), mounts=[SshMount(target, tmp_path / "s")])
    assert "agent refused operation" in " ".join(bench.said)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_programs_were_built_from_the_source(machine: str) -> None:
    source = sha256((FORWARDER / "forwarder.c").read_bytes()).hexdigest()
    program = (FORWARDER / machine).read_bytes()
    assert b"forwarder.c " + source.encode() in program, "run scripts/forwarder"
    assert program[18:20] == {"x86_64": b"\x3e\0", "aarch64": b"\xb7\0"}[machine]


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_messages_may_be_cut_anywhere(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    stream = b"".join(struct.pack(">BL", number, len(text)) + text for number, text in sent)
    ours, theirs = socket.socketpair()

    def write() -> None:
        at = turn = 0
        while at < len(stream):
            part = stream[at : at + sizes[turn % len(sizes)]]
            # What the program says on its standard error is nobody's message.
            theirs.sendall(struct.pack(">BxxxL", 1, len(part)) + part + struct.pack(">BxxxL", 2, 1) + b"!")
            at, turn = at + len(part), turn + 1
        theirs.close()

    thread = threading.Thread(target=write)
    thread.start()
    found = []
    with pytest.raises(EOFError):
        for message in messages(ours):
            found.append(message)
    thread.join()
    ours.close()
    assert found == sent
