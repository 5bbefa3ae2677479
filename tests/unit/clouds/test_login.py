"""Logins for registries of clouds: what is sent where, and that hosts which only look like a cloud's get nothing."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal import clouds
from lineal.clouds import CloudRefuses
from lineal.oci.credential import Credential

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
ACR = "teamregistry.azurecr.io"
GAR = "europe-west3-docker.pkg.dev"
AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_SESSION_TOKEN": "aws-session"}
GOOGLE = {"CLOUDSDK_AUTH_ACCESS_TOKEN": "ya29.token"}
AZURE = {"AZURE_CLIENT_ID": "app", "AZURE_TENANT_ID": "tenant.example.com", "AZURE_CLIENT_SECRET": "azure-secret"}
EVERYTHING = {**AWS, **GOOGLE, **AZURE}
STS = (
    b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>sts-session"
    b"</SessionToken><SecretAccessKey>sts-secret</SecretAccessKey><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>"
    b"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
)


def ecr(password: str = "password") -> bytes:
    coded = base64.b64encode(f"AWS:{password}".encode()).decode()
    return json.dumps({"authorizationData": [{"authorizationToken": coded, "expiresAt": 1.4e9}]}).encode()


class Clouds:
    """Answers of the clouds by URL, as they were recorded in their documentation, and what was asked."""

    def __init__(self) -> None:
        public = json.dumps({"authorizationData": json.loads(ecr("public"))["authorizationData"][0]}).encode()
        self.answers = {
            "https://api.ecr.eu-central-1.amazonaws.com/": ecr(),
            "https://api.ecr.cn-north-1.amazonaws.com.cn/": ecr("china"),
            "https://api.ecr-public.us-east-1.amazonaws.com/": public,
            "https://sts.eu-central-1.amazonaws.com/": STS,
            "https://login.microsoftonline.com/tenant.example.com/oauth2/v2.0/token": b'{"access_token": "aad"}',
            f"https://{ACR}/oauth2/exchange": b'{"refresh_token": "acr"}',
        }
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        assert method == "POST"
        self.asked.append((url, headers, body or b""))
        return (200, self.answers[url]) if url in self.answers else (403, b"secret words of a stranger")

    def form(self, number: int) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.asked[number][2].decode()).items()}


def pair(login: Credential | None) -> tuple[str, str] | None:
    return (login.username, login.password) if login else None


@pytest.mark.parametrize(
    ("host", "password", "target"),
    [
        (ECR, "password", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "china",
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        ),
        ("public.ecr.aws", "public", "SpencerFrontendService.GetAuthorizationToken"),
    ],
)
def test_ecr_takes_a_signed_request(host: str, password: str, target: str) -> None:
    sent = Clouds()
    assert pair(clouds.login(host, AWS, sent)) == ("AWS", password)
    [(_, headers, body)] = sent.asked
    assert headers["X-Amz-Target"] == target
    assert headers["X-Amz-Security-Token"] == "aws-session"
    assert body == b"{}"
    assert "aws-secret" not in str(sent.asked)


def test_ecr_takes_the_role_of_a_web_identity(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("identity\n")
    role = "arn:aws:iam::123456789012:role/ci"
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": role}
    sent = Clouds()
    assert pair(clouds.login(ECR, environ, sent)) == ("AWS", "password")
    assert sent.form(0)["WebIdentityToken"] == "identity"
    assert sent.form(0)["RoleArn"] == role
    assert "Authorization" not in sent.asked[0][1]
    assert "Credential=ASIAEXAMPLE/" in sent.asked[1][1]["Authorization"]
    assert sent.asked[1][1]["X-Amz-Security-Token"] == "sts-session"


@pytest.mark.parametrize("host", [GAR, "us-docker.pkg.dev", "gcr.io", "eu.gcr.io"])
@pytest.mark.parametrize("name", ["CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"])
def test_google_takes_an_access_token(host: str, name: str) -> None:
    assert pair(clouds.login(host, {name: "ya29.x"}, Clouds())) == ("oauth2accesstoken", "ya29.x")


def test_acr_exchanges_the_token_of_an_application() -> None:
    sent = Clouds()
    login = clouds.login(ACR, AZURE, sent)
    assert login and login.identity_token == "acr"
    assert [urlsplit(url).netloc for url, _, _ in sent.asked] == ["login.microsoftonline.com", ACR]
    assert sent.form(0)["client_secret"] == "azure-secret"
    assert sent.form(0)["scope"] == "https://containerregistry.azure.net/.default"
    wanted = {"grant_type": "access_token", "service": ACR, "tenant": "tenant.example.com", "access_token": "aad"}
    assert sent.form(1) == wanted


def test_acr_takes_a_workload_identity_before_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("federated\n")
    sent = Clouds()
    assert clouds.login(ACR, {**AZURE, "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token")}, sent)
    assert sent.form(0)["client_assertion"] == "federated"
    assert "client_secret" not in sent.form(0)


def test_another_cloud_of_azure_gets_nothing() -> None:
    sent = Clouds()
    elsewhere = {**AZURE, "AZURE_AUTHORITY_HOST": "https://login.evil.example/"}
    assert clouds.login(ACR, elsewhere, sent) is None
    assert clouds.login(ACR, {**AZURE, "AZURE_TENANT_ID": "../evil?"}, sent) is None
    assert sent.asked == []


LOOK_ALIKE = [
    f"{ECR}.evil.example", f"evil.example/{ECR}", f"x{ECR}", f"{ECR}:8443", f"{ECR}.cn", f"user@{ECR}", f"{ECR}\n",
    "123456789012.dkr.ecr.evil.amazonaws.com", "123456789012.dkr.ecr.eu-central-1.evil.amazonaws.com",
    "bucket.s3.eu-central-1.amazonaws.com", "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.cn",
    "evil-public.ecr.aws", "evil.public.ecr.aws", "x.gcr.io", "evilgcr.io", "eu.evilgcr.io", "evil.pkg.dev",
    f"evil.{GAR}", f"{GAR}.evil.example", "docker.pkg.dev", "-docker.pkg.dev", "evil.example-docker.pkg.dev",
    f"{ACR}.evil.example", "teamregistry.westeurope.data.azurecr.io", ".azurecr.io", "evil.example#.azurecr.io",
    f"{ECR}.evil.amazonaws.com", f"{GAR}.evil.pkg.dev", f"{ACR}.evil.azurecr.io",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOK_ALIKE)
def test_hosts_that_look_alike_get_nothing(host: str) -> None:
    sent = Clouds()
    assert clouds.login(host, EVERYTHING, sent) is None
    assert sent.asked == []


_PARTS = st.sampled_from([
    ECR, ACR, GAR, "gcr.io", "eu.", ".", "-", "evil.example", "amazonaws.com", ".cn", "public.ecr.aws",
    "123456789012", ".dkr.ecr.", "eu-central-1", "/", "@", ":443", "#", "?", "\n", "İ", "docker.pkg.dev",
    "a", "azurecr.io",
])  # fmt: skip


@given(st.lists(_PARTS, max_size=5).map("".join))
def test_nothing_is_sent_to_any_host_but_the_cloud_s(host: str) -> None:
    sent = Clouds()
    try:
        login = clouds.login(host, EVERYTHING, sent)
    except CloudRefuses:
        login = None
    for url, _, _ in sent.asked:
        netloc = urlsplit(url).netloc
        assert netloc == "login.microsoftonline.com" or netloc.endswith(
            (".amazonaws.com", ".amazonaws.com.cn", ".azurecr.io")
        )
        assert not set(netloc) & set("/@:#?\n")
    if login:
        assert host.endswith(
            (".amazonaws.com", ".amazonaws.com.cn", "public.ecr.aws", "gcr.io", ".pkg.dev", ".azurecr.io")
        )


@pytest.mark.parametrize("host", [ECR, "public.ecr.aws", GAR, "gcr.io", ACR])
def test_without_credentials_nothing_is_asked(host: str) -> None:
    sent = Clouds()
    assert clouds.login(host, {"AWS_REGION": "eu-central-1", "AZURE_CLIENT_ID": "app"}, sent) is None
    assert sent.asked == []


@pytest.mark.parametrize(("host", "status"), [(ECR, 403), (ACR, 403), (ECR, 200), (ACR, 200)])
def test_a_refusal_is_a_sentence_without_what_the_cloud_said(host: str, status: int) -> None:
    def refuse(*_: object) -> tuple[int, bytes]:
        return status, b"words of a stranger"

    with pytest.raises(CloudRefuses) as refused:
        clouds.login(host, EVERYTHING, refuse)
    assert str(refused.value).endswith(".")
    assert not any(secret in str(refused.value) for secret in ("stranger", "aws-s", "azure-s", "ya29"))


def test_a_login_does_not_show_its_secrets() -> None:
    shown = repr([clouds.login(host, EVERYTHING, Clouds()) for host in (ECR, GAR, ACR)])
    assert not any(secret in shown for secret in ("password'", "ya29", "acr'", "oauth2accesstoken"))


@pytest.mark.parametrize("value", ["two words", "a\nb", "é", "\udcff"])
def test_what_no_header_can_hold_is_refused(value: str) -> None:
    with pytest.raises(CloudRefuses, match="CLOUDSDK_AUTH_ACCESS_TOKEN holds no access token"):
        clouds.login(GAR, {"CLOUDSDK_AUTH_ACCESS_TOKEN": value}, Clouds())
    with pytest.raises(CloudRefuses, match="hold no keys of AWS"):
        clouds.login(ECR, {**AWS, "AWS_ACCESS_KEY_ID": value}, Clouds())
