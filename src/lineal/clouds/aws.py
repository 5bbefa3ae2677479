"""AWS: logins for ECR, and tokens for clusters of EKS."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from lineal.clouds import CloudRefuses, Exchange, sendable
from lineal.clouds.sigv4 import Keys, Scope, presigned, signed
from lineal.oci.credential import Credential

REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}")
_PRIVATE = re.compile(rf"[0-9]{{12}}\.dkr\.ecr\.({REGION.pattern})\.amazonaws\.com(\.cn)?")
_PUBLIC = "public.ecr.aws"
_SOURCE = "the AWS variables of the environment"


def has_credentials(environ: Mapping[str, str]) -> bool:
    """Whether `keys` has something to begin with."""
    static = environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY")
    return bool(static or (environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN")))


def login(host: str, environ: Mapping[str, str], exchange: Exchange) -> Credential | None:
    """The login for `ACCOUNT.dkr.ecr.REGION.amazonaws.com` (`.cn`) or `public.ecr.aws`, good for 12 hours. Source:
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html"""
    private = _PRIVATE.fullmatch(host)
    if not (private or host == _PUBLIC) or not has_credentials(environ):
        return None
    region, service, target = "us-east-1", "ecr-public", "SpencerFrontendService"
    if private:
        if private[1].startswith("cn-") != bool(private[2]):
            return None
        region, service, target = private[1], "ecr", "AmazonEC2ContainerRegistry_V20150921"
    address = f"api.{service}.{region}.{_domain(region)}"
    kind = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{target}.GetAuthorizationToken"}
    scope = Scope(region, service, datetime.now(UTC))
    headers = signed("POST", address, kind, b"{}", keys(environ, region, exchange), scope)
    status, body = exchange("POST", f"https://{address}/", headers, b"{}")
    if status != 200:
        raise CloudRefuses(f"AWS gives no login for {host} to {_SOURCE} (status {status}).")
    return Credential(_SOURCE, "AWS", _password(body, host), ambient=True)


def keys(environ: Mapping[str, str], region: str, exchange: Exchange) -> Keys:
    """The keys of the environment, or those that its web identity is given for its role. Raises `CloudRefuses`."""
    found = Keys(
        *(environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    )
    if not (found.access and found.secret):
        found = _assumed(environ, region, exchange)
    if not all(map(sendable, (found.access, found.secret, found.token or "-"))):
        raise CloudRefuses("The AWS variables of the environment hold no keys of AWS.")
    return found


def eks_token(cluster: str, region: str, found: Keys, now: datetime) -> str:
    """A token for the API server of a cluster, good for 15 minutes: a request to STS that the cluster sends, and that
    says who asks. An empty `region` is the global one. Source:
    https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster"""
    host = f"sts.{region}.{_domain(region)}" if region else "sts.amazonaws.com"
    query = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    url = presigned(host, query, {"x-k8s-aws-id": cluster}, found, Scope(region or "us-east-1", "sts", now))
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _assumed(environ: Mapping[str, str], region: str, exchange: Exchange) -> Keys:
    """The keys of AWS_ROLE_ARN for the token in AWS_WEB_IDENTITY_TOKEN_FILE. Source:
    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html"""
    file, role = environ["AWS_WEB_IDENTITY_TOKEN_FILE"], environ["AWS_ROLE_ARN"]
    try:
        token = Path(file).read_text("ascii").strip()
    except (OSError, ValueError):
        raise CloudRefuses(f"AWS_WEB_IDENTITY_TOKEN_FILE names {file}, which cannot be read.") from None
    form = {
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role,
        "RoleSessionName": environ.get("AWS_ROLE_SESSION_NAME") or "lineal", "WebIdentityToken": token,
    }  # fmt: skip
    url = f"https://sts.{region}.{_domain(region)}/"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = exchange("POST", url, kind, urlencode(form, errors="surrogateescape").encode())
    # Three texts of base64's letters: they need no parser of XML, which is one more thing to be attacked.
    parts = [re.search(rf"<{name}>([^<&]+)</{name}>".encode(), body) for name in ("AccessKeyId", "SecretAccessKey")]
    session = re.search(rb"<SessionToken>([^<&]+)</SessionToken>", body)
    if status != 200 or not (parts[0] and parts[1] and session):
        raise CloudRefuses(
            f"AWS does not give AWS_ROLE_ARN to the web identity of the environment (status {status})."
        )
    return Keys(*(part[1].decode("ascii", "replace").strip() for part in (parts[0], parts[1], session)))


def _password(body: bytes, host: str) -> str:
    try:
        data = json.loads(body)["authorizationData"]
        one = data[0] if isinstance(data, list) else data
        user, _, password = base64.b64decode(one["authorizationToken"], validate=True).decode("ascii").partition(":")
    except (ValueError, LookupError, TypeError, RecursionError):
        user = password = ""
    if user != "AWS" or not sendable(password):
        raise CloudRefuses(f"AWS answers for {host} with something that is not a login.")
    return password
