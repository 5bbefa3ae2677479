"""Logs in at registries and clusters of clouds with the credentials that the job has in its environment, in place of
the clouds' own command lines. Nothing here is kept, and nothing leaves but to the cloud that the credentials are for:
hosts are matched whole, and no redirect is followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lineal.oci.credential import Credential

Exchange = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]
"""Sends method, URL, headers and body; gives status and body. Follows no redirect. Raises `LinealError` where nobody
answers."""

CLUSTER_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN",
)  # fmt: skip
"""One of these is there where a cluster can be logged in at."""


class CloudRefuses(Exception):
    """Why a cloud gives no login: a sentence without secrets."""


def login(host: str, environ: Mapping[str, str], exchange: Exchange) -> Credential | None:
    """The login for a cloud's registry; None when `host` is none, or the environment has nothing for it. Raises
    `CloudRefuses`, and what `exchange` raises."""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn", "public.ecr.aws")):
        from lineal.clouds import aws

        return aws.login(host, environ, exchange)
    if host.endswith(("gcr.io", ".pkg.dev")):
        from lineal.clouds import google

        return google.login(host, environ)
    if host.endswith(".azurecr.io"):
        from lineal.clouds import azure

        return azure.login(host, environ, exchange)
    return None


def sendable(text: str) -> bool:
    """Whether a value can stand in a header or a form as it is."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
