"""Google Cloud: logins for Artifact Registry and gcr.io, and tokens for clusters of GKE, by an access token.

`gcloud` reads CLOUDSDK_AUTH_ACCESS_TOKEN, Terraform GOOGLE_OAUTH_ACCESS_TOKEN. google-github-actions/auth exports
neither: its token is the output `access_token` (with `token_format: access_token`)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lineal.clouds import CloudRefuses, sendable
from lineal.oci.credential import Credential

VARIABLES = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN")
_HOST = re.compile(r"(?:(?:us|eu|asia)\.)?gcr\.io|[a-z0-9]+(?:-[a-z0-9]+)*-docker\.pkg\.dev")


def login(host: str, environ: Mapping[str, str]) -> Credential | None:
    """The login for `REGION-docker.pkg.dev` or `gcr.io`. Source:
    https://cloud.google.com/artifact-registry/docs/docker/authentication#token"""
    if not _HOST.fullmatch(host) or not (found := token(environ)):
        return None
    return Credential(found[0], "oauth2accesstoken", found[1], ambient=True)


def token(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that has an access token, and the token. Raises `CloudRefuses`."""
    for name in VARIABLES:
        if text := environ.get(name, "").strip():
            if not sendable(text):
                raise CloudRefuses(f"{name} holds no access token.")
            return name, text
    return None
