"""A registry that the CI lets its job use."""

from __future__ import annotations

from dataclasses import field

from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Login:
    host: str
    """The only registry that the password is for: `name` or `name:port`, lower case."""
    source: str
    """The variable that it came from, for people."""
    username: str = field(repr=False)
    password: str = field(repr=False)
