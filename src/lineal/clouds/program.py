"""The program that a kubeconfig starts in place of a cloud's: it prints a token for the cluster, made from the job's
environment at that moment, so that none is on disk and none is too old."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

from lineal.clouds import CloudRefuses, aws, google
from lineal.value import dataclass

_SECONDS = 30
_EKS_MINUTES = 14
"""One less than a token is good for."""
_BOOT = "import json, sys; sys.path += json.loads(sys.argv[1]); from lineal.clouds.program import main; main()"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The cluster of EKS that a program was asked for; without a name, any of GKE."""

    cluster: str = ""
    region: str = ""


def understood(command: str, args: Sequence[str], environ: Mapping[str, str]) -> Wanted | None:
    """What a program of a cloud is asked for; None when it is another program, or asked for more than can be done
    here, such as another role or profile, or the environment has nothing for its cloud."""
    name, words = PurePath(command).name, list(args)
    if name == "gke-gcloud-auth-plugin":
        return Wanted() if not words and any(environ.get(name) for name in google.VARIABLES) else None
    if not aws.has_credentials(environ):
        return None
    if name == "aws":
        return _asked(
            words, ["eks", "get-token"], {"--cluster-name": "cluster", "--region": "region", "--output": ""}
        )
    if name == "aws-iam-authenticator":
        options = {"-i": "cluster", "--cluster-id": "cluster", "--region": "region"}
        return _asked(words, ["token"], options)
    return None


def command(asked: Sequence[str]) -> list[str]:
    """The command line that does what `asked`, one of a cloud's program, would do. It looks for no module in the
    working directory, which may be a repository."""
    paths = [path for path in sys.path if Path(path).is_absolute() and Path(path) != Path.cwd()]
    return [sys.executable, "-I", "-c", _BOOT, json.dumps(paths), *asked]


def main() -> None:
    """Print an `ExecCredential` for the command line in `sys.argv[2:]`. Source:
    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#input-and-output-formats"""
    try:
        sys.stdout.write(json.dumps(_credential(sys.argv[2], sys.argv[3:], os.environ)) + "\n")
    except CloudRefuses as error:
        sys.exit(str(error))


def _credential(name: str, args: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    wanted = understood(name, args, environ)
    if wanted is None:
        raise CloudRefuses(f"The environment has no credentials for {PurePath(name).name} any more.")
    status: dict[str, str] = {}
    if wanted.cluster:
        region = wanted.region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
        if region and not aws.REGION.fullmatch(region):
            raise CloudRefuses(f"{region!r} is no region of AWS.")
        now = datetime.now(UTC)
        found = aws.keys(environ, region or "us-east-1", _exchange)
        status["token"] = aws.eks_token(wanted.cluster, region, found, now)
        status["expirationTimestamp"] = (now + timedelta(minutes=_EKS_MINUTES)).strftime("%Y-%m-%dT%H:%M:%SZ")
    elif found_token := google.token(environ):
        status["token"] = found_token[1]
    return {"kind": "ExecCredential", "apiVersion": _version(environ), "status": status}


def _version(environ: Mapping[str, str]) -> str:
    """The version of the answer that is wanted; the caller refuses any other."""
    try:
        return str(json.loads(environ["KUBERNETES_EXEC_INFO"])["apiVersion"])
    except (LookupError, ValueError, TypeError):
        return "client.authentication.k8s.io/v1beta1"


def _asked(words: list[str], verbs: list[str], options: Mapping[str, str]) -> Wanted | None:
    """The cluster and region of a command line that has these verbs and none but these options."""
    plain: list[str] = []
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            plain.append(word)
        elif name in options:
            found[options[name]] = value if equals else next(rest, "")
        else:
            return None
    return Wanted(found["cluster"], found.get("region", "")) if plain == verbs and found.get("cluster") else None


def _exchange(method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
    import requests

    session = requests.Session()
    session.auth = lambda request: request  # no ~/.netrc
    environ = os.environ
    authorities = environ.get("REQUESTS_CA_BUNDLE") or environ.get("SSL_CERT_FILE") or True
    try:
        answer = session.request(
            method, url, headers=headers, data=body, timeout=_SECONDS, allow_redirects=False, verify=authorities
        )
    except requests.RequestException as error:
        raise CloudRefuses(f"{url} does not answer ({type(error).__name__}).") from None
    return answer.status_code, answer.content
