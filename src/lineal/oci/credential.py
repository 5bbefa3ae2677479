"""A login for one registry, wherever it came from: a file, a helper, the CI, a cloud."""

from __future__ import annotations

import base64
from dataclasses import field

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Credential:
    """`source` says where it came from, the rest is never shown."""

    source: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token, exchanged for short-lived ones."""
    registry_token: str = field(default="", repr=False)
    """A bearer token to send as it is."""
    ambient: bool = field(default=False, repr=False)
    """Whether it is a cloud's, found in the environment, and not given for this registry."""

    def basic(self) -> str:
        """The value of an `Authorization` header."""
        pair = f"{self.username or '<token>'}:{self.password or self.identity_token}"
        return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()
