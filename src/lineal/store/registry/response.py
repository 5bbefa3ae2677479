"""An answer of a registry, and whether it is worth another try."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from lineal.clock import Time
from lineal.regex import regex
from lineal.store.registry.http import Answer
from lineal.value import dataclass

PASSING = frozenset({408, 425, 429, 499, 500, 502, 503, 504, *range(520, 531), 598, 599})
"""520 to 530 are what CDNs answer for a registry that hiccups."""
MAX_SAID = 200
_RESETS = ("X-Retry-After", "RateLimit-Reset", "X-RateLimit-Reset")
"""When a limit is a new one; some registries name it in all their answers."""
_EPOCH = 1_000_000_000
"""A hint above it is a time, not a number of seconds."""
_LIMIT = regex(rb"(?:rate|request|pull)[ _-]?limit|too ?many ?requests|throttl", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer whose body has been read, or, when a stream was asked for and granted, is still to be read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    foreign: bool
    """From another host than the registry, after a redirect."""
    stream: Answer | None = None

    @property
    def limited(self) -> bool:
        """Whether a limit of requests is used up. ghcr.io says so with 403, others with a code."""
        if self.status == 429 or (self.status >= 400 and "TOOMANYREQUESTS" in codes(self.body)[0].upper()):
            return True
        hinted = "Retry-After" in self.headers or self.headers.get("X-RateLimit-Remaining", "").strip() == "0"
        return self.status == 403 and (hinted or _LIMIT.search(self.body[:4096]) is not None)

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in PASSING or self.limited

    def pause(self, time: Time) -> float:
        """The seconds after which the registry wants to be asked again; 0.0 when it does not say."""
        names = ("Retry-After", *(_RESETS if self.limited else ()))
        if self.headers.get("X-RateLimit-Remaining", "0").strip() != "0":
            # Another limit than that one: GitHub's secondary limit ends at a time that nobody knows.
            names = tuple(name for name in names if name != "X-RateLimit-Reset")
        said = next((self.headers[name] for name in names if name in self.headers), "").strip()
        if said.isascii() and said.isdecimal():
            seconds = float(said[:12])
            return seconds - time.wall() if seconds > _EPOCH else seconds
        try:
            return parsedate_to_datetime(said).timestamp() - time.wall()
        except (TypeError, ValueError, OverflowError):
            return 0.0


def codes(body: bytes) -> tuple[str, str]:
    """Error codes and messages of a registry's error answer, as far as it is one; printable and short."""
    try:
        document = json.loads(body)
        errors = document["errors"] if "errors" in document else [{"message": document.get("message", "")}]
        found = [(str(error.get("code", "")), str(error.get("message", ""))) for error in errors]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", ""
    return " ".join(code for code, _ in found)[:MAX_SAID], _printable("; ".join(text for _, text in found if text))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_SAID]).strip()
