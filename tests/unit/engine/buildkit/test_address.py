"""Addresses of a buildkitd, as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.engine import select
from lineal.engine.buildkit.address import Address, Pod, Tls, parse, parse_all
from lineal.errors import BadConfiguration


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("unix:///run/user/1000/b%20k.sock", Address("unix", "/run/user/1000/b k.sock")),
        ("tcp://buildkitd:1234", Address("tcp", "buildkitd:1234")),
        ("tcp://[::1]:1234", Address("tcp", "[::1]:1234")),
        ("tcp://b:1?servername=x", Address("tcp", "b:1", Tls(servername="x"))),
        ("docker-container://buildx_buildkit_default0", Address("docker-container", "buildx_buildkit_default0")),
        ("kube-pod://buildkitd-0", Address("kube-pod", "buildkitd-0")),
        (
            "kube-pod://b.0?namespace=ci&container=buildkitd&context=gke_a/b",
            Address("kube-pod", "b.0", pod=Pod("ci", "buildkitd", "gke_a/b")),
        ),
    ],
)
def test_what_people_write(text: str, wanted: Address) -> None:
    assert parse(text, "test") == wanted


def test_several_addresses(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    files = f"cacert={tmp_path}/ca.pem&cert={tmp_path}/cert.pem&key={tmp_path}/key.pem"
    first, second = parse_all(f"tcp://a:1?{files}, unix:///b", "test")
    assert first.tls == Tls(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    assert (str(first), str(second)) == ("tcp://a:1", "unix:///b"), "no path of a key is in a message"
    assert (parse("tcp://[::1]:99", "test").host, parse("tcp://[::1]:99", "test").port) == ("::1", 99)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no scheme"),
        ("/run/buildkit/buildkitd.sock", "it has no scheme"),
        ("unix://relative/path", "the path of a Unix socket begins with a slash"),
        ("unix:///run/x?tls=1", "it has the unknown option `tls`"),
        ("tcp://buildkitd", "it is not HOST:PORT"),
        ("tcp://:1234", "it is not HOST:PORT"),
        ("tcp://me:secret@buildkitd:1234", "it is not HOST:PORT"),
        ("tcp://b:1?cert=/dev/null", "cert and key go together"),
        ("tcp://b:1?cacert=/nowhere/ca.pem", "cacert names `/nowhere/ca.pem`, where no file is"),
        ("tcp://b:1?ca=x", "it has the unknown option `ca`"),
        ("docker-container://", "it names no container"),
        ("kube-pod://", "it names no pod"),
        ("kube-pod://Builder", "`Builder` is no pod's name"),
        ("kube-pod://b?namespace=a/b", "its namespace is no name of Kubernetes"),
        ("kube-pod://b?container=", "its container is no name of Kubernetes"),
        ("kube-pod://b?pod=x", "it has the unknown option `pod`"),
        ("kubernetes://builder", "Lineal reaches no buildkitd by `kubernetes`"),
        ("ssh://host", "Lineal reaches no buildkitd by `ssh`"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse(text, "LINEAL_ENGINE")
    sentence = f"(LINEAL_ENGINE) is no address of a buildkitd that Lineal can use: {reason}."
    assert refused.value.message.endswith(sentence) and "secret" not in refused.value.message


@pytest.mark.parametrize("text", ["auto", "docker", "buildkit", "buildkitd", "buildkit:unix:///x"])
def test_engines(text: str) -> None:
    select.check(text, "--engine")


@pytest.mark.parametrize("text", ["", "podman", "Docker", "docker:tcp://x:1", "buildkitd:unix:///x", "buildkit:"])
def test_what_is_no_engine_is_refused(text: str) -> None:
    with pytest.raises(BadConfiguration):
        select.check(text, "--engine")
