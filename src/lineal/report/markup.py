"""What a page in any markup gives to those who write its sentences."""

from __future__ import annotations

from typing import Protocol


class Code(Protocol):
    """Untrusted text as code in the markup of a page, on one line of at most `limit` characters; empty when nothing
    of the text can be seen."""

    def __call__(self, text: str, limit: int = 160, /) -> str: ...
