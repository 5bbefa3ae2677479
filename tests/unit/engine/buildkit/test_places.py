"""Daemons at other places than a Unix socket: TCP with TLS on both sides, a container, one of the run's own; and one
that dies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker
import pytest

from lineal.engine.buildkit import own
from lineal.engine.buildkit.address import parse, parse_all
from lineal.engine.buildkit.engine import BuildkitEngine
from lineal.errors import Unreachable
from lineal.store.layout import Layout
from tests import servers
from tests.differential.buildkit import PROGRAMS, Buildkit, buildkitd, fast, missing
from tests.unit.engine.buildkit.balancer import balancer
from tests.unit.engine.buildkit.conftest import Bench, bench
from tests.unit.engine.docker.conftest import base_tar, directory, tar_of

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and one certificate of it for the daemon and for a client."""
    made = tmp_path / "tls"
    made.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"]
    for arguments in (
        authority,
        [
            "req", "-x509", *key, "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem",
            "-subj", "/CN=builder", "-addext", "subjectAltName=DNS:builder",
        ],
    ):  # fmt: skip
        subprocess.run(["openssl", *arguments], cwd=made, check=True, capture_output=True)
    return made


def test_tcp_with_certificates_on_both_sides(registry: str, certificates: Path, tmp_path: Path) -> None:
    place = f"127.0.0.1:{servers.free_port()}"
    flags = [f"--addr=tcp://{place}", f"--tlscacert={certificates}/ca.pem", f"--tlscert={certificates}/cert.pem"]
    with _directory() as short, buildkitd(short, registry, *flags, f"--tlskey={certificates}/key.pem"):
        tls = f"cacert={certificates}/ca.pem&servername=builder"
        address = f"tcp://{place}?{tls}&cert={certificates}/cert.pem&key={certificates}/key.pem"
        made = bench(address, Layout(tmp_path / "store", "layout:store"), tmp_path)
        # Enough to fill windows and buffers in both directions.
        assert made.run("head -c 9000000 /dev/urandom >/data/x; echo said") and made.said == ["said"]
        with pytest.raises(Unreachable, match=r"No TLS connection .* certificate"):
            BuildkitEngine([parse(f"tcp://{place}?{tls.replace('builder', 'other')}", "x")], environment={}).run(
                made.base, made.store, made.command("true"), made.said.append, tmp_path
            )


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="buildkit-", dir=fast(), ignore_cleanup_errors=True) as short:
        yield Path(short)


@pytest.mark.engine
def test_a_daemon_in_a_container(daemon: str, tmp_path: Path, engine: docker.DockerClient) -> None:
    tag = f"lineal-test-{tmp_path.name}:1".lower()
    rootfs = tar_of(*[directory(name) for name in ("run/buildkit",)])
    image = engine.api.import_image_from_data(base_tar(), repository=tag.partition(":")[0], tag="1")
    assert rootfs and image
    socket = Path(parse(daemon, "test").place)
    binds = [f"{PROGRAMS}/buildctl:/bin/buildctl:ro", f"{socket.parent}:/run/buildkit"]
    container = engine.containers.run(
        tag, ["/bin/sleep", "600"], volumes=binds, environment={"PATH": "/bin"}, detach=True, network_mode="none"
    )
    try:
        address = f"docker-container://{container.name}"
        made = bench(address, Layout(tmp_path / "store", "layout:store"), tmp_path)
        made.engine = BuildkitEngine(made.engine.addresses, environment=dict(os.environ))
        assert made.run("head -c 3000000 /dev/urandom >/data/x; echo said") and made.said == ["said"]
    finally:
        container.remove(force=True)
        engine.images.remove(tag, force=True)


@pytest.mark.parametrize("where", ["run", "long/" * 40])
def test_a_daemon_that_is_started_for_the_run(where: str, tmp_path: Path) -> None:
    environ = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    with _directory() as short:
        (workspace := short / where).mkdir(parents=True)
        daemon = own.start(environ, workspace, host_network=True)
        try:
            store = Layout(tmp_path / "store", "layout:store")
            made = bench(str(daemon.address), store, tmp_path)
            # It grants what the run has been asked for already.
            assert made.run("echo said", network="host", insecure=True) and made.said == ["said"]
        finally:
            daemon.close()
        assert list(workspace.iterdir()) == [] and not Path(daemon.address.place).parent.exists()
    assert own.can_start(environ) and not own.can_start({"PATH": "/nowhere"})
    with pytest.raises(Unreachable, match="buildkitd is not on the PATH"):
        own.start({"PATH": "/nowhere"}, tmp_path, host_network=False)


