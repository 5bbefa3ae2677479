"""Kubeconfigs of EKS and GKE without `aws`, `aws-iam-authenticator` or `gke-gcloud-auth-plugin`: what is asked of the
API server, by lightkube and by whoever else starts the program."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lineal.clouds import program
from lineal.kube.client import KubeClient
from lineal.kube.exec_programs import replaced
from tests.unit.lock import conversation

AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "aws-session"}
GOOGLE = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.token"}
EKS = ["--region", "eu-central-1", "eks", "get-token", "--cluster-name", "shop", "--output", "json"]
V1 = "client.authentication.k8s.io/v1"


def kubeconfig(file: Path, command: str, args: list[str] | None, server: str = "https://x", **more: Any) -> Path:
    user = {"exec": {"apiVersion": f"{V1}beta1", "command": command, "args": args, **more}}
    file.write_text(yaml.safe_dump({
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "k", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "k",
    }))  # fmt: skip
    return file


class Replace:
    def __init__(self, home: Path) -> None:
        self.home, self.before = home, 0
        (home / "private").mkdir()

    def _count(self) -> None:
        self.before += 1

    def __call__(self, file: Path | str, more: Mapping[str, str]) -> Mapping[str, str]:
        environ = {"HOME": str(self.home), "PATH": str(self.home / "bin"), "KUBECONFIG": str(file), **more}
        return replaced(environ, lambda: self.home / "private", self._count)


@pytest.fixture
def replace(tmp_path: Path) -> Replace:
    return Replace(tmp_path)


def answered(environ: Mapping[str, str], version: str = f"{V1}beta1") -> dict[str, Any]:
    """What the program of the kubeconfig prints, started as kubectl and helm do."""
    config = yaml.safe_load(Path(environ["KUBECONFIG"]).read_text())
    plugin = config["users"][0]["user"]["exec"]
    told = {"KUBERNETES_EXEC_INFO": json.dumps({"apiVersion": version, "kind": "ExecCredential"})}
    named = {one["name"]: one["value"] for one in plugin.get("env") or ()}
    done = subprocess.run(
        [plugin["command"], *plugin["args"]], env={**environ, **told, **named}, capture_output=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def url(token: str) -> str:
    start, _, coded = token.partition(".")
    assert start == "k8s-aws-v1"
    return urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()


@pytest.mark.parametrize(
    ("command", "args", "host"),
    [
        ("aws", EKS, "sts.eu-central-1.amazonaws.com"),
        ("/usr/local/lib/no/aws", [*EKS[2:], "--region=cn-north-1"], "sts.cn-north-1.amazonaws.com.cn"),
        ("aws-iam-authenticator", ["token", "-i", "shop"], "sts.amazonaws.com"),
    ],
)
def test_a_cluster_of_eks_gets_a_request_that_says_who_asks(
    replace: Replace, tmp_path: Path, command: str, args: list[str], host: str
) -> None:
    environ = replace(kubeconfig(tmp_path / "config", command, args), AWS)
    assert environ["KUBECONFIG"] == str(tmp_path / "private" / "kubeconfig-0")
    assert Path(environ["KUBECONFIG"]).stat().st_mode & 0o777 == 0o600
    assert replace.before == 1
    assert "aws-se" not in Path(environ["KUBECONFIG"]).read_text()
    answer = answered(environ, V1)
    assert (answer["kind"], answer["apiVersion"]) == ("ExecCredential", V1)
    assert answer["status"]["expirationTimestamp"].endswith("Z")
    sent = url(answer["status"]["token"])
    assert sent.startswith(f"https://{host}/?Action=GetCallerIdentity&")
    assert "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&" in sent
    assert "X-Amz-Security-Token=aws-session&" in sent
    assert "aws-secret" not in sent


def test_a_cluster_of_gke_gets_the_access_token(
    replace: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(path)
        return 200, b'{"kind": "Pod"}'

    monkeypatch.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.token")  # lightkube gives the program all of os.environ
    with conversation.serve(answer) as address:
        file = kubeconfig(tmp_path / "config", "gke-gcloud-auth-plugin", None, address, installHint="x")
        environ = replace(file, GOOGLE)
        assert "ya29" not in Path(environ["KUBECONFIG"]).read_text()
        assert answered(environ)["status"] == {"token": "ya29.token"}
        api = KubeClient.connect(environ, None, timeout=60)
        assert api.get("/api/v1/namespaces/shop/pods/web") == {"kind": "Pod"}
    assert asked == ["/api/v1/namespaces/shop/pods/web"]


@pytest.mark.parametrize(
    ("command", "args", "environ"),
    [
        ("aws", EKS, GOOGLE),
        ("aws", [*EKS, "--role-arn", "arn:aws:iam::123456789012:role/other"], AWS),
        ("aws", [*EKS, "--profile", "other"], AWS),
        ("aws", ["sts", "get-caller-identity"], AWS),
        ("aws", ["eks", "get-token", "--cluster-name"], AWS),
        ("aws-iam-authenticator", ["token", "-i", "shop", "-r", "arn:other"], AWS),
        ("gke-gcloud-auth-plugin", None, AWS),
        ("gke-gcloud-auth-plugin", ["--impersonate_service_account=x"], GOOGLE),
        ("kubelogin", ["get-token"], {**AWS, **GOOGLE}),
        ("aws", EKS, {}),
    ],
)
def test_what_cannot_be_done_here_stays_as_it_is(
    replace: Replace, tmp_path: Path, command: str, args: list[str] | None, environ: dict[str, str]
) -> None:
    file = kubeconfig(tmp_path / "config", command, args)
    assert replace(file, environ)["KUBECONFIG"] == str(file)
    assert replace.before == 0
    assert list((tmp_path / "private").iterdir()) == []


def test_a_program_that_is_there_stays(replace: Replace, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "aws").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "aws").chmod(0o755)
    file = kubeconfig(tmp_path / "config", "aws", EKS)
    assert replace(file, AWS)["KUBECONFIG"] == str(file)


def test_one_of_several_files_is_replaced_with_what_it_names(replace: Replace, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("{}")
    file = kubeconfig(tmp_path / "config", "aws", EKS)
    config = yaml.safe_load(file.read_text())
    config["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    file.write_text(yaml.safe_dump(config))
    first, second = replace(f"{other}{os.pathsep}{file}", AWS)["KUBECONFIG"].split(os.pathsep)
    assert first == str(other)
    written = yaml.safe_load(Path(second).read_text())
    assert written["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    assert {**written, "users": [], "clusters": []} == {**config, "users": [], "clusters": []}


MALFORMED = [
    "", "[", "get-token: [", "users: [{user: {exec: get-token}}]", "users: get-token",
    "users: [{user: {exec: {command: aws, args: 5}}}] # get-token",
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_file_is_left_to_helm(replace: Replace, tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert replace(tmp_path / "config", AWS)["KUBECONFIG"] == str(tmp_path / "config")


def test_a_module_of_the_working_directory_is_not_loaded(
    replace: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hmac.py").write_text("raise SystemExit('loaded')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    environ = replace(kubeconfig(tmp_path / "config", "aws", EKS), AWS)
    assert answered(environ)["status"]["token"]


def test_a_web_identity_takes_its_role_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[bytes] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        sent.append(body)
        return (
            200,
            b"<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>",
        )

    real: Callable[..., tuple[int, bytes]] = program._exchange
    (tmp_path / "token").write_text("identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci")
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["-c", "[]", "aws", *EKS])
    with conversation.serve(answer) as address:

        def local(method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
            assert url == "https://sts.eu-central-1.amazonaws.com/"
            return real(method, address, headers, body)

        monkeypatch.setattr(program, "_exchange", local)
        program.main()
    assert b"WebIdentityToken=identity" in sent[0]
    assert "X-Amz-Credential=ASIA%2F" in url(json.loads(capsys.readouterr().out)["status"]["token"])