@contextmanager
def _farm(registry: str) -> Iterator[list[Buildkit]]:
    with ExitStack() as stack:
        yield [stack.enter_context(buildkitd(stack.enter_context(_directory()), registry)) for _ in range(3)]


def _lose_one(made: Bench, daemons: list[Buildkit], seconds: int) -> list[str]:
    """Three commands at once that say nothing for some seconds, while a daemon is killed; returns what was said."""
    begun, done = threading.Barrier(4), []
    said: list[str] = []

    def run(number: int) -> None:
        began = False

        def output(line: str) -> None:
            nonlocal began
            said.append(line)
            if not began:
                began = True
                begun.wait(300)

        command = made.command(f"echo began; sleep {seconds}; echo {number} >/data/x")
        done.append(made.engine.run(made.base, made.store, command, output, made.workspace))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(300)
    # Each daemon has one of the three.
    daemons[1].kill()
    for thread in threads:
        thread.join(120)
    assert len({one.diff_id for one in done}) == 3
    assert len([line for line in said if re.search("cannot be reached.*begins again", line)]) == 1
    return said


def test_one_of_three_daemons_is_killed_in_the_middle(registry: str, tmp_path: Path) -> None:
    with _farm(registry) as daemons:
        made = bench(daemons[0].address, Layout(tmp_path / "store", "layout:store"), tmp_path)
        addresses = parse_all(",".join(one.address for one in daemons), "test")
        made.engine = BuildkitEngine(addresses, environment=dict(os.environ))
        _lose_one(made, daemons, 8)


def test_a_farm_behind_one_address_that_closes_idle_connections(registry: str, tmp_path: Path) -> None:
    with _farm(registry) as daemons:
        sockets = [parse(one.address, "test").place for one in daemons]
        made = bench(daemons[0].address, Layout(tmp_path / "store", "layout:store"), tmp_path)
        with balancer(sockets, idle=12) as farm:
            made.engine = BuildkitEngine([parse(f"tcp://{farm.address}", "test")], environment={})
            said = _lose_one(made, daemons, 15)
    assert farm.idle == 0, "a connection was taken for idle"
    assert said.count("began") == 4, "only what the lost daemon had runs twice"
    assert all(farm.taken[socket] for socket in sockets)


def test_the_only_daemon_is_waited_for_once_until_it_answers(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineal.engine.buildkit.connect._WAITS", (0.01,) * 6)
    with _directory() as short, buildkitd(short, registry) as daemon:
        made = bench(daemon.address, Layout(tmp_path / "store", "layout:store"), tmp_path)
        there, gone = parse(daemon.address, "test").place, str(tmp_path / "gone")
        with balancer([*[gone] * 8, there, *[gone] * 5, there, *[gone] * 50], idle=300) as farm:
            made.engine = BuildkitEngine([parse(f"tcp://{farm.address}", "test")], environment={})
            with pytest.raises(Unreachable, match="cannot be reached"):
                made.run("true")
            assert farm.taken.total() == 7 and made.said == []
            assert made.run("echo x >/data/x"), "it is asked, though not waited for"
            assert made.run("echo x >/data/x"), "it has answered, so it is waited for"
            assert farm.taken.total() == 15


def test_a_daemon_that_is_killed_and_stays_away_ends_the_run(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineal.engine.buildkit.connect._WAITS", (0.01,) * 6)
    said: list[str] = []
    with _directory() as short, buildkitd(short, registry) as daemon:
        made = bench(daemon.address, Layout(tmp_path / "store", "layout:store"), tmp_path)

        def output(line: str) -> None:
            said.append(line)
            daemon.kill()

        with pytest.raises(Unreachable, match=r"buildkitd at .* cannot be reached"):
            made.engine.run(made.base, made.store, made.command("echo began; sleep 60"), output, made.workspace)
    assert len(said) == 2 and said[0] == "began" and said[1].endswith("This RUN begins again.")


@pytest.fixture(autouse=True)
def _has_openssl() -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
